"""Suites on Ray. Every test starts its own Ray processes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.samples import invoke
from support.suites import damages, failing, results, write_suite

from albench.benchmarks import ray_runner
from albench.benchmarks.plan import plan_runs
from albench.benchmarks.suite import load_suite
from albench.benchmarks.suite_callback import SuiteCallback
from albench.runs import find_runs

AUTHENTICATED = {"RAY_AUTH_MODE": "token"}  # Ray's own default for a cluster; its nodes and drivers must say so
BIN = Path(sys.executable).parent


@pytest.fixture
def start(tmp_path):
    """Start `albench bench` in its own session, in the parent of a folder that looks like a checkout."""
    started = []
    (tmp_path / "albench" / "albench").mkdir(parents=True)

    def call(suite, storage, *more, **environment):
        log = (tmp_path / f"output-{len(started)}.txt").open("w+")
        command = [BIN / "albench", "bench", suite, "--storage", storage, *more]
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=os.environ | environment,
            start_new_session=True,
        )
        process.output = lambda: Path(log.name).read_text()
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def finish(process, timeout=240):
    """Wait for the end; returns the exit code and the whole output in one line."""
    code = process.wait(timeout)
    return code, " ".join(process.output().split())


def wait_for(condition, timeout=120):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def printed_rounds(process):
    """(run, round) of every finished round in the output."""
    return [
        (line.split("] ", 1)[1].split(": round")[0], line.split(": round")[1].split()[0])
        for line in process.output().splitlines()
        if ": round" in line
    ]


def in_process(suite, storage):
    code, output = invoke("bench", suite, "--storage", storage, "--no-ray", "--retries", "0")
    assert code in (0, 1), output
    return results(storage / "tiny")


def test_a_suite_on_ray_gives_the_results_of_a_suite_in_one_process_and_reports_failures(tmp_path, start):
    suite = write_suite(tmp_path, ["random", "star", failing(tmp_path)])
    code, output = finish(start(suite, tmp_path / "ray", "--jobs", "2", "--retries", "1"))
    assert code == 1, output
    assert "2 in parallel on Ray" in output
    assert "fails, seed 1: failed, trying again: RuntimeError: the idea did not work" in output
    assert "5 of 6 runs are finished, 1 failed" in output
    assert "FAILED fails, seed 1, round 1: RuntimeError: the idea did not work" in output
    assert "Traceback" not in output
    (failure,) = (run.failure for run in find_runs(tmp_path / "ray" / "tiny") if run.failure)
    assert (failure.round, failure.attempts) == (1, 2)
    assert results(tmp_path / "ray" / "tiny") == in_process(suite, tmp_path / "here")
    assert damages(tmp_path / "ray" / "tiny") == []
    commands = {run.environment.command for run in find_runs(tmp_path / "ray" / "tiny")}
    assert [command[1:3] for command in commands] == [("bench", str(suite))]


def test_what_the_user_should_know_of_a_run_is_told_by_way_of_tune(tmp_path, monkeypatch):
    (run,) = plan_runs(load_suite(str(write_suite(tmp_path, ["full"], seeds=1))))
    told = []

    class Told(SuiteCallback):
        def on_run_notice(self, run, text):
            told.append((run.name, text))

    forward, trial = ray_runner._Forward(Told(), {run.folder: run}), SimpleNamespace(config={"folder": run.folder})
    monkeypatch.setattr(ray_runner.tune, "report", lambda result: forward.on_trial_result(0, [], trial, result))
    ray_runner._Report().on_notice("it is slow")
    assert told == [("full, seed 0", "it is slow")]


@pytest.mark.slow
def test_an_unknown_cluster_is_one_sentence(tmp_path, start):
    code, output = finish(start(write_suite(tmp_path, ["random"]), tmp_path, "--address", "127.0.0.1:1"))
    assert code == 2
    assert (
        "albench: --address must be that of a running Ray cluster that accepts connections, got '127.0.0.1:1': "
        in output
    )
    assert "Traceback" not in output


@pytest.mark.slow
def test_more_gpus_than_there_are_is_one_sentence(tmp_path, start):
    code, output = finish(start(write_suite(tmp_path, ["random"]), tmp_path, "--gpus-per-run", "64"))
    assert code == 2
    assert "a run must fit on one node, it needs 1 CPUs and 64 GPUs and the largest node has" in output
    assert output.endswith("lower --cpus-per-run or --gpus-per-run")


@pytest.mark.parametrize(
    ("gpus", "runs"), [(0.6, 4), (0.5, 8), (0.3, 12), (1 / 3, 12), (1, 4), (2, 2), (3, 1), (0.1, 32), (0, 32)]
)
def test_runs_share_a_gpu_only_if_they_fit_on_it_whole(gpus, runs):
    node = {"CPU": 32.0, "GPU": 4.0}
    assert ray_runner._fitting(node, ray_runner.Resources(1, gpus)) == runs


STOPS = '''
"""Queries the first slices, on a GPU that stops in round 1 and does not work again in the process that saw it stop."""

import os
from dataclasses import dataclass
from pathlib import Path

from albench.strategy import Query, Round, Strategy


@dataclass(frozen=True)
class Stops(Strategy):
    seen: str = ""

    def query(self, ctx: Round) -> Query:
        seen = Path(self.seen)
        if ctx.index == 1 and not seen.exists():
            seen.write_text(str(os.getpid()))
        if seen.exists() and seen.read_text() == str(os.getpid()):
            raise RuntimeError("CUDA error: unspecified launch failure")
        return Query(ctx.pool.unlabeled[: ctx.budget])
'''


@pytest.mark.slow
def test_a_run_whose_gpu_stopped_is_tried_again_in_another_process(tmp_path, start):
    (tmp_path / "stops.py").write_text(STOPS)
    seen = {"strategy": {"seen": str(tmp_path / "seen")}}
    stops = {"strategy": f"{tmp_path / 'stops.py'}:Stops", "label": "stops", "settings": seen}
    suite = write_suite(tmp_path, [stops, "random"])
    code, output = finish(start(suite, tmp_path / "ray", "--jobs", "1", "--retries", "1"))
    assert code == 0, output
    assert (
        "stops, seed 0: failed, trying again: a GPU must work until a run ends, in query of round 1 it stopped with "
        "'CUDA error: unspecified launch failure': run the same command again, which continues after "
    ) in output
    assert output.count("trying again") == 1
    assert "4 of 4 runs are finished, 0 failed" in output
    assert results(tmp_path / "ray" / "tiny") == in_process(suite, tmp_path / "here")
    assert damages(tmp_path / "ray" / "tiny") == []


NEIGHBOR = """
from dataclasses import dataclass

from albench.strategy import Query, Round, Strategy
import rules_of_mine


@dataclass(frozen=True)
class Mine(Strategy):
    def query(self, ctx: Round) -> Query:
        from rules_of_later import first

        return Query(first(ctx.pool.unlabeled, rules_of_mine.share * ctx.budget))
"""


@pytest.mark.slow
def test_a_plugin_imports_modules_beside_it_on_ray_too(tmp_path, start):
    """Also in a folder that contains a checkout of albench, which hides no installation."""
    (tmp_path / "mine.py").write_text(NEIGHBOR)
    (tmp_path / "rules_of_mine.py").write_text("share = 1\n")
    (tmp_path / "rules_of_later.py").write_text("def first(slices, count):\n    return slices[:count]\n")
    suite = write_suite(tmp_path, [f"{tmp_path / 'mine.py'}:Mine"])
    code, output = finish(start(suite, tmp_path / "ray", "--jobs", "2"))
    assert code == 0, output
    assert results(tmp_path / "ray" / "tiny") == in_process(suite, tmp_path / "here")
    assert damages(tmp_path / "ray" / "tiny") == []


@pytest.mark.slow
def test_no_finished_round_is_repeated_after_the_driver_is_killed(tmp_path, start):
    suite = write_suite(tmp_path, ["random", "entropy", "star"])
    root = tmp_path / "ray" / "tiny"
    first = start(suite, tmp_path / "ray", "--jobs", "2")
    wait_for(lambda: first.output().count(": round") >= 5)
    os.killpg(first.pid, signal.SIGKILL)
    time.sleep(5)  # until the workers end because their driver does not exist
    assert damages(root) == []
    before = {name: len(rounds) for name, rounds in results(root).items()}
    assert 5 <= sum(before.values()) < 18
    second = start(suite, tmp_path / "ray", "--jobs", "2")
    code, output = finish(second)
    assert code == 0, output
    printed = printed_rounds(second)
    assert len(printed) == len(set(printed)) == 18 - sum(before.values())
    assert results(root) == in_process(suite, tmp_path / "here")
    assert damages(root) == []


@pytest.mark.slow
def test_ctrl_c_stops_a_suite_and_the_same_command_continues_it(tmp_path, start):
    suite = write_suite(tmp_path, ["random", "entropy", "star"])
    first = start(suite, tmp_path / "ray", "--jobs", "2")
    wait_for(lambda: first.output().count(": round") >= 2)
    os.killpg(first.pid, signal.SIGINT)
    code, output = finish(first, timeout=60)
    assert code == 130, output
    assert output.endswith("albench: stopped; the same command continues after the last finished round")
    assert "Traceback" not in output
    code, output = finish(start(suite, tmp_path / "ray", "--jobs", "2"))
    assert code == 0, output
    assert results(tmp_path / "ray" / "tiny") == in_process(suite, tmp_path / "here")
    assert damages(tmp_path / "ray" / "tiny") == []


def children(process):
    """Names of the processes that a process has started, with all that these have started."""
    parents, names = {}, {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                name, _, rest = (path / "stat").read_text().rpartition(")")
                if rest.split()[0] != "Z":
                    parents[int(path.name)], names[int(path.name)] = int(rest.split()[1]), name.partition("(")[2]
    found, edge = {}, {process.pid}
    while edge:
        edge = {one for one, parent in parents.items() if parent in edge}
        found |= {one: names[one] for one in edge}
    return found


def alive(process):
    """Whether a process with this number exists and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("to", ["the command", "all its processes"])
def test_sigterm_stops_a_suite_and_the_same_command_continues_it(tmp_path, start, to):
    suite = write_suite(tmp_path, ["random", "entropy", "star"])
    root = tmp_path / "ray" / "tiny"
    first = start(suite, tmp_path / "ray", "--jobs", "2")
    wait_for(lambda: first.output().count(": round") >= 2)
    started = children(first)
    assert {"raylet", "gcs_server"} <= set(started.values())
    assert sum(name.startswith("ray::") for name in started.values()) >= 2
    if to == "the command":
        os.kill(first.pid, signal.SIGTERM)
    else:
        os.killpg(first.pid, signal.SIGTERM)
    code, output = finish(first, timeout=60)
    assert code == 143, output
    assert output.endswith("albench: stopped; the same command continues after the last finished round")
    assert "Traceback" not in output
    wait_for(lambda: not any(map(alive, started)), timeout=30)
    assert damages(root) == []
    before, printed = {name: len(rounds) for name, rounds in results(root).items()}, printed_rounds(first)
    assert len(printed) <= sum(before.values()) < 18
    second = start(suite, tmp_path / "ray", "--jobs", "2")
    code, output = finish(second)
    assert code == 0, output
    assert len(printed_rounds(second)) == 18 - sum(before.values())
    assert results(root) == in_process(suite, tmp_path / "here")
    assert damages(root) == []


@pytest.fixture
def cluster(tmp_path):
    """Two Ray nodes of one core each, with separate caches and working folders; yields the address."""
    nodes, port = [], 26379

    def node(name, *arguments):
        folder = tmp_path / name
        folder.mkdir()
        environment = os.environ | {"ALBENCH_CACHE": str(folder / "cache")} | AUTHENTICATED
        command = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--block",
            "--num-cpus=1",
            "--disable-usage-stats",
            *arguments,
        ]
        log = (folder / "log.txt").open("w")
        nodes.append(
            subprocess.Popen(
                list(map(str, command)), cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        )

    node("head", "--head", f"--port={port}", "--include-dashboard=false")
    time.sleep(8)
    node("worker", f"--address=127.0.0.1:{port}")
    time.sleep(6)
    yield f"127.0.0.1:{port}"
    for name, process in zip(("head", "worker"), nodes, strict=True):
        kill_node(tmp_path / name)
        process.wait(timeout=30)


def kill_node(folder):
    """Kill all processes of a node, which are those with its cache."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if f"ALBENCH_CACHE={folder}/cache" in (path / "environ").read_text():
                    os.kill(int(path.name), signal.SIGKILL)
            except (OSError, UnicodeDecodeError):
                continue


@pytest.mark.slow
def test_results_do_not_change_when_a_node_dies(tmp_path, start, cluster):
    longer = {"protocol": {"rounds": 8}, "training": {"epochs": 10, "patience": 10}}
    suite = write_suite(tmp_path, [{"strategy": name, "settings": longer} for name in ("random", "star")])
    storage = tmp_path / "shared"
    process = start(suite, storage, "--address", cluster, **AUTHENTICATED)
    wait_for(lambda: {("random, seed 0", "1"), ("random, seed 1", "1")} <= set(printed_rounds(process)))
    kill_node(tmp_path / "worker")
    code, output = finish(process)
    assert code == 0, output
    assert "2 in parallel on Ray" in output
    assert "failed, trying again: the process or the node of the run died" in output
    printed = printed_rounds(process)
    assert len(printed) == len(set(printed))
    assert results(storage / "tiny") == in_process(suite, tmp_path / "here")
    assert damages(storage / "tiny") == []


@pytest.mark.slow
def test_nodes_of_a_cluster_wait_as_the_command_does_and_find_modules_beside_a_plugin(tmp_path, start, cluster):
    (tmp_path / "mine.py").write_text(NEIGHBOR)
    (tmp_path / "rules_of_mine.py").write_text("share = 1\n")
    (tmp_path / "rules_of_later.py").write_text(
        "import os\nfrom pathlib import Path\n"
        "def first(slices, count):\n"
        "    node = Path(os.environ['ALBENCH_CACHE']).parent\n"
        "    (node / 'policy').write_text(os.environ.get('OMP_WAIT_POLICY', ''))\n"
        "    return slices[:count]\n"
    )
    longer = {"protocol": {"rounds": 4}}
    suite = write_suite(tmp_path, [{"strategy": f"{tmp_path / 'mine.py'}:Mine", "settings": longer}])
    code, output = finish(start(suite, tmp_path / "shared", "--address", cluster, **AUTHENTICATED))
    assert code == 0, output
    assert [(tmp_path / node / "policy").read_text() for node in ("head", "worker")] == ["PASSIVE", "PASSIVE"]

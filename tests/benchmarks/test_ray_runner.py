"""Suites on Ray: every test starts a Ray of its own, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.samples import invoke
from support.suites import failing, records, write_suite

AUTHENTICATED = {"RAY_AUTH_MODE": "token"}  # Ray's own default for a cluster; its nodes and drivers must say so
BIN = Path(sys.executable).parent


@pytest.fixture
def start(tmp_path):
    """Start `albench bench` in a session of its own, above a folder that looks like a checkout, its words to a file."""
    started = []
    (tmp_path / "albench" / "albench").mkdir(parents=True)

    def call(suite, storage, *more, **environment):
        log = (tmp_path / f"said-{len(started)}.txt").open("w+")
        command = [BIN / "albench", "bench", suite, "--storage", storage, *more]
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=os.environ | environment,
            start_new_session=True,
        )
        process.said = lambda: Path(log.name).read_text()
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def finish(process, timeout=240):
    """Wait for the end; exit code and all that was said, in one line."""
    code = process.wait(timeout)
    return code, " ".join(process.said().split())


def wait_for(condition, timeout=120):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def rounds_said(said):
    """(run, round) of every finished round that was told."""
    return [
        (line.split("] ", 1)[1].split(": round")[0], line.split(": round")[1].split()[0])
        for line in said.splitlines()
        if ": round" in line
    ]


def in_process(suite, storage):
    code, said = invoke("bench", suite, "--storage", storage, "--no-ray", "--retries", "0")
    assert code in (0, 1), said
    return records(storage / "tiny")


def test_a_suite_on_ray_gives_the_records_of_a_suite_in_this_process_and_reports_what_failed(tmp_path, start):
    suite = write_suite(tmp_path, ["random", "star", failing(tmp_path)])
    code, said = finish(start(suite, tmp_path / "ray", "--jobs", "2", "--retries", "1"))
    assert code == 1, said
    assert "2 at once on Ray" in said
    assert "fails, seed 1: tried again: RuntimeError: the idea did not work" in said
    assert "5 of 6 runs are finished, 1 failed" in said
    assert "FAILED fails, seed 1, round 1: RuntimeError: the idea did not work" in said
    assert "Traceback" not in said
    (path,) = (tmp_path / "ray").rglob("failure.json")
    assert json.loads(path.read_text())["attempts"] == 2
    assert records(tmp_path / "ray" / "tiny") == in_process(suite, tmp_path / "here")


def test_an_unknown_cluster_is_one_sentence(tmp_path, start):
    code, said = finish(start(write_suite(tmp_path, ["random"]), tmp_path, "--address", "127.0.0.1:1"))
    assert code == 2
    assert "albench: --address must be that of a running Ray cluster that lets you in, '127.0.0.1:1' does not: " in said
    assert "Traceback" not in said


def test_more_gpus_than_there_are_is_one_sentence(tmp_path, start):
    code, said = finish(start(write_suite(tmp_path, ["random"]), tmp_path, "--gpus-per-run", "64"))
    assert code == 2
    assert "a run must fit on one node, it asks for 1 CPUs and 64 GPUs and the largest node has" in said
    assert said.endswith("lower --cpus-per-run or --gpus-per-run")


@pytest.mark.slow
def test_a_driver_killed_in_the_middle_repeats_no_finished_round(tmp_path, start):
    suite = write_suite(tmp_path, ["random", "entropy", "star"])
    root = tmp_path / "ray" / "tiny"
    first = start(suite, tmp_path / "ray", "--jobs", "2")
    wait_for(lambda: first.said().count(": round") >= 5)
    os.killpg(first.pid, signal.SIGKILL)
    time.sleep(5)  # the workers notice that their driver is gone
    before = {name: len(rounds) for name, rounds in records(root).items()}
    assert 5 <= sum(before.values()) < 18
    second = start(suite, tmp_path / "ray", "--jobs", "2")
    code, said = finish(second)
    assert code == 0, said
    told = rounds_said(second.said())
    assert len(told) == len(set(told)) == 18 - sum(before.values())
    assert records(root) == in_process(suite, tmp_path / "here")


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path, start):
    suite = write_suite(tmp_path, ["random", "entropy", "star"])
    first = start(suite, tmp_path / "ray", "--jobs", "2")
    wait_for(lambda: first.said().count(": round") >= 2)
    os.killpg(first.pid, signal.SIGINT)
    code, said = finish(first, timeout=60)
    assert code == 130, said
    assert said.endswith("albench: stopped; the same command continues after the last finished round")
    assert "Traceback" not in said
    code, said = finish(start(suite, tmp_path / "ray", "--jobs", "2"))
    assert code == 0, said
    assert records(tmp_path / "ray" / "tiny") == in_process(suite, tmp_path / "here")


@pytest.fixture
def cluster(tmp_path):
    """Two Ray nodes of one core each, with separate caches and working folders; gives address and processes."""
    nodes, port = [], 26379

    def node(name, *arguments):
        folder = tmp_path / name
        folder.mkdir()
        environment = os.environ | {"ALBENCH_CACHE": str(folder / "cache")} | AUTHENTICATED
        command = [BIN / "ray", "start", "--block", "--num-cpus=1", "--disable-usage-stats", *arguments]
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
    yield f"127.0.0.1:{port}", nodes
    for process in nodes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    subprocess.run([str(BIN / "ray"), "stop", "--force"], capture_output=True, check=False)


def kill_node(folder):
    """Kill all processes that a node started: those whose working folder or cache is its own."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if f"ALBENCH_CACHE={folder}/cache" in (path / "environ").read_text():
                    os.kill(int(path.name), signal.SIGKILL)
            except (OSError, UnicodeDecodeError):
                continue


@pytest.mark.slow
def test_a_node_that_dies_in_the_middle_changes_no_record(tmp_path, start, cluster):
    address, _ = cluster
    longer = {"protocol": {"rounds": 8}, "training": {"epochs": 20, "patience": 20}}
    suite = write_suite(tmp_path, [{"strategy": name, "settings": longer} for name in ("random", "star")])
    storage = tmp_path / "shared"
    process = start(suite, storage, "--address", address, **AUTHENTICATED)
    wait_for(lambda: {("random, seed 0", "1"), ("random, seed 1", "1")} <= set(rounds_said(process.said())))
    kill_node(tmp_path / "worker")
    code, said = finish(process)
    assert code == 0, said
    assert "2 at once on Ray" in said
    assert "tried again: the process or the node of the run died" in said
    told = rounds_said(process.said())
    assert len(told) == len(set(told))
    assert records(storage / "tiny") == in_process(suite, tmp_path / "here")

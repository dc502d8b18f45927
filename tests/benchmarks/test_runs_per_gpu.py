"""How many runs share a GPU: what is measured, told and remembered, with measurements that are made up."""

import re

import pytest
import torch
from support.samples import invoke
from support.suites import write_suite

from albench.benchmarks import estimate, plan_suite, ray_runner, run_suite, runs_per_gpu
from albench.benchmarks.progress import ProgressTable
from albench.benchmarks.side_by_side import ProbeError, train_side_by_side
from albench.benchmarks.suite_callback import SuiteCallback
from albench.benchmarks.timed_training import TimedTraining, timed_training
from albench.console import terminal
from albench.run_session import Execution

GB = 10**9


class Told(SuiteCallback):
    """Keeps what is told."""

    def __init__(self):
        self.probed, self.lines = [], []

    def on_probe(self, processes):
        self.probed.append(processes)

    def on_notice(self, text):
        self.lines.append(text)


class Machine:
    """A machine with one GPU and 16 cores, on which `speeds[n]` says how fast n processes train together."""

    def __init__(self):
        self.speeds, self.gpus, self.cores, self.name = {1: 41.0, 2: 78.0, 4: 120.0, 8: 122.0}, 1, 16, "simulated"
        self.measured = []

    def train(self, spec, processes, device, threads, graphs):
        assert device == "cuda:0"
        self.measured.append((spec.label, processes))
        speed = self.speeds[processes]
        if speed is None:
            raise ProbeError("a process died")
        return [TimedTraining(speed / processes, 3_100_000_000, 80 * GB)] * processes


@pytest.fixture
def machine(monkeypatch):
    made = Machine()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: made.gpus)
    monkeypatch.setattr(runs_per_gpu, "train_side_by_side", made.train)
    monkeypatch.setattr(runs_per_gpu, "max_parallel_runs", lambda device, cpus: made.cores // cpus)
    monkeypatch.setattr(runs_per_gpu, "device_name", lambda device: made.name)
    return made


@pytest.fixture
def plan(tmp_path):
    """Plan a suite of six runs in the same folder."""

    def call(strategies=("random", "entropy"), **changes):
        suite = write_suite(tmp_path, list(strategies), seeds=3)
        return plan_suite(str(suite), storage=tmp_path / "runs", **changes)

    return call


def choose(plan, cpus=1, parallel=None, *, graphs=True):
    """The choice, the numbers of processes that were measured for it, and the lines that were told."""
    told = Told()
    return plan.on_gpus(cpus, parallel, graphs=graphs).choose(told), told.probed, told.lines


LINE = (
    "4 runs at once on each GPU: 1 process trains 41 steps/s, 2 train 78, 4 train 120; "
    "each needs 3.1 GB of the 80.0 GB that are free"
)


def test_the_choice_is_told_in_one_line_and_remembered(machine, plan):
    assert choose(plan()) == (4, [1, 2, 4], [LINE])
    day = plan().on_gpus(1, None, graphs=True).remembered().day
    assert choose(plan()) == (4, [], [f"{LINE} (measured on {day})"])


@pytest.mark.parametrize("change", ["GPU", "threads", "graphs", "settings", "damage"])
def test_what_was_measured_under_other_conditions_is_measured_anew(tmp_path, machine, plan, change):
    choose(plan())
    if change == "GPU":
        machine.name = "another"
    if change == "damage":
        (tmp_path / "runs" / "tiny" / ".gpu-sharing.json").write_text("{}")
    settings = {"training.batch_size": 4} if change == "settings" else None
    changed = {"cpus": 2} if change == "threads" else {"graphs": False} if change == "graphs" else {}
    assert choose(plan(settings=settings), **changed) == (4, [1, 2, 4], [LINE])


def test_cores_runs_and_parallel_limit_what_is_measured(machine, plan):
    assert choose(plan(), parallel=1) == (1, [], [])
    assert choose(plan(), cpus=8)[:2] == (2, [1, 2])
    machine.gpus = 4
    assert choose(plan()) == (1, [], [])  # more would leave GPUs idle, six runs on four GPUs
    machine.gpus = 2
    assert choose(plan())[:2] == (2, [1, 2])
    machine.gpus = 1
    assert choose(plan())[:2] == (4, [4])  # what is missing is added


def test_a_measurement_that_fails_leaves_one_run_on_each_gpu(machine, plan):
    machine.speeds[1] = None
    line = "1 run at a time on each GPU: the measurement failed, a process died"
    assert choose(plan()) == (1, [1], [line])
    machine.speeds |= {1: 41.0, 2: None}
    chosen, probed, (line,) = choose(plan())
    assert (chosen, probed) == (1, [1, 2])
    assert "1 process trains 41 steps/s, 2 cannot train at the same time;" in line


def test_the_measured_run_is_that_of_most_runs_with_the_loss_of_its_own(machine, plan):
    larger = {"strategy": "taal", "label": "larger", "settings": {"training": {"batch_size": 16}}}
    choose(plan(["random", larger, "entropy", "taal", "full"]))
    assert {label for label, _ in machine.measured} == {"taal"}


@pytest.mark.slow
def test_the_processes_are_real(monkeypatch, machine, plan):
    """On the CPU, which has no memory of its own to run out of."""
    monkeypatch.setattr(runs_per_gpu, "train_side_by_side", train_side_by_side)
    monkeypatch.setattr(runs_per_gpu, "_DEVICE", "cpu")
    chosen, probed, (line,) = choose(plan(), parallel=2)
    assert chosen in (1, 2)
    assert probed == [1, 2]
    assert re.fullmatch(r".* 1 process trains [\d.]+ steps/s, 2 train [\d.]+; each needs 0.0 MB .*", line)
    assert choose(plan(), parallel=2)[1] == []


def test_the_progress_says_what_is_measured_and_prints_the_line(machine, plan, capsys):
    table = ProgressTable(terminal())
    assert plan().on_gpus(1, None, graphs=True).choose(table) == 4
    table.on_end()
    assert " ".join(capsys.readouterr().out.split()) == LINE


class ReachedError(Exception):
    """Ray would have been started."""


@pytest.mark.parametrize(
    ("options", "gpus"),
    [
        ({}, 0.25),
        ({"gpus_per_run": 0.5}, 0.5),
        ({"address": "127.0.0.1:1"}, None),
        ({"max_parallel": 1}, None),
        ({"cpus_per_run": 8}, 0.5),
    ],
)
def test_a_suite_on_ray_takes_the_share_unless_it_is_given_or_on_a_cluster(monkeypatch, machine, plan, options, gpus):
    taken = []

    def connected(address, cpus, gpus):
        taken.append(gpus)
        raise ReachedError

    monkeypatch.setattr(ray_runner, "connected", connected)
    with pytest.raises(ReachedError):
        run_suite(plan(), **options)
    assert taken == [gpus]
    assert bool(machine.measured) == (gpus is not None and "gpus_per_run" not in options)


@pytest.mark.parametrize("where", ["RAY_ADDRESS", "no GPU"])
def test_nothing_is_measured_for_a_cluster_or_without_a_gpu(monkeypatch, machine, plan, where):
    if where == "no GPU":
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    else:
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")

    def connected(address, cpus, gpus):
        assert gpus is None
        raise ReachedError

    monkeypatch.setattr(ray_runner, "connected", connected)
    with pytest.raises(ReachedError):
        run_suite(plan())
    assert machine.measured == []


@pytest.mark.gpu
def test_a_plan_expects_what_is_remembered(gpu, tmp_path, machine, plan, monkeypatch):
    def hours(runs, root, cost_of, *, keep_weights):
        return {"random": estimate.Estimate((3600.0, 7200.0), 1e6)}

    monkeypatch.setattr(estimate, "estimate", hours)
    command = ("bench", tmp_path / "tiny.yaml", "--storage", tmp_path / "runs", "--plan")
    todo = plan()
    assert "; 1 in parallel finish" in invoke(*command)[1]
    choose(todo)
    assert "; 4 in parallel finish" in invoke(*command)[1]
    assert "; 2 in parallel finish" in invoke(*command, "--jobs", "2")[1]
    assert "; 1 in parallel finish" in invoke(*command, "--gpus-per-run", "1")[1]
    assert todo.on_gpus(1, None, graphs=True).expected() == (4, 120 / 41)


@pytest.mark.gpu
def test_a_process_measures_its_memory_on_the_gpu(gpu, tmp_path, plan):
    found = timed_training(plan().runs[0].spec, tmp_path / "alone", Execution(gpu), 0.1, lambda: None)
    assert found.steps > 0
    assert 0 < found.memory < found.free

"""Real processes that train at the same time, on the CPU."""

import multiprocessing
import os
import signal
import threading
import time

import pytest
from support.suites import write_suite

from albench.benchmarks import timed_training
from albench.benchmarks.plan import plan_runs
from albench.benchmarks.side_by_side import ProbeError, train_side_by_side
from albench.benchmarks.suite import load_suite

pytestmark = pytest.mark.slow

WATCHED = '''
"""Trains as all others, and writes the time of every step to a file of its process. It fails if told so."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from albench.strategy import Query, Round, Strategy


@dataclass(frozen=True)
class Watched(Strategy):
    folder: str = ""
    failure: str = "none"

    def loss(self, model, batch, unlabeled, epoch):
        if self.failure == "raises":
            raise RuntimeError("the idea did not work")
        if self.failure == "dies":
            os._exit(3)
        with Path(self.folder, f"times.{os.getpid()}").open("a") as file:
            file.write(f"{time.monotonic_ns()}\\n")
        return super().loss(model, batch, unlabeled, epoch)

    def query(self, ctx: Round) -> Query:
        return Query(ctx.pool.unlabeled[: ctx.budget])
'''


@pytest.fixture
def watched(tmp_path):
    """A function that gives a run whose steps can be watched in the folder `times`, and which fails if told so."""
    (tmp_path / "watched.py").write_text(WATCHED)
    (tmp_path / "times").mkdir()

    def spec(failure="none"):
        options = {"strategy": {"folder": str(tmp_path / "times"), "failure": failure}}
        entry = {"strategy": f"{tmp_path / 'watched.py'}:Watched", "label": "watched", "settings": options}
        return plan_runs(load_suite(str(write_suite(tmp_path, [entry], seeds=1))))[0].spec

    return spec


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_measure_at_the_same_time(tmp_path, watched, processes):
    found = train_side_by_side(watched(), processes, "cpu", 1, False, seconds=0.3)
    assert len(found) == processes
    assert all(training.steps > 0 and training.memory == training.free == 0 for training in found)
    times = [[int(line) for line in path.read_text().split()] for path in (tmp_path / "times").iterdir()]
    assert len(times) == processes
    warm_up = timed_training._WARM_UP
    ready = max(steps[warm_up - 1] for steps in times)
    for steps in times:
        assert steps[warm_up] > ready  # no process begins before all are ready
        assert steps[-1] - steps[warm_up] > 0.2e9  # and all train to the end
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("failure", "reason"),
    [("raises", "RuntimeError: the idea did not work"), ("dies", "a process died")],
)
def test_a_process_that_fails_or_dies_is_one_sentence_and_leaves_no_process(watched, failure, reason):
    with pytest.raises(ProbeError, match=reason):
        train_side_by_side(watched(failure), 1, "cpu", 1, False)
    assert multiprocessing.active_children() == []


def test_ctrl_c_ends_all_processes(tmp_path, watched):
    spec = watched()

    def interrupt():
        while not any((tmp_path / "times").iterdir()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for its background jobs
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            train_side_by_side(spec, 2, "cpu", 1, False, seconds=100)
    finally:
        signal.signal(signal.SIGINT, before)
    assert multiprocessing.active_children() == []

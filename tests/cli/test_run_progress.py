"""The lines of a run on a console that is no terminal."""

import io
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console
from support.samples import TINY

from albench import run
from albench.cli import run_progress
from albench.cli.run_progress import LineProgress


@pytest.fixture
def progress():
    return LineProgress(Console(file=io.StringIO(), width=200))


def lines(progress):
    return progress._console.file.getvalue().splitlines()


def test_the_time_left_is_that_of_later_rounds_and_unknown_after_round_0(progress, tmp_path, monkeypatch):
    """Round 0 trains long, or at once if it takes its training from another run."""
    clock = iter([0.0, 500.0, 510.0, 530.0])  # the start, and the ends of round 0, 1 and 2 of 4
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: next(clock))
    done = run("random", "phantom", settings=TINY | {"protocol.rounds": 2}, out=tmp_path, device="cpu")
    progress.on_start(done.config, [])
    progress._rounds = 4
    for record in done.records:
        progress.on_round(record)
    progress._awaited.close()
    assert [re.split(r" mm *", line)[1] for line in lines(progress)] == ["", "0m30s left", "0m30s left"]


def test_a_run_in_a_pipe_says_which_round_it_computes_until_that_is_done(progress, tmp_path, monkeypatch):
    monkeypatch.setattr("albench.console.LONG_WAIT", 0.02)
    done = run("random", "phantom", settings=TINY | {"protocol.rounds": 1}, out=tmp_path, device="cpu")
    with progress:
        progress.on_start(done.config, [])
        time.sleep(0.1)
        progress.on_round(done.records[0])
    assert lines(progress)[0] == "computing round 0 of 1"
    again = LineProgress(Console(file=io.StringIO(), width=100))
    with again:
        again.on_start(done.config, done.records)
        time.sleep(0.1)
    assert lines(again) == ["finished rounds: 2"]
    with again:
        again.on_start(done.config, done.records[:1])
    time.sleep(0.1)
    assert lines(again) == ["finished rounds: 2", "finished rounds: 1"]


@pytest.mark.parametrize(("warm_start", "told"), [(True, [0]), (False, [0, 1])])
def test_a_network_that_kept_its_initial_weights_is_called_untrained(progress, tmp_path, warm_start, told):
    settings = TINY | {"protocol.rounds": 2, "protocol.warm_start": warm_start}
    done = run("random", "phantom", settings=settings, out=tmp_path, device="cpu")
    progress.on_start(done.config, [])
    for record, step in zip(done.records, (0, 0, 1), strict=True):
        kept = tuple(replace(training, best_step=step) for training in record.fit_trainings)
        progress.on_round(replace(record, fit_trainings=kept))
    progress.on_round(replace(done.records[0], fit_trainings=()))
    progress._awaited.close()
    assert [line for line in lines(progress) if "untrained" in line] == [
        f"the network of round {index} is untrained: no step of its training was better on the validation cases than "
        "the initial weights, which are kept"
        for index in told
    ]

"""One process of the measurement, in this process."""

import pytest
import torch
from support.suites import write_suite

from albench.benchmarks import timed_training
from albench.benchmarks.plan import plan_runs
from albench.benchmarks.suite import load_suite
from albench.errors import AlbenchError
from albench.run_session import Execution

UNTRAINED = '''
"""Does not train."""

from dataclasses import dataclass

from albench.strategy import Query, Round, Strategy


@dataclass(frozen=True)
class Untrained(Strategy):
    def fit(self, ctx: Round) -> None:
        pass

    def query(self, ctx: Round) -> Query:
        return Query(ctx.pool.unlabeled[: ctx.budget])
'''


def train(tmp_path, entries, wait=lambda: None, **settings):
    """Time the training of the first run of a suite for a moment."""
    suite = load_suite(str(write_suite(tmp_path, entries, seeds=1)), settings=settings)
    spec = plan_runs(suite)[0].spec
    return timed_training.timed_training(spec, tmp_path / "runs", Execution(torch.device("cpu")), 0.05, wait)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"protocol.compute": "matched", "protocol.steps": 4},
        {"protocol.validation": "none", "training.stop": "steps"},
        {"protocol.splits": "nested", "protocol.start": "cases"},
    ],
)
def test_a_run_with_any_protocol_trains_until_the_time_is_up(tmp_path, settings):
    waited = []
    found = train(tmp_path, ["taal", "random"], lambda: waited.append(1), **settings)
    assert found.steps > 0
    assert waited == [1]
    torch.optim.Adam([torch.zeros(1, requires_grad=True)]).step()  # is not interrupted


def test_a_training_without_steps_cannot_be_timed(tmp_path):
    (tmp_path / "untrained.py").write_text(UNTRAINED)
    entry = {"strategy": f"{tmp_path / 'untrained.py'}:Untrained", "label": "untrained"}
    with pytest.raises(AlbenchError, match="the training of 'untrained' ended before its speed was measured"):
        train(tmp_path, [entry])


def test_the_time_is_that_of_the_steps_after_the_first_ones(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timed_training.time, "perf_counter", lambda: now[0])
    waited = []

    def wait():
        waited.append(now[0])
        now[0] += 100  # until the others are ready

    watch = timed_training._Stopwatch(torch.device("cpu"), 2.0, wait)

    def step():
        now[0] += 0.5
        watch()

    for _ in range(13):
        step()
    with pytest.raises(timed_training._TimeUpError):
        step()
    assert waited == [5.0]
    assert (watch.counted, watch.elapsed) == (4, 2.0)

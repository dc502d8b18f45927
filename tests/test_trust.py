"""The loop trusts nothing that it handed to a strategy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.samples import TINY
from support.slow import slow_but

from albench.errors import StrategyError
from albench.loop import run
from albench.resolve import resolve
from albench.run_session import Execution
from albench.runs import RunReader
from albench.strategy import Query, Round, Strategy
from albench.training.predictor import Prediction


def nothing(ctx: Round) -> None:
    pass


@dataclass(frozen=True)
class Tampers(Strategy):
    """Queries the first slices, and changes what it was given after training, or before its query."""

    after_fit: Callable[[Round], None] = nothing
    before_query: Callable[[Round], None] = nothing

    def fit(self, ctx: Round) -> None:
        super().fit(ctx)
        self.after_fit(ctx)

    def query(self, ctx: Round) -> Query:
        self.before_query(ctx)
        return Query(ctx.pool.unlabeled[: ctx.budget])


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., RunReader]:
    def start(out: str, settings: dict[str, object] | None = None, **hooks: Callable[[Round], None]) -> RunReader:
        resolved = resolve("random", "phantom", settings=TINY | (settings or {}))
        return run(replace(resolved, strategy=Tampers(**hooks)), tmp_path / out, Execution(torch.device("cpu")))

    return start


def more_budget(ctx: Round) -> None:
    object.__setattr__(ctx, "budget", 30)


def another_index(ctx: Round) -> None:
    object.__setattr__(ctx, "index", 99)


def no_trainings(ctx: Round) -> None:
    ctx.learner.log.clear()


def pseudo_labels(ctx: Round) -> None:
    ctx.pseudo[0] = np.ones(ctx.pool.slices.shape[1:], np.uint8)


def everything_predicted(ctx: Round) -> None:
    usual = ctx.learner.predict

    def predict(slices, ids):
        for some in usual(slices, ids):
            yield Prediction(some.ids, torch.ones_like(some.probs), some.valid, some.scored)

    ctx.learner.predict = predict


def another_network(ctx: Round) -> None:
    ctx.learner.network = torch.nn.Conv2d(1, 1, 1)


def results(reader: RunReader) -> list[object]:
    return [(record.results(), reader.query(index).ids) for index, record in enumerate(reader.records)]


@pytest.mark.parametrize(
    "hooks",
    slow_but(
        [{"after_fit": another_network}, {"before_query": pseudo_labels}],
        [
            {"after_fit": another_index},
            {"after_fit": no_trainings},
            {"after_fit": pseudo_labels},
            {"after_fit": everything_predicted},
            {"after_fit": another_network},
            {"before_query": another_index},
            {"before_query": pseudo_labels},
        ],
    ),
    ids=lambda hooks: " ".join(f"{when} {what.__name__}" for when, what in hooks.items()),
)
def test_records_are_those_of_a_strategy_that_leaves_everything_as_it_is(play, hooks):
    assert results(play("tampered", **hooks)) == results(play("honest"))


@pytest.mark.parametrize("hook", ["after_fit", "before_query"])
def test_a_budget_is_not_larger_because_a_strategy_says_so(play, hook):
    with pytest.raises(StrategyError, match=r"a query must have exactly 3 slices, got \d\d: return `budget` ids"):
        play("tampered", **{hook: more_budget})


def test_a_labeled_slice_stays_labeled_whatever_a_strategy_says(play):
    def renewed(ctx: Round) -> None:
        object.__setattr__(ctx.pool, "_masks", {})

    with pytest.raises(StrategyError, match=r"a query must name unlabeled slices, slice 0 .* is labeled already"):
        play("tampered", before_query=renewed)


def test_steps_are_not_allowed_because_a_strategy_says_so(play):
    def again(ctx: Round) -> None:
        ctx.learner.allow(9)
        ctx.learner.fit(ctx.examples(), Tampers().loss)

    matched = {"protocol.compute": "matched", "protocol.steps": 4}
    sentence = "with protocol.compute=matched {} must take at most 4 optimizer steps, it took {}: leave the allowance"
    with pytest.raises(StrategyError, match=sentence.format("fit", 13)):
        play("fit", matched, after_fit=again)
    with pytest.raises(StrategyError, match=sentence.format("query", 9)):
        play("query", matched, before_query=again)

"""The contract kit: every strategy of albench passes it, and broken ones fail for the right reason."""

import pickle
import random
import re
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from support.samples import TINY
from support.slow import slow_but

from albench.loop import Execution, run
from albench.registry import STRATEGIES, available
from albench.resolve import resolve
from albench.strategies.entropy import Entropy
from albench.strategies.random_choice import Random
from albench.strategy import Query, Round, Strategy
from albench.testing import Check, check_dataset, check_strategy, harness


@pytest.mark.parametrize("name", slow_but(["entropy"], [entry.name for entry in available(STRATEGIES)]))
def test_every_strategy_passes_the_contract_kit(name):
    (entry,) = (entry for entry in available(STRATEGIES) if entry.name == name)
    assert entry.cls is not None, entry.problem
    strategy = entry.cls()
    if hasattr(strategy, "passes"):
        strategy = replace(strategy, passes=4)  # as random as more, in less time
    checks = check_strategy(strategy, audit=False)
    assert [check for check in checks if not check.passed] == []
    assert len(checks) == 12


def first(ctx: Round) -> Query:
    return Query(ctx.pool.unlabeled[: ctx.budget])


@dataclass(frozen=True)
class Peeks(Strategy):
    """Reads masks of unlabeled slices, which the test leaks."""

    def query(self, ctx: Round) -> Query:
        area = LEAK[len(LEAK) - 1].masks(ctx.pool.unlabeled).sum((1, 2))
        return Query.highest(area + np.linspace(0, 0.5, len(area)), ctx)


@dataclass(frozen=True)
class Reads(Strategy):
    def query(self, ctx: Round) -> Query:
        ctx.pool.mask(int(ctx.pool.unlabeled[0]))
        return first(ctx)


@dataclass(frozen=True)
class Repeats(Strategy):
    def query(self, ctx: Round) -> Query:
        return Query(np.repeat(ctx.pool.unlabeled[:1], ctx.budget))


@dataclass(frozen=True)
class DrawsGlobally(Strategy):
    def query(self, ctx: Round) -> Query:
        np.random.shuffle(np.arange(3))
        random.random()
        return Entropy().query(ctx)


@dataclass(frozen=True)
class ChoosesGlobally(Strategy):
    def query(self, ctx: Round) -> Query:
        return Query(np.random.permutation(ctx.pool.unlabeled)[: ctx.budget])


@dataclass(frozen=True)
class EditsWeights(Strategy):
    def query(self, ctx: Round) -> Query:
        query = Entropy().query(ctx)
        with torch.no_grad():
            ctx.learner.network.decoder.predict.bias += 1
        return query


@dataclass(frozen=True)
class ForgetsDropout(Strategy):
    def query(self, ctx: Round) -> Query:
        ctx.learner.network.eval()
        ctx.learner.network.dropout.train()
        return first(ctx)


@dataclass(frozen=True)
class TakesTheFirst(Strategy):
    def query(self, ctx: Round) -> Query:
        return first(ctx)


@dataclass(frozen=True)
class DrawsAmongTheFirst(Strategy):
    def query(self, ctx: Round) -> Query:
        return Query(ctx.rng.choice(ctx.pool.unlabeled[: 2 * ctx.budget], ctx.budget, replace=False))


@dataclass(frozen=True)
class Remembers(Strategy):
    calls: list[int] = field(default_factory=list)

    def query(self, ctx: Round) -> Query:
        self.calls.append(1)
        return Query(np.roll(ctx.pool.unlabeled, len(self.calls))[: ctx.budget])


@dataclass(frozen=True)
class EditsImages(Strategy):
    def query(self, ctx: Round) -> Query:
        ctx.pool.slices.images[0] = 0
        return first(ctx)


@dataclass(frozen=True)
class NeedsTwo(Strategy):
    def query(self, ctx: Round) -> Query:
        ids = ctx.pool.unlabeled
        assert len(ids) > ctx.budget, "nothing to choose from"
        return first(ctx)


@dataclass(frozen=True)
class NotANumber(Strategy):
    def query(self, ctx: Round) -> Query:
        return Query.highest(np.full(len(ctx.pool.unlabeled), np.nan), ctx)


@dataclass(frozen=True)
class LabelsTheLabeled(Strategy):
    def query(self, ctx: Round) -> Query:
        slice_id = int(ctx.pool.labeled[0])
        return Query(ctx.pool.unlabeled[: ctx.budget], pseudo={slice_id: ctx.pool.mask(slice_id)})


BY_ID = (
    "do not choose by id. Usual causes: a generator with a fixed seed, which draws the same ids in any order (draw "
    "from ctx.rng), and a tie broken by position, where the first of equal scores win (draw among them from ctx.rng)"
)


@dataclass(frozen=True)
class SeedsItself(Strategy):
    def query(self, ctx: Round) -> Query:
        return Query(np.random.default_rng(0).permutation(ctx.pool.unlabeled)[: ctx.budget])


@dataclass(frozen=True)
class BreaksTies(Strategy):
    def query(self, ctx: Round) -> Query:
        return Query.highest(np.full(len(ctx.pool.unlabeled), 0.5), ctx)


@dataclass(frozen=True)
class ScoresByCall(Strategy):
    calls: list[int] = field(default_factory=list)

    def query(self, ctx: Round) -> Query:
        self.calls.append(1)
        return replace(Random().query(ctx), scores=np.full(len(ctx.pool.unlabeled), float(len(self.calls))))


@dataclass(frozen=True)
class PaintsByCall(Strategy):
    calls: list[int] = field(default_factory=list)

    def query(self, ctx: Round) -> Query:
        self.calls.append(1)
        query = Random().query(ctx)
        mask = np.full_like(ctx.pool.mask(int(ctx.pool.labeled[0])), len(self.calls) % 2)
        return replace(query, pseudo={int(i): mask for i in np.setdiff1d(ctx.pool.unlabeled, query.ids)[:1]})


@dataclass(frozen=True)
class NotesByCall(Strategy):
    calls: list[int] = field(default_factory=list)

    def query(self, ctx: Round) -> Query:
        self.calls.append(1)
        return replace(Random().query(ctx), notes={"calls": len(self.calls)})


@dataclass(frozen=True)
class Unpicklable(Strategy):
    rule: object = field(default_factory=lambda: lambda ctx: Random().query(ctx))

    def query(self, ctx: Round) -> Query:
        return Random().query(ctx)


LEAK: list = []


@pytest.mark.parametrize(
    ("broken", "rule", "problem"),
    [
        (Reads, "queries exactly the budget", "only masks of labeled slices can be read, slice "),
        (Repeats, "queries exactly the budget", "must name each slice once, slice "),
        (NotANumber, "queries exactly the budget", "scores must be finite, slice "),
        (LabelsTheLabeled, "queries exactly the budget", "pseudo-labels must name unlabeled slices, slice "),
        (DrawsGlobally, "leaves the global random state", "drew from, or seeded, the global generator"),
        (
            ChoosesGlobally,
            "gives the same query in the same context",
            "the same context gave two queries, first ",
        ),
        (EditsWeights, "leaves the weights", "changed 'decoder.predict.bias' in query: train with ctx.learner"),
        (ForgetsDropout, "leaves the weights", "left the network partly in training and partly in evaluation mode"),
        (
            TakesTheFirst,
            "does not depend on the order",
            "with the cases in another order it chose other slices, first a 1, a 2, a 3, a 5, then e 1, e 2, e 3, e 5 "
            f"(case and position): {BY_ID}",
        ),
        (
            DrawsAmongTheFirst,
            "does not depend on the order",
            "times with the cases in another order: do not",
        ),
        (
            Remembers,
            "gives the same query in the same context",
            "the same context gave two queries, first e 6, e 7, a 1, a 2, then e 5, e 6, e 7, a 1 (case and position): "
            "use ctx.rng, and keep nothing between calls",
        ),
        (ScoresByCall, "gives the same query in the same context", ", with other scores: use ctx.rng, and keep"),
        (PaintsByCall, "gives the same query in the same context", ", with other pseudo-labels: use ctx.rng, and keep"),
        (
            NotesByCall,
            "gives the same records when a run is interrupted",
            "stopped and continued gave another record of round 0, in notes: keep nothing outside of Query",
        ),
        (SeedsItself, "does not depend on the order", BY_ID),
        (BreaksTies, "does not depend on the order", BY_ID),
        (EditsImages, "queries exactly the budget", "read-only"),
        (NeedsTwo, "works when one unlabeled slice is left", "it raised AssertionError: nothing to choose from"),
        (Unpicklable, "can be pickled", "it raised"),
    ],
)
def test_a_broken_strategy_fails_for_the_right_reason(broken, rule, problem):
    class FoundError(Exception):
        """The check of the rule is done."""

    def report(check: Check) -> None:
        if check.rule.startswith(rule):
            raise FoundError(check.problem)

    with pytest.raises(FoundError, match=re.escape(problem)):
        check_strategy(broken(), report, audit=False)


def test_a_strategy_that_reads_hidden_masks_is_detected(monkeypatch):
    original = harness.MaskOracle

    def leaking(labeled):
        LEAK.append(labeled)
        return original(labeled)

    monkeypatch.setattr(harness, "MaskOracle", leaking)
    problems = {check.rule: check.problem for check in check_strategy(Peeks(), audit=False)}
    assert "its query changed with masks" in problems["does not depend on masks of unlabeled slices"]


GIVEN: list[Round] = []


@dataclass(frozen=True)
class Keeps(Strategy):
    def query(self, ctx: Round) -> Query:
        GIVEN.append(ctx)
        return first(ctx)


def test_no_object_that_a_strategy_can_reach_holds_a_mask_of_an_unlabeled_slice(tmp_path, tiny):
    """Walk all objects that can be reached from the context in a run."""
    resolved = resolve("random", "phantom", settings=TINY)
    run(replace(resolved, strategy=Keeps()), tmp_path, Execution(torch.device("cpu")))
    ctx = GIVEN[-1]
    truth = tiny.labeled_stack(ctx.pool.slices.cases)
    hidden = [truth.masks(np.array([i]))[0] for i in ctx.pool.unlabeled]
    hidden = [mask for mask in hidden if mask.any()]
    patterns = {mask.tobytes() for mask in hidden} | {np.packbits(mask, axis=-1).tobytes() for mask in hidden}
    seen: set[int] = set()
    stack: list[object] = [ctx]
    arrays = 0
    while stack:
        value = stack.pop()
        if id(value) in seen or isinstance(value, str | bytes | int | float | type | type(np)):
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            arrays += 1
            if value.dtype == np.uint8:
                content = value.tobytes()
                assert not any(pattern in content for pattern in patterns)
            if value.base is not None:
                stack.append(value.base)
        elif isinstance(value, dict):
            stack += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            stack += list(value)
        else:
            stack += [getattr(value, name, None) for name in ("__self__", "func", "args", "keywords")]
            stack += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
            stack += list(getattr(value, "__dict__", {}).values())
    assert arrays > 5
    assert len(hidden) > 5


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_every_check_is_reported_when_it_is_done():
    reported = []
    checks = check_strategy(Random(), reported.append)
    assert reported == checks
    assert len(checks) == 13
    assert checks[-1].rule == "gives the same query in a fresh process without the masks that were not bought"
    assert pickle.loads(pickle.dumps(checks)) == checks


def test_a_broken_dataset_fails_for_the_right_reason():
    from albench.datasets.phantom import Phantom

    class Unsorted(Phantom):
        def cases(self):
            return super().cases()[::-1]

    class Global(Phantom):
        def load(self, case):
            volume = super().load(case)
            volume.image[0, 0, 0, 0] = np.random.random()
            return volume

    class Unfit(Phantom):
        def defaults(self):
            return {"protocol.budgets": 3}

    for broken, problem in [
        (Unsorted, "not sorted"),
        (Global, "differed when it was loaded twice"),
        (Unfit, "did you mean 'protocol.budget'?"),
    ]:
        failed = [check.problem for check in check_dataset(broken(count=4, depth=8, side=32)) if not check.passed]
        assert any(problem in text for text in failed)
    assert all(check.passed for check in check_dataset(Phantom(count=4, depth=8, side=32)))

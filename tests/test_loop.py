import ast
import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.samples import TINY

import albench
from albench import loop
from albench.errors import StrategyError
from albench.loop import Execution
from albench.oracle import MaskOracle
from albench.registry import STRATEGIES, available
from albench.resolve import resolve
from albench.runs import RunReader, find_runs
from albench.runs.records import Metrics
from albench.strategy import Query, Round, Strategy
from albench.training.learner import Weights

CPU = Execution(torch.device("cpu"))


def first(ctx: Round) -> Query:
    return Query(ctx.pool.unlabeled[: ctx.budget])


@dataclass(frozen=True)
class Scripted(Strategy):
    """Queries as it is told, and keeps what every round started and ended with."""

    answer: Callable[[Round], Query] = first
    rounds: list[Round] = field(default_factory=list)
    before: list[Weights] = field(default_factory=list)
    after: list[Weights] = field(default_factory=list)

    def fit(self, ctx: Round) -> None:
        self.rounds.append(ctx)
        self.before.append(ctx.learner.weights())
        super().fit(ctx)
        self.after.append(ctx.learner.weights())

    def query(self, ctx: Round) -> Query:
        return self.answer(ctx)


@pytest.fixture
def play(tmp_path):
    """Run a strategy object on the tiny phantom."""

    def start(
        strategy: Strategy, settings: dict[str, object] | None = None, *, seed: int = 0, out: str = "runs"
    ) -> RunReader:
        resolved = resolve("random", "phantom", seed=seed, settings=TINY | (settings or {}))
        return loop.run(replace(resolved, strategy=strategy), tmp_path / out, CPU)

    return start


def results_of(run: RunReader) -> list[dict[str, object]]:
    return [record.results() for record in run.records]


def same(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def empty(ctx: Round) -> np.ndarray:
    return np.zeros(ctx.pool.slices.shape[1:], np.uint8)


def test_every_record_has_every_metric(tiny_run):
    store = tiny_run("entropy")
    assert [record.round for record in store.records] == [0, 1, 2]
    for record in store.records:
        assert all(isinstance(metrics, Metrics) for metrics in (record.test, record.val, *record.cases.values()))
        assert record.test.dice_slice is not None
        assert tuple(record.cases) == store.split.test
        assert record.labeled + record.unlabeled == store.records[0].labeled + store.records[0].unlabeled
        assert record.share == record.labeled / (record.labeled + record.unlabeled)
        assert [training.purpose for training in record.fit_trainings] == ["training"]
        assert record.cost.seconds.total > record.cost.seconds.fit > sum(record.cost.fit_epoch_seconds) > 0
        assert len(record.cost.fit_epoch_seconds) == record.fit_trainings[0].epochs
        assert record.cost.cpu_seconds is not None
        assert record.cost.cpu_seconds.fit > 0


def test_the_same_seed_gives_the_same_records_and_queries(tiny_run):
    first, second = tiny_run("entropy", out="a"), tiny_run("entropy", out="b")
    assert results_of(first) == results_of(second)
    for path in sorted(first.folder.glob("rounds/*/query.json")):
        assert path.read_bytes() == (second.folder / path.relative_to(first.folder)).read_bytes()


def test_strategies_of_one_seed_start_alike_and_another_seed_does_not(play):
    forward, backward = Scripted(), Scripted(lambda ctx: Query(ctx.pool.unlabeled[-ctx.budget :]))
    one = results_of(play(forward))
    play_again = results_of(play(backward, {"training.patience": 4}))  # another digest, the same trainings
    assert one[0] == play_again[0]
    assert same(forward.after[0], backward.after[0])
    assert one[1]["test"] != play_again[1]["test"]
    other = Scripted()
    assert results_of(play(other, seed=1))[0]["test"] != one[0]["test"]
    assert not same(other.before[0], forward.before[0])


def test_full_labels_everything_and_trains_once(tiny_run):
    store = tiny_run("full")
    (record,) = store.records
    assert (record.unlabeled, record.share) == (0, 1.0)
    assert store.finished
    assert len(store.split.initial) == record.labeled


def test_with_warm_start_a_round_begins_where_the_last_one_ended_at_the_incremental_rate(play):
    strategy = Scripted()
    play(strategy, {"training.lr": 0.01, "training.lr_incremental": 0.002})
    assert same(strategy.before[1], strategy.after[0])
    assert same(strategy.before[2], strategy.after[1])
    assert [ctx.learner.lr for ctx in strategy.rounds] == [0.01, 0.002, 0.002]
    assert strategy.rounds[0].previous is None
    assert same(strategy.rounds[1].previous, strategy.after[0])


def test_without_warm_start_every_round_begins_at_the_initial_weights_at_the_first_rate(play):
    strategy = Scripted()
    play(strategy, {"protocol.warm_start": False, "training.lr": 0.01, "training.lr_incremental": 0.002})
    assert same(strategy.before[1], strategy.before[0])
    assert same(strategy.before[2], strategy.before[0])
    assert not same(strategy.after[0], strategy.before[0])
    assert [ctx.learner.lr for ctx in strategy.rounds] == [0.01, 0.01, 0.01]
    assert same(strategy.rounds[1].previous, strategy.after[0])


def test_the_budget_is_charged_and_the_last_round_queries_nothing(play):
    strategy = Scripted()
    store = play(strategy, {"protocol.rounds": 3})
    initial = store.records[0].labeled
    assert [record.labeled for record in store.records] == [initial, initial + 3, initial + 6, initial + 9]
    assert [ctx.budget for ctx in strategy.rounds] == [3, 3, 3, 0]
    queried = [store.query(index).ids for index in range(4)]
    assert [len(ids) for ids in queried] == [3, 3, 3, 0]
    for ctx, ids in zip(strategy.rounds[1:], queried, strict=False):
        assert set(ids) <= set(ctx.pool.labeled.tolist())


def test_a_run_without_rounds_trains_once(play):
    store = play(Scripted(lambda ctx: 1 / 0), {"protocol.rounds": 0})
    assert len(store.records) == 1
    assert store.finished


def test_a_run_ends_when_no_slice_is_unlabeled(play):
    strategy = Scripted()
    store = play(strategy, {"protocol.rounds": 9, "protocol.budget": 12})
    total = store.records[0].labeled + store.records[0].unlabeled
    assert len(store.records) < 10
    assert store.finished
    assert (store.records[-1].labeled, store.records[-1].unlabeled) == (total, 0)
    assert 0 < strategy.rounds[-2].budget <= 12
    assert strategy.rounds[-1].budget == 0


def test_a_finished_run_is_not_touched_again(play):
    store = play(Scripted())
    files = {path: path.stat().st_mtime_ns for path in store.folder.rglob("*") if path.suffix in (".npz", ".jsonl")}
    strategy = Scripted()
    assert play(strategy).records == store.records
    assert strategy.rounds == []
    assert {path: path.stat().st_mtime_ns for path in files} == files


@dataclass(frozen=True)
class Peeks(Scripted):
    """Reads the mask of an unlabeled slice while training."""

    def fit(self, ctx: Round) -> None:
        ctx.pool.mask(int(ctx.pool.unlabeled[0]))


BAD_QUERIES = {
    "peeks in query": (
        lambda ctx: Query(np.array([ctx.pool.mask(int(ctx.pool.unlabeled[0])).sum()])),
        r"only masks of labeled slices can be read, slice \d+ \(case .*\) is unlabeled: return its id from query",
    ),
    "twice": (
        lambda ctx: Query(ctx.pool.unlabeled[[0, 1, 0]]),
        r"a query must name each slice once, slice \d+ \(case .*\) is repeated",
    ),
    "too many": (lambda ctx: Query(ctx.pool.unlabeled[:4]), "a query must have exactly 3 slices, got 4: return `budge"),
    "too few": (lambda ctx: Query(ctx.pool.unlabeled[:2]), "a query must have exactly 3 slices, got 2"),
    "none": (lambda ctx: Query.empty(), "a query must have exactly 3 slices, got 0"),
    "labeled": (
        lambda ctx: Query(np.append(ctx.pool.unlabeled[:2], ctx.pool.labeled[0])),
        r"a query must name unlabeled slices, slice \d+ \(.*\) is labeled already",
    ),
    "outside": (lambda ctx: Query(np.array([9999, 1, 2])), r"a query must name slices of the pool, 0 to \d+, got 9999"),
    "negative": (lambda ctx: Query(np.array([-1, 1, 2])), r"a query must name slices of the pool, 0 to \d+, got -1"),
    "NaN scores": (
        lambda ctx: Query.highest(np.where(ctx.pool.unlabeled == ctx.pool.unlabeled[2], np.nan, 1.0), ctx),
        r"scores must be finite, slice \d+ \(case .*\) got nan",
    ),
    "infinite scores": (
        lambda ctx: Query(first(ctx).ids, scores=np.full(len(ctx.pool.unlabeled), np.inf)),
        r"scores must be finite, slice \d+ \(case .*\) got inf",
    ),
    "scores of wrong length": (
        lambda ctx: Query(first(ctx).ids, scores=np.zeros(len(ctx.pool.slices))),
        r"scores must be one per unlabeled slice, \(\d+,\), got \(\d+,\)",
    ),
    "pseudo-label of wrong shape": (
        lambda ctx: Query(first(ctx).ids, {int(ctx.pool.unlabeled[5]): np.zeros((8, 8), np.uint8)}),
        r"pseudo-labels must be uint8 masks of 0 to 1 of shape \(32, 32\), got uint8 \(8, 8\) .* for slice \d+ \(",
    ),
    "pseudo-label of wrong dtype": (
        lambda ctx: Query(first(ctx).ids, {int(ctx.pool.unlabeled[5]): empty(ctx).astype(np.float32)}),
        r"pseudo-labels must be uint8 masks of 0 to 1 .*, got float32",
    ),
    "pseudo-label of two": (
        lambda ctx: Query(first(ctx).ids, {int(ctx.pool.unlabeled[5]): empty(ctx) + 2}),
        r"pseudo-labels must be uint8 masks of 0 to 1 .* up to 2 for slice",
    ),
    "pseudo-label of a labeled slice": (
        lambda ctx: Query(first(ctx).ids, {int(ctx.pool.labeled[0]): empty(ctx)}),
        r"pseudo-labels must name unlabeled slices, slice \d+ \(.*\) is labeled already",
    ),
}


@pytest.mark.parametrize("case", BAD_QUERIES)
def test_a_bad_query_is_one_sentence_and_nothing_of_the_round_is_stored(play, tmp_path, case):
    answer, sentence = BAD_QUERIES[case]
    with pytest.raises(StrategyError, match=f"^strategy 'scripted': {sentence}") as refused:
        play(Scripted(answer))
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.rglob("rounds*"))


def test_the_mask_of_an_unlabeled_slice_cannot_be_read_in_fit(play, tmp_path):
    with pytest.raises(StrategyError, match=r"^strategy 'peeks': only masks of labeled slices can be read, slice "):
        play(Peeks())
    assert not list(tmp_path.rglob("rounds*"))


def test_a_bad_query_in_a_later_round_keeps_the_earlier_ones(play, tmp_path):
    with pytest.raises(StrategyError, match="exactly 3 slices, got 0"):
        play(Scripted(lambda ctx: first(ctx) if ctx.index == 0 else Query.empty()))
    (run,) = find_runs(tmp_path)
    assert len(run.records) == 1
    assert [path.name for path in (run.folder / "rounds").iterdir()] == ["00"]
    resumed = play(Scripted())
    assert len(resumed.records) == 3


def test_pseudo_labels_last_one_round_and_those_that_are_annotated_are_dropped(play):
    given = {}

    def answer(ctx: Round) -> Query:
        if ctx.index:
            return first(ctx)
        rng = np.random.default_rng(0)
        chosen = ctx.pool.unlabeled[[1, 5, 7]].tolist()
        given.update({i: rng.integers(0, 2, empty(ctx).shape).astype(np.uint8) for i in chosen})
        return Query(first(ctx).ids, given)

    strategy = Scripted(answer)
    store = play(strategy)
    annotated, *kept = given
    ctx = strategy.rounds[1]
    assert sorted(ctx.pseudo) == kept
    assert annotated in ctx.pool.labeled
    for i in kept:
        np.testing.assert_array_equal(ctx.pseudo[i], given[i])
        np.testing.assert_array_equal(ctx.examples()[i], given[i])
        np.testing.assert_array_equal(store.pseudo(0)[i], given[i])
    assert len(ctx.examples()) == len(ctx.pool.labeled) + 2
    assert len(strategy.rounds[2].pseudo) == 0
    assert [record.pseudo.count for record in store.records] == [0, 2, 0]
    shares = [given[i].mean() for i in kept]
    assert store.records[1].pseudo.foreground_share == pytest.approx(np.mean(shares))


def test_a_run_that_was_stopped_in_a_query_continues_to_the_same_records(play, tmp_path):
    def stop(ctx: Round) -> Query:
        if ctx.index == 1:
            raise KeyboardInterrupt
        return whole(ctx)

    def whole(ctx: Round) -> Query:
        chosen = ctx.pool.unlabeled[[0, 4]].tolist()
        return Query(ctx.rng.choice(ctx.pool.unlabeled, ctx.budget, replace=False), {i: empty(ctx) for i in chosen})

    with pytest.raises(KeyboardInterrupt):
        play(Scripted(stop))
    resumed = play(Scripted(whole))
    expected = play(Scripted(whole), out="whole")
    assert results_of(resumed) == results_of(expected)
    assert (resumed.folder / "scores.csv").read_bytes() == (expected.folder / "scores.csv").read_bytes()


def test_what_a_strategy_draws_from_torch_is_the_same_every_time_and_another_in_every_round(play, tmp_path):
    drawn = []

    def draw(ctx: Round) -> Query:
        drawn.append((torch.rand(3).tolist(), ctx.rng.random(3).tolist()))
        return first(ctx)

    play(Scripted(draw))
    torch.manual_seed(7)
    play(Scripted(draw), {"training.patience": 4})
    assert drawn[:2] == drawn[2:]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


def test_a_run_leaves_the_global_random_state_alone(tiny_run):
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    tiny_run("random", {"protocol.rounds": 1})
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == str(before[1])
    assert random.getstate() == before[2]


def test_no_strategy_is_named_in_the_core():
    names = {entry.name for entry in available(STRATEGIES) if entry.cls and entry.cls.__module__.startswith(STRATEGIES)}
    assert {"random", "entropy", "full"} <= names
    folder = Path(albench.__file__).parent
    files = sorted(folder.glob("*.py"))
    assert folder / "loop.py" in files
    for path in files:
        constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not constants & names, f"{path.name} names a strategy"


def test_the_loop_fits_on_one_screen():
    assert len(inspect.getsource(loop.run).splitlines()) <= 60


@pytest.mark.parametrize(
    ("name", "settings"),
    [("star", {}), ("star", {"strategy.preset": "reference"}), ("ceal-entropy", {}), ("ceal-margin", {})],
)
def test_the_oracles_masks_are_the_same_after_a_run_with_pseudo_labels(tiny_run, monkeypatch, name, settings):
    oracles = []
    original = MaskOracle.__init__

    def keeping(self, truth, annotator=None, charged=None):
        original(self, truth, annotator, charged)
        oracles.append((truth.truth.packed, truth.truth.packed.tobytes()))

    monkeypatch.setattr(MaskOracle, "__init__", keeping)
    store = tiny_run(name, settings)
    assert any(record.pseudo.count for record in store.records)
    (oracle,) = oracles
    assert oracle[0].tobytes() == oracle[1]


def test_what_a_strategy_notes_is_in_the_record(tiny_run):
    notes = tiny_run("star").records[0].notes
    assert notes["groups"] > 0
    assert len(notes["similarity_counts"]) == len(notes["similarity_edges"]) - 1 == 20
    assert sum(notes["similarity_counts"]) == tiny_run("star").records[0].unlabeled

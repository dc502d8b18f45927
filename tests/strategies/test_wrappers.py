"""The wrappers on a hand-worked pool of two volumes of six slices, and against second implementations."""

from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.samples import TINY
from support.slow import slow_but

from albench import loop
from albench.audit.auditor import audit_rounds
from albench.benchmarks.plan import with_absolute_paths
from albench.benchmarks.search import Search
from albench.benchmarks.suite import load_suite
from albench.config import Choice, build
from albench.data import SliceStack
from albench.errors import ConfigError, StrategyError
from albench.pool import Pool
from albench.query import check_query
from albench.registry import STRATEGIES, find
from albench.resolve import make_strategy, resolve
from albench.run_session import Execution
from albench.runs.comparability import differing_options
from albench.strategies.by_volume import ByVolume
from albench.strategies.ceal import CEALEntropy
from albench.strategies.entropy import Entropy
from albench.strategies.mixture import Mixture, share_of
from albench.strategies.random_choice import Random
from albench.strategies.spread import Spread, select
from albench.strategies.star import Star
from albench.strategies.stochastic_batches import StochasticBatches, draw_batches
from albench.strategies.taal import TAAL
from albench.strategy import OracleDraw, Query, Strategy

WRAPPERS = ("by-volume", "mixture", "spread", "stochastic-batches")


@dataclass(frozen=True)
class Scored(Strategy):
    """Queries by given scores, and pseudo-labels the slices with these ids."""

    values: tuple[float, ...] = ()
    lowest: bool = False
    pseudo: tuple[int, ...] = ()

    def query(self, ctx):
        scores = np.array(self.values)[ctx.pool.unlabeled]
        query = Query.lowest(scores, ctx) if self.lowest else Query.highest(scores, ctx)
        mask = np.zeros(ctx.pool.slices.shape[1:], np.uint8)
        return replace(query, pseudo={i: mask for i in self.pseudo if i not in query.ids}, notes={"own": 1.0})


@dataclass(frozen=True)
class Ranked(Strategy):
    """Queries the first of given ids that can be queried, without scores."""

    order: tuple[int, ...] = field(default=())

    def query(self, ctx):
        return Query(np.array([i for i in self.order if i in ctx.pool.unlabeled][: ctx.budget], dtype=np.int64))


@pytest.fixture
def hand_worked(make_round):
    """Two volumes of six slices, ids 0 to 5 and 6 to 11, the second with 2.5 mm between slices, the first with 1 mm."""
    slices = SliceStack(
        images=np.zeros((12, 1, 32, 32), np.float16),
        rows=np.arange(12),
        case=np.repeat([0, 1], 6),
        position=np.tile(np.arange(6), 2),
        valid=np.full((12, 2), 32),
        cases=("a", "b"),
        spacing=np.array([[1.0, 1, 1], [2.5, 1, 1]]),
    )

    first = make_round()

    def make(budget, labeled=(), permutation=None):
        pool = Pool(slices).with_masks({i: np.zeros((32, 32), np.uint8) for i in labeled})
        ctx = replace(first, pool=pool, budget=budget, rng=np.random.default_rng(0))
        if permutation is not None:
            ctx = replace(ctx, rng=SimpleNamespace(permutation=lambda given: np.array(permutation)))
        return ctx

    return make


#         0    1    2    3    4    5    6    7    8    9   10   11
VALUES = (0.1, 0.9, 1.0, 0.8, 0.2, 0.3, 0.0, 0.4, 0.7, 0.6, 0.5, 0.05)


def queried(strategy, ctx):
    query = strategy.query(ctx)
    check_query(query, ctx.pool, ctx.budget)
    return query


# stochastic batches


def test_of_the_batches_that_divide_the_shuffled_slices_the_one_with_the_highest_mean_is_queried(hand_worked):
    # batches {0, 1, 6}, {2, 4, 11}, {3, 8, 5} and {7, 9, 10}, with means 1/3, 1.25/3, 1.8/3 and 1.5/3
    ctx = hand_worked(3, permutation=[0, 1, 6, 2, 4, 11, 3, 8, 5, 7, 9, 10])
    query = queried(StochasticBatches(Scored(VALUES)), ctx)
    assert query.ids.tolist() == [3, 8, 5]
    assert query.notes == {"own": 1.0, "batches": 4, "batch_score": pytest.approx(0.6)}
    assert query.scores.tolist() == list(VALUES)


def test_the_batch_with_the_lowest_mean_is_queried_where_low_scores_are_wanted(hand_worked):
    ctx = hand_worked(3, permutation=[0, 1, 6, 2, 4, 11, 3, 8, 5, 7, 9, 10])
    assert queried(StochasticBatches(Scored(VALUES, lowest=True)), ctx).ids.tolist() == [6, 0, 1]


def test_the_rest_of_the_division_into_batches_is_left_out(hand_worked):
    ctx = hand_worked(5, permutation=[0, 4, 5, 6, 11, 7, 8, 9, 10, 3, 1, 2])
    assert queried(StochasticBatches(Scored(VALUES)), ctx).ids.tolist() == [3, 8, 9, 10, 7]


def test_many_independent_batches_find_the_best_of_all_batches(hand_worked):
    best = max(combinations(range(12), 2), key=lambda pair: VALUES[pair[0]] + VALUES[pair[1]])
    query = queried(StochasticBatches(Scored(VALUES), batches=2000), hand_worked(2))
    assert set(query.ids.tolist()) == set(best)
    assert query.notes["batches"] == 2000


def test_independent_batches_are_drawn_without_replacement_and_every_row_equally_often():
    batches = np.stack(draw_batches(6, 2, 6000, np.random.default_rng(0)))
    assert all(len(set(rows)) == 2 for rows in batches.tolist())
    np.testing.assert_allclose(np.bincount(batches.ravel()) / 12000, 1 / 6, atol=0.01)
    assert sorted(np.concatenate(draw_batches(7, 3, None, np.random.default_rng(0)))) != list(range(7))


@pytest.mark.parametrize("wrapper", ["stochastic-batches", "by-volume"])
@pytest.mark.parametrize("inner", ["random", "strided", "k-center", "bal", "spread", "mixture", "stochastic-batches"])
def test_a_wrapper_of_scores_rejects_strategies_whose_scores_do_not_decide(wrapper, inner):
    with pytest.raises(ConfigError) as error:
        make_strategy(wrapper, {"strategy.inner": inner})
    assert str(error.value) == (
        f"strategy must have options that fit together, got {{'inner': {{'name': '{inner}'}}}} (inner must be a "
        f"strategy whose scores decide its query, those of {inner} do not: choose one that does, such as entropy): "
        "change one of them"
    )


@pytest.mark.parametrize("wrapper", [StochasticBatches, ByVolume])
def test_a_wrapper_of_scores_says_that_a_query_has_none(hand_worked, wrapper):
    with pytest.raises(
        StrategyError,
        match=r"^inner must be a strategy that scores slices, 'ranked' gave no scores: choose one that does, such as",
    ):
        wrapper(Ranked(tuple(range(12)))).query(hand_worked(2))


# spread


def test_the_most_wanted_slices_are_queried_that_keep_the_distance(hand_worked):
    # by score: 2 1 3 8 9 10 7 5 4 0 ...; of the first volume 2 and 5, of the second 8 and 11
    query = queried(Spread(Scored(VALUES), distance=3), hand_worked(4))
    assert query.ids.tolist() == [2, 8, 5, 11]
    assert query.notes == {"own": 1.0, "spread_distance": 3, "spread_closer": 0, "spread_replaced": 2}


def test_a_distance_of_1_slice_changes_nothing(hand_worked):
    assert queried(Spread(Scored(VALUES), distance=1), hand_worked(5)).ids.tolist() == [2, 1, 3, 8, 9]


def test_a_distance_in_millimeters_counts_the_spacing_of_each_volume(hand_worked):
    # 2.5 mm: three slices in the first volume, one in the second
    query = queried(Spread(Scored(VALUES), distance=2.5, unit="mm"), hand_worked(6))
    assert query.ids.tolist() == [2, 8, 9, 10, 7, 5]


def test_a_distance_that_cannot_be_kept_is_halved_until_the_budget_is_spent(hand_worked):
    # at 4: 2 and 8 and no other; at 2: 10, 5, 0 and 6; a seventh only at 1
    query = queried(Spread(Scored(VALUES), distance=4), hand_worked(6))
    assert query.ids.tolist() == [2, 8, 10, 5, 0, 6]
    assert (query.notes["spread_distance"], query.notes["spread_closer"]) == (2, 4)
    query = queried(Spread(Scored(VALUES), distance=4), hand_worked(7))
    assert query.ids.tolist() == [2, 8, 10, 5, 0, 6, 1]
    assert (query.notes["spread_distance"], query.notes["spread_closer"]) == (1, 5)


def by_hand(values, distance, count):
    """The same selection by sets of ids instead of places."""
    ranking, chosen = sorted(range(12), key=lambda i: -values[i]), []
    while len(chosen) < count:
        for i in ranking:
            free = i not in chosen and len(chosen) < count
            if free and not any(i // 6 == j // 6 and abs(i - j) < distance for j in chosen):
                chosen.append(i)
        distance /= 2
    return chosen


@pytest.mark.parametrize("seed", range(20))
def test_spread_equals_a_second_implementation(seed):
    rng = np.random.default_rng(seed)
    values, count, distance = rng.permutation(12), int(rng.integers(1, 13)), float(rng.integers(0, 7))
    case, places = np.repeat([0, 1], 6), np.tile(np.arange(6.0), 2)
    ids, kept, closer = select(np.argsort(-values), case, places, count, distance, np.array([], dtype=int))
    assert ids.tolist() == by_hand(values, distance, count)
    gaps = [abs(places[i] - places[j]) for i, j in combinations(ids, 2) if case[i] == case[j]]
    assert min(gaps, default=np.inf) >= kept
    assert (kept < distance) == (closer > 0)


def test_the_distance_from_labeled_slices_is_kept_if_that_is_wanted(hand_worked):
    ctx = hand_worked(2, labeled=(3, 9))
    assert queried(Spread(Scored(VALUES), distance=2), ctx).ids.tolist() == [2, 8]
    assert queried(Spread(Scored(VALUES), distance=2, from_labeled=True), ctx).ids.tolist() == [1, 7]


def test_without_scores_the_query_is_followed_by_random_slices(hand_worked):
    counts = np.zeros(12)
    for seed in range(300):
        ctx = replace(hand_worked(2), rng=np.random.default_rng(seed))
        ids = queried(Spread(Ranked((2, 3)), distance=2), ctx).ids.tolist()
        assert ids[0] == 2
        counts[ids[1]] += 1
    assert set(np.flatnonzero(counts)) == {0, 4, 5, *range(6, 12)}
    assert counts.max() < 60


def test_spread_keeps_the_slices_of_the_query_before_others_with_higher_scores(hand_worked):
    batch = StochasticBatches(Scored(VALUES))
    ctx = hand_worked(3, permutation=[0, 1, 6, 2, 4, 11, 3, 8, 5, 7, 9, 10])
    assert queried(Spread(batch, distance=2), ctx).ids.tolist() == [3, 8, 5]
    ctx = hand_worked(3, permutation=[0, 1, 6, 2, 4, 11, 3, 8, 5, 7, 9, 10])
    assert queried(Spread(batch, distance=3), ctx).ids.tolist() == [3, 8, 0]  # 5 is too near, then 2, 1, 9, 10, 7, 4


# by volume


def test_the_volume_with_the_highest_mean_is_queried(hand_worked):
    # means 0.55 and 0.375
    query = queried(ByVolume(Scored(VALUES)), hand_worked(6))
    assert query.ids.tolist() == [2, 1, 3, 5, 4, 0]
    np.testing.assert_allclose(query.scores, np.repeat([3.3 / 6, 2.25 / 6], 6))
    assert query.notes == {"own": 1.0, "blocks": 1}


def test_of_the_last_volume_the_highest_scores_are_queried(hand_worked):
    query = queried(ByVolume(Scored(VALUES)), hand_worked(8))
    assert query.ids.tolist() == [2, 1, 3, 5, 4, 0, 8, 9]
    assert query.notes["blocks"] == 2


def test_only_unlabeled_slices_count_towards_a_volume(hand_worked):
    # means of the unlabeled slices 0.1 and 0.375, sums 0.2 and 2.25
    ctx = hand_worked(2, labeled=(1, 2, 3, 5))
    for how in ("mean", "sum"):
        assert queried(ByVolume(Scored(VALUES), aggregation=how), ctx).ids.tolist() == [8, 9]
    # 0.2 and 0.3 against 0.5 and three others
    ctx = hand_worked(2, labeled=(0, 1, 2, 3, 8, 9))
    assert queried(ByVolume(Scored(VALUES)), ctx).ids.tolist() == [5, 4]
    assert queried(ByVolume(Scored(VALUES), aggregation="sum"), ctx).ids.tolist() == [10, 7]


def test_blocks_of_adjacent_slices_are_queried(hand_worked):
    # blocks of two have means 0.5, 0.9, 0.25, 0.2, 0.65 and 0.275
    query = queried(ByVolume(Scored(VALUES), block=2), hand_worked(5))
    assert query.ids.tolist() == [2, 3, 8, 9, 1]
    np.testing.assert_allclose(query.scores, np.repeat([0.5, 0.9, 0.25, 0.2, 0.65, 0.275], 2))
    assert query.notes["blocks"] == 3


def test_a_block_that_does_not_divide_a_volume_leaves_a_smaller_one(hand_worked):
    # blocks of four: 0.7, 0.25, 0.425 and 0.275
    assert queried(ByVolume(Scored(VALUES), block=4), hand_worked(5)).ids.tolist() == [2, 1, 3, 0, 8]


def test_volumes_with_low_scores_are_queried_where_low_scores_are_wanted(hand_worked):
    assert queried(ByVolume(Scored(VALUES, lowest=True)), hand_worked(3)).ids.tolist() == [6, 11, 7]


# mixture


def test_each_strategy_gives_its_share_and_the_other_from_what_is_left(hand_worked):
    mixture = Mixture(Scored(VALUES), Ranked((1, 2, 6, 7)), share=0.4)
    query = queried(mixture, hand_worked(5))
    assert query.ids.tolist() == [2, 1, 3, 6, 7]
    assert query.notes == {"own": 1.0, "mixed": 2}
    assert query.scores.tolist() == list(VALUES)


@pytest.mark.parametrize(
    ("budget", "share", "count"), [(10, 0.2, 2), (10, 0.01, 1), (10, 0.99, 9), (1, 0.5, 0), (2, 0.9, 1), (5, 0.5, 2)]
)
def test_the_share_is_rounded_and_each_gives_a_slice_if_there_are_two(budget, share, count):
    assert share_of(budget, share) == count


def test_each_strategy_of_a_mixture_is_asked_for_its_own_number_of_slices(hand_worked):
    budgets = []

    @dataclass(frozen=True)
    class Asked(Scored):
        def query(self, ctx):
            budgets.append((ctx.budget, len(ctx.pool.unlabeled)))
            return super().query(ctx)

    queried(Mixture(Asked(VALUES), Asked(VALUES), share=0.25), hand_worked(8))
    assert budgets == [(6, 12), (2, 6)]


def test_random_slices_of_a_mixture_are_drawn_uniformly_from_the_rest(hand_worked):
    mixture = Mixture(Scored(VALUES), Random(), share=0.5)
    drawn = [queried(mixture, replace(hand_worked(4), rng=np.random.default_rng(i))).ids[2:] for i in range(600)]
    counts = np.bincount(np.concatenate(drawn), minlength=12)
    assert counts[[1, 2]].sum() == 0
    assert abs(counts[[0, *range(3, 12)]] - 120).max() < 45


def test_slices_that_are_withheld_are_neither_labeled_nor_unlabeled(hand_worked):
    pool = hand_worked(1, labeled=(0, 6)).pool.without(np.array([1, 7])).without(np.array([2]))
    assert pool.labeled.tolist() == [0, 6]
    assert pool.unlabeled.tolist() == [3, 4, 5, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ("star", "other must train as all strategies do, star does not: make it inner"),
        ("taal", "other must train as all strategies do, taal does not: make it inner"),
        ("full", "other must train as all strategies do, full does not: make it inner"),
        (
            "foreground-random",
            "other must not have the oracle draw by the truth, foreground-random does: name another strategy",
        ),
    ],
)
def test_a_mixture_rejects_another_strategy_that_does_more_than_query(other, why):
    with pytest.raises(ConfigError) as error:
        make_strategy("mixture", {"strategy.other": other})
    assert f"({why}): change one of them" in str(error.value)


# all of them


@pytest.mark.parametrize("name", WRAPPERS)
def test_slices_that_a_wrapper_queries_lose_their_pseudo_labels(hand_worked, name):
    inner = Scored(VALUES, pseudo=(5, 8, 11))
    ctx = hand_worked(4)
    query = queried(find(STRATEGIES, name)(inner=inner), ctx)
    own = queried(inner, replace(ctx, budget=3 if name == "mixture" else 4))
    assert set(query.pseudo) == set(own.pseudo) - set(query.ids.tolist())


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_rejects_strategies_for_which_the_oracle_draws(name):
    with pytest.raises(ConfigError, match=r"inner must not have the oracle draw by the truth, foreground-random does"):
        make_strategy(name, {"strategy.inner": "foreground-random"})


@dataclass(frozen=True)
class Drawing(Strategy):
    def query(self, ctx):
        return OracleDraw(0, ctx.pool.unlabeled, ctx.pool.unlabeled)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_says_that_a_strategy_has_the_oracle_draw_after_all(hand_worked, name):
    with pytest.raises(
        StrategyError, match=r"^inner strategy 'drawing': query\(\) must return a Query, got OracleDraw: end it with"
    ):
        find(STRATEGIES, name)(inner=Drawing()).query(hand_worked(2))


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("inner", [Entropy(), CEALEntropy(pseudo=2), TAAL(), Star()], ids=lambda inner: inner.name)
def test_a_wrapper_trains_as_its_inner_strategy(make_round, name, inner, monkeypatch):
    wrapper = find(STRATEGIES, name)(inner=inner)
    assert wrapper.trains_as() is inner
    assert wrapper.parts() == inner.parts()
    assert wrapper.trainings() == inner.trainings()
    assert wrapper.trains_by_itself() == inner.trains_by_itself()
    for hook in ("fit", "network", "initial", "loss", "check"):
        calls = []
        monkeypatch.setattr(type(inner), hook, lambda self, *given, calls=calls: calls.append((self, *given)))
        given = {"fit": 1, "network": 1, "initial": 2, "loss": 4, "check": 1}[hook]
        getattr(wrapper, hook)(*range(given))
        assert calls == [(inner, *range(given))]


@pytest.mark.parametrize("name", slow_but(["mixture"], WRAPPERS))
def test_a_run_of_a_wrapper_takes_the_training_of_round_0_from_another_run(tiny_run, name):
    first = tiny_run("entropy").records[0]
    own = tiny_run(name).records[0]
    assert own.results() | {"notes": first.notes} == first.results()
    assert own.cost.steps == 0 < first.cost.steps


def test_pseudo_labels_of_an_inner_strategy_train_the_next_round(tiny_run):
    run = tiny_run("spread", {"strategy.inner": {"name": "ceal-entropy", "pseudo": 4}, "strategy.distance": 3})
    assert run.records[1].pseudo.count in range(1, 5)
    assert not set(run.pseudo(0)) & set(run.query(0).ids)
    assert "spread_distance" in run.records[0].notes
    assert len(run.query(0).scores) == run.records[0].unlabeled
    assert run.environment.strategy_kind == "semi-supervised"


def test_a_wrapper_of_star_queries_and_propagates(tiny_run):
    run = tiny_run("stochastic-batches", {"strategy.inner": "star"})
    assert run.records[0].query_trainings
    assert {"pairs", "batch_score"} <= run.records[0].notes.keys()


def test_wrappers_are_composed_by_names_with_dots_and_by_mappings():
    dotted = {"strategy.inner.name": "stochastic-batches", "strategy.inner.inner": "bald"}
    one = make_strategy("spread", dotted | {"strategy.inner.inner.passes": 20, "strategy.inner.batches": 100})
    bald = {"name": "bald", "passes": 20}
    two = build(Spread, {"inner": {"name": "stochastic-batches", "inner": bald, "batches": 100}}, "strategy")
    assert one == two
    assert one.inner.inner.passes == 20
    assert make_strategy("spread", {"strategy.inner.aggregation": "sum"}).inner == Entropy(aggregation="sum")
    assert make_strategy("spread", {"strategy.inner": bald, "strategy.inner.passes": 5}).inner.passes == 5


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"inner": "entropi"},
            "strategy.inner: strategy must be a known name or FILE.py:Class, got 'entropi': did you mean 'entropy'?",
        ),
        (
            {"inner.name": "bald", "inner.passes": 1},
            "strategy.inner.passes must be greater than or equal to 2, got 1: set it with --set "
            "strategy.inner.passes=VALUE",
        ),
        (
            {"inner": {"name": "spread", "inner": {"name": "bald", "pases": 1}}},
            "an option must be known, got 'strategy.inner.inner.pases': did you mean 'strategy.inner.inner.passes'?",
        ),
        (
            {"inner": 5},
            "strategy.inner must be a name, FILE.py:Class, or a mapping of its name and options, got 5: write it as in "
            "{name: bald, passes: 20}",
        ),
        ({"inner.name": 5}, "strategy.inner.name must be a name or FILE.py:Class, got 5: correct it"),
        (
            {"distance": -1},
            "strategy.distance must be greater than or equal to 0, got -1: set it with --set strategy.d",
        ),
    ],
)
def test_a_wrong_option_of_an_inner_strategy_is_named_in_full(settings, sentence):
    with pytest.raises(ConfigError) as error:
        make_strategy("spread", {f"strategy.{name}": value for name, value in settings.items()})
    assert str(error.value).startswith(sentence)


def test_inner_strategies_and_their_options_count_in_the_name_of_a_run():
    chosen = [
        {},
        {"strategy.inner": "margin"},
        {"strategy.inner": "bald"},
        {"strategy.inner": {"name": "bald", "passes": 11}},
    ]
    digests = [resolve("spread", "phantom", settings=TINY | settings).config.digest() for settings in chosen]
    assert len(set(digests)) == len(chosen)
    same = [
        {"strategy.inner": "entropy"},
        {"strategy.inner": {"name": "entropy", "aggregation": "mean"}},
        {"strategy.distance": 3},
    ]
    for settings in same:
        assert resolve("spread", "phantom", settings=TINY | settings).config.digest() == digests[0]


PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from albench.strategy import Query, Round, Strategy


@dataclass(frozen=True)
class Mine(Strategy):
    """{text}"""

    files: ClassVar[tuple[str, ...]] = ("table",)

    power: float = 1.0
    table: str | None = None

    def query(self, ctx: Round) -> Query:
        known = np.loadtxt(self.table) if self.table else np.arange(len(ctx.pool.slices))
        return Query.highest(known[ctx.pool.unlabeled] ** self.power, ctx)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A plugin beside the table that it reads, named by relative paths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN.format(text="First."))
    np.savetxt(tmp_path / "table.txt", np.arange(48)[::-1] / 10)
    return {"strategy.inner.name": "mine.py:Mine", "strategy.inner.table": "table.txt"}


def test_the_code_of_an_inner_plugin_counts_in_the_identity_of_a_run(mine, tmp_path):
    before = resolve("spread", "phantom", settings=TINY | mine)
    files = before.plugins
    assert {kind: set(own) for kind, own in files.items()} == {"strategy.inner": {"mine.py"}}
    (tmp_path / "mine.py").write_text(PLUGIN.format(text="Second."))
    after = resolve("spread", "phantom", settings=TINY | mine)
    assert before.config.strategy.code != after.config.strategy.code
    assert after.plugins != files
    assert before.config.digest() == after.config.digest()


def test_paths_of_an_inner_plugin_and_its_files_are_no_part_of_the_name_of_a_run_but_their_content_is(mine, tmp_path):
    first = resolve("spread", "phantom", settings=TINY | mine).config
    inner = {"name": "mine", "power": 1.0}
    assert first.strategy.options == {"inner": inner, "distance": 3.0, "unit": "slices", "from_labeled": False}
    place = f"{tmp_path / 'mine.py'}:Mine"
    assert first.files == {"strategy.inner.table": "table.txt", "strategy.inner.name": place, "network.weights": None}
    (tmp_path / "table.txt").rename(tmp_path / "other.txt")
    moved = resolve("spread", "phantom", settings=TINY | mine | {"strategy.inner.table": "other.txt"}).config
    assert moved.digest() == first.digest()
    np.savetxt(tmp_path / "other.txt", np.arange(48))
    edited = resolve("spread", "phantom", settings=TINY | mine | {"strategy.inner.table": "other.txt"}).config
    assert edited.digest() != first.digest()
    with pytest.raises(ConfigError, match=r"^strategy.inner.table must name an existing file, 'no.txt' does not exist"):
        resolve("spread", "phantom", settings=TINY | mine | {"strategy.inner.table": "no.txt"})


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_an_inner_plugin_of_a_stored_run_is_audited(mine):
    resolved = resolve("mixture", "phantom", settings=TINY | mine | {"protocol.rounds": 1})
    done = loop.run(resolved, Path("runs"), Execution(torch.device("cpu"), keep_weights=True))
    assert [audit.verdict for audit in audit_rounds(done, torch.device("cpu"))] == ["passed"]


@pytest.mark.slow
@pytest.mark.usefixtures("forks")
def test_an_inner_plugin_is_audited_in_a_run(mine):
    resolved = resolve("mixture", "phantom", settings=TINY | mine | {"protocol.rounds": 1})
    done = loop.run(resolved, Path("runs"), Execution(torch.device("cpu"), audit=True))
    assert done.audit(0).verdict == "passed"


def test_an_inner_plugin_of_a_suite_is_found_from_another_folder(mine, tmp_path, monkeypatch):
    (tmp_path / "suite.yaml").write_text(
        """
        about: Wrappers.
        dataset: phantom
        seeds: 1
        strategies:
          - {strategy: spread, settings: {strategy: {inner: {name: "mine.py:Mine", table: table.txt}, distance: 2}}}
          - {strategy: stochastic-batches, settings: {strategy: {inner: entropy, batches: 100}}}
        """
    )
    plugin, built_in = map(with_absolute_paths, load_suite("suite.yaml").runs)
    here = [resolve(run.strategy, "phantom", settings=TINY | run.settings) for run in (plugin, built_in)]
    monkeypatch.chdir("/")
    there = [resolve(run.strategy, "phantom", settings=TINY | run.settings) for run in (plugin, built_in)]
    assert [run.strategy.inner.name for run in there] == ["mine", "entropy"]
    assert [run.config for run in here] == [run.config for run in there]
    assert there[1].strategy.batches == 100


def test_a_suite_names_a_wrong_option_of_an_inner_strategy_in_full(tmp_path):
    suite = "{about: x, dataset: phantom, strategies: [{strategy: spread, settings: {strategy: %s}}]}"
    (tmp_path / "s.yaml").write_text(suite % "{inner: {name: bald, passes: 1}}")
    with pytest.raises(ConfigError) as error:
        load_suite(str(tmp_path / "s.yaml"))
    path = "s.strategies[0].settings.strategy.inner.passes"
    assert str(error.value) == f"{path} must be greater than or equal to 2, got 1: correct '{path}' in the file"


def test_a_search_varies_options_of_an_inner_strategy_and_the_strategy_itself():
    def search(**space):
        settings = {"strategy.inner": "bald"} if "inner" not in space else {}
        return Search("spread", "phantom", space, settings, "val_dice_slice", [0], 20)

    drawn = search(**{"inner.passes": "[5,9]", "inner.aggregation": ""}).draw()
    assert len(drawn) == 6
    assert {options["inner.passes"] for options in drawn} == {5, 9}
    assert {options["inner"] for options in search(inner="[entropy,bald]").draw()} == {"entropy", "bald"}
    with pytest.raises(ConfigError, match=r"^strategy.inner.passes must be greater than or equal to 2, got 1: change "):
        search(**{"inner.passes": "[1,9]"}).draw()
    with pytest.raises(ConfigError, match=r"got 'inner.pases': did you mean 'inner.passes'\?"):
        search(**{"inner.pases": "[5,9]"}).draw()


def test_runs_of_different_inner_strategies_are_told_apart():
    def choice(**inner):
        return Choice("spread", "spread", None, {"inner": inner, "distance": 3.0})

    one, two = choice(name="entropy", aggregation="mean"), choice(name="bald", aggregation="mean", passes=10)
    three = choice(name="bald", aggregation="mean", passes=20)
    assert differing_options(one, [one, two]) == ["inner=entropy"]
    assert differing_options(two, [one, two]) == ["inner=bald", "inner.passes=10"]
    assert differing_options(three, [two, three]) == ["inner.passes=20"]

"""What a protocol promises, in whole runs: steps, validation labels, starts and splits."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.samples import TINY, invoke, tiny_arguments
from support.slow import slow_but

from albench.errors import ConfigError, StrategyError
from albench.loop import Execution, run
from albench.oracle import MaskOracle
from albench.pool import Pool
from albench.query import OracleDraw, check_draw
from albench.resolve import resolve
from albench.runs import RunReader
from albench.strategies.foreground_random import ForegroundRandom
from albench.strategies.random_choice import Random

MATCHED = {"protocol.compute": "matched", "protocol.steps": 7, "training.stop": "val_dice"}


def steps_behind_each_evaluation(reader: RunReader) -> list[int]:
    """Optimizer steps that the network has taken whenever it is evaluated."""
    behind, taken = [], 0
    for record in reader.records:
        taken += sum(training.steps for training in record.fit_trainings)
        behind.append(taken)
        taken += sum(training.steps for training in record.query_trainings)
    return behind


@pytest.mark.parametrize("stop", slow_but(["steps"], ["val_dice", "val_loss", "steps"]))
def test_matched_methods_have_taken_equally_many_steps_whenever_they_are_evaluated(tiny_run, stop):
    for name in ("random", "star", "taal", "ceal-entropy"):
        reader = tiny_run(name, MATCHED | {"training.stop": stop})
        assert steps_behind_each_evaluation(reader) == [7, 14, 21]
    reference = tiny_run("full", MATCHED | {"training.stop": stop})
    assert steps_behind_each_evaluation(reference) == [21], "the reference trains as long as the others in the end"
    first = tiny_run("star", MATCHED | {"training.stop": stop}).records[0]
    assert [training.steps for training in (*first.fit_trainings, *first.query_trainings)] == [7, 3]


@pytest.mark.slow
def test_without_warm_start_every_round_takes_all_matched_steps(tiny_run):
    for name in ("random", "star"):
        records = tiny_run(name, MATCHED | {"protocol.warm_start": False}).records
        assert [sum(training.steps for training in record.fit_trainings) for record in records] == [7, 7, 7]


def test_runs_on_other_cases_do_not_share_round_0(tiny_run):
    one = tiny_run("random", {"protocol.splits": 1}, seed=1)
    other = tiny_run("random", {"protocol.splits": "nested"}, seed=1)
    assert one.split.train != other.split.train
    assert other.records[0].cost.steps > 0


def test_matched_methods_share_round_0(tiny_run):
    star, random = (tiny_run(name, MATCHED).records[0] for name in ("star", "random"))
    assert star.fit_trainings == random.fit_trainings
    assert random.cost.steps == 0


@pytest.mark.slow
def test_a_matched_run_continues_with_the_steps_that_the_last_query_left(tmp_path):
    class StoppedError(Exception):
        pass

    class Stopping:
        def __getattr__(self, name):
            return lambda *arguments: None

        def on_round(self, record):
            if record.round == 0:
                raise StoppedError

    resolved = resolve("star", "phantom", settings=TINY | MATCHED)
    execution = Execution(_cpu())
    with pytest.raises(StoppedError):
        run(resolved, tmp_path / "parts", execution, Stopping())
    parts, whole = (run(resolved, tmp_path / name, execution) for name in ("parts", "whole"))
    assert [record.results() for record in parts.records] == [record.results() for record in whole.records]


def test_a_strategy_that_leaves_matched_steps_is_rejected(tmp_path):
    class Lazy(Random):
        def fit(self, ctx):
            ctx.learner.fit(ctx.examples(), self.loss, share=0.5)

    resolved = replace(resolve("random", "phantom", settings=TINY | MATCHED), strategy=Lazy())
    with pytest.raises(StrategyError, match="fit must take all 7 optimizer steps that are left for it, 4 were not"):
        run(resolved, tmp_path, Execution(_cpu()))


def test_validation_labels_are_free_or_charged_and_change_nothing_else(tiny_run):
    free, charged = (tiny_run("random", {"protocol.validation": kind}) for kind in ("free", "charged"))
    more = free.split.val_slices
    assert more == charged.split.val_slices > 0
    for one, other in zip(free.records, charged.records, strict=True):
        assert other.annotation_cost.slices == one.annotation_cost.slices + more
        assert other.annotation_cost.cases == one.annotation_cost.cases + 1
        assert other.annotation_cost.foreground_pixels > one.annotation_cost.foreground_pixels
        assert one.results() | {"annotation_cost": 0} == other.results() | {"annotation_cost": 0}


def test_without_validation_its_cases_join_the_pool_and_nothing_is_validated(tiny_run):
    usual, without = tiny_run("star"), tiny_run("star", {"protocol.validation": "none", "training.stop": "steps"})
    assert without.split.val == ()
    assert without.split.val_slices == 0
    assert without.split.test == usual.split.test
    assert set(without.split.train) == {*usual.split.train, *usual.split.val}
    for record in without.records:
        assert record.val is None
        assert (record.confidence.threshold, record.confidence.test_dice) == (None, None)
        assert all(training.val_loss is None for training in (*record.fit_trainings, *record.query_trainings))


@pytest.mark.parametrize("start", ["cases", "slices", "few-cases"])
@pytest.mark.parametrize("name", ["star", "random"])
def test_every_strategy_of_a_seed_begins_with_the_slices_of_the_start(tiny_run, start, name):
    reader = tiny_run(name, {"protocol.start": start, "protocol.rounds": 1})
    other = tiny_run("entropy", {"protocol.start": start, "protocol.rounds": 0})
    assert reader.split.initial == other.split.initial
    assert len(reader.records) == 2


@pytest.mark.slow
def test_nested_splits_differ_between_seeds_and_a_shared_split_does_not(tiny_run):
    for splits, same in ((1, True), ("nested", False)):
        first, second = (tiny_run("random", {"protocol.splits": splits}, seed=seed).split for seed in (0, 1))
        assert (first.test == second.test) == same
    assert tiny_run("random", {"protocol.split_seed": 1}).split.test == second.test, "its split seed is the seed"


def test_confidence_holds_the_dice_at_the_best_threshold_of_the_validation_cases(tiny_run):
    for record in tiny_run("entropy", {"training.epochs": 6}).records:
        confidence = record.confidence
        assert 0 < confidence.highest <= 1
        assert confidence.val_dice >= record.val.dice_volume - 1e-9
        if confidence.threshold == 0.5:
            assert confidence.test_dice == pytest.approx(record.test.dice_volume)


def test_foreground_random_draws_the_rest_from_all_other_slices(tiny):
    labeled = tiny.labeled_stack(tiny.cases[:4])
    nonempty = labeled.truth.nonempty(np.arange(len(labeled.slices)))
    total, share, budget = len(nonempty), nonempty.mean(), 10
    pool = Pool(labeled.slices)
    counts = []
    for seed in range(400):
        ctx = SimpleNamespace(pool=pool, budget=budget, rng=np.random.default_rng(seed))
        query = MaskOracle(labeled).draw(ForegroundRandom(share=0.5).query(ctx), budget)
        assert len(set(query.ids.tolist())) == budget
        counts.append(nonempty[query.ids].sum())
    left = (nonempty.sum() - 5) / (total - 5)
    assert np.mean(counts) == pytest.approx(5 + 5 * left, abs=0.2)
    assert np.mean(counts) > budget * share + 1, "more foreground than uniform draws"


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (
            lambda ids: OracleDraw(1, ids[1:], ids),
            "'order' of a draw must hold every one of the 3 unlabeled slices",
        ),
        (
            lambda ids: OracleDraw(1, ids, ids + 1),
            "'rest' of a draw must hold every one of the 3 unlabeled slices",
        ),
        (lambda ids: OracleDraw(3, ids, ids), "a draw must want 0 to 2 slices with foreground, got 3: want at most"),
        (lambda ids: OracleDraw(-1, ids, ids), "a draw must want 0 to 2 slices with foreground, got -1: want at most"),
    ],
)
def test_a_draw_follows_the_rules(tiny, draw, sentence):
    labeled = tiny.labeled_stack(tiny.cases[:1])
    count = len(labeled.slices)
    pool = Pool(labeled.slices).with_masks(MaskOracle(labeled).annotate(range(count - 3), count))
    with pytest.raises(StrategyError, match=sentence):
        check_draw(draw(pool.unlabeled), pool, 2)


@pytest.mark.parametrize(("share", "wanted"), [(0.66, 2), (0.0, 0), (1.0, 3)])
def test_foreground_random_queries_its_share_of_slices_with_foreground(tiny_run, tiny, share, wanted):
    reader = tiny_run("foreground-random", {"strategy.share": share})
    truth = tiny.labeled_stack(reader.split.train)
    for record in reader.records[:-1]:
        ids = np.array(reader.query(record.round).ids)
        assert len(ids) == 3
        assert np.count_nonzero(truth.masks(ids)[:wanted].any((1, 2))) == wanted
        assert record.notes == {"drawn_with_foreground": wanted}


def test_only_a_strategy_that_says_so_has_the_oracle_look_at_labels(tmp_path):
    class Cheating(Random):
        def query(self, ctx):
            return OracleDraw(1, ctx.pool.unlabeled, ctx.pool.unlabeled)

    resolved = replace(resolve("random", "phantom", settings=TINY), strategy=Cheating())
    with pytest.raises(StrategyError, match="only a strategy that says so may have the oracle look at labels"):
        run(resolved, tmp_path, Execution(_cpu()))


def test_more_foreground_than_exists_is_one_sentence(tmp_path):
    code, output = invoke(
        "run",
        *("--strategy", "foreground-random", "--dataset", "phantom", "--out", tmp_path),
        *tiny_arguments("--set", "strategy.share=1", "--set", "protocol.budget=20"),
    )
    assert code == 2
    assert "queries must not ask for more slices with foreground than exist, 25 are wanted in all rounds " in output
    assert not list(tmp_path.rglob("rounds.jsonl")), "nothing was trained in vain"
    assert "lower strategy.share, protocol.budget or protocol.rounds" in output
    assert ForegroundRandom.uses_labels


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"protocol.validation": "none", "training.stop": "val_dice"},
            "protocol.validation=none needs training.stop=steps, got val_dice: without validation cases nothing tells "
            "when to stop, so set training.stop=steps or keep the validation cases",
        ),
        (
            {"protocol.compute": "matched"},
            "protocol.compute=matched needs a number of steps or other methods to match, got neither: set "
            "protocol.steps, or run a suite with more than one method",
        ),
        (
            {"protocol.steps": 9},
            "protocol.steps needs protocol.compute=matched, got protocol.steps=9 with protocol.compute=own: set "
            "protocol.compute=matched, or leave protocol.steps out",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_one_sentence(settings, sentence):
    with pytest.raises(ConfigError) as caught:
        resolve("random", "phantom", settings=TINY | settings)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--strategy", "random", "--dataset", "phantom"),
        ("tune", "--strategy", "taal", "--dataset", "phantom", "--over", "weight=[1,2]", "--no-ray"),
    ],
)
def test_several_splits_need_a_suite(tmp_path, command):
    settings = [part for name, value in TINY.items() for part in ("--set", f"{name}={str(value).replace(' ', '')}")]
    code, output = invoke(*command, "--out", tmp_path, *settings, "--set", "protocol.splits=3")
    assert code == 2
    assert "protocol.splits must be 1 or nested outside of a suite, got 3: repeat runs on several splits with" in output


@pytest.mark.parametrize("name", ["star", "ceal-entropy"])
def test_two_selections_of_pseudo_labels_exclude_each_other(name):
    both = {"strategy.exclude_empty": True, "strategy.balanced": True}
    with pytest.raises(
        ConfigError, match=r"together, got .* \(exclude_empty and balanced exclude each other\): change"
    ):
        resolve(name, "phantom", settings=TINY | both)


def _cpu():
    import torch

    return torch.device("cpu")


def test_scaled_slices_are_scored_on_the_grid_of_the_file_unless_the_working_grid_is_chosen(tiny_run):
    scaled = {"data.side": 48, "data.size": [32, 32], "protocol.rounds": 1}
    native = tiny_run("random", scaled)
    working = tiny_run("random", scaled | {"protocol.grid": "working"})
    assert native.config.scaled
    assert working.config.scaled
    assert native.config.digest() != working.config.digest()
    for one, other in zip(native.records, working.records, strict=True):
        assert one.test != other.test
        assert one.val != other.val
        assert one.cases != other.cases
        assert one.confidence != other.confidence
        assert one.annotation_cost == other.annotation_cost
        assert [training.val_dice for training in one.fit_trainings] == [
            training.val_dice for training in other.fit_trainings
        ]


@pytest.mark.slow
def test_the_grid_changes_nothing_where_slices_are_not_scaled(tiny_run):
    usual = tiny_run("random")
    for more in ({"protocol.grid": "working"}, {"data.size": [32, 32]}):
        other = tiny_run("random", more, out="others")
        assert not other.config.scaled
        assert [replace(record, cost=None, files={}, previous="") for record in other.records] == [
            replace(record, cost=None, files={}, previous="") for record in usual.records
        ]
        assert (other.config.digest() == usual.config.digest()) == ("data.size" not in more)

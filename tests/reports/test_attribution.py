"""What a difference is due to: arms by options, steps behind a network, and the parts of query and training."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from support.made_runs import write_run, write_suite
from support.published import published

from albench.config import build
from albench.registry import STRATEGIES, available, find, source_digest
from albench.reports import load
from albench.reports.arms import RULES, Arms, arms_of, is_supervised, queries_at_random, train_alike
from albench.reports.report import all_tables
from albench.reports.summary import summarize
from albench.runs.records import MaskQuality

STAR = {"aggregation": "attention", "query_rule": "similarity"}
VALUES = {
    "random": [0.60, 0.61, 0.63],
    "query": [0.62, 0.64, 0.63],
    "training": [0.65, 0.65, 0.69],
    "star": [0.68, 0.70, 0.71],
}
PARTS = {
    "query": ("star", "training"),
    "query, supervised": ("query", "random"),
    "training": ("training", "random"),
    "both": ("star", "random"),
}


def write_arms(folder, *labels, **star):
    """The methods of `VALUES`, with equal Dice from round 1 on, under labels that say nothing."""
    runs = []
    for label in labels:
        for seed, value in enumerate(VALUES[label]):
            dice = [0.5, value, value]
            if label == "random":
                path = write_run(folder, "random", seed, dice)
            elif label == "query":
                path = write_run(folder, "star", seed, dice, options=STAR | {"aggregation": "none"})
            elif label == "training":
                path = write_run(folder, "star", seed, dice, options=STAR | {"query_rule": "random"}, **star)
            else:
                path = write_run(folder, "star", seed, dice, options=STAR, **star)
            runs.append(("random" if label == "random" else f"method {label[0]}", "made", path))
    write_suite(folder, runs)
    return folder


def named(label):
    return "random" if label == "random" else f"method {label[0]}"


def summary_of(folder, **options):
    results = load(folder, **options)
    return summarize(results, results.groups[0]).attribution


def table_of(folder, name):
    return next((table for table in all_tables(load(folder)) if table.name == name), None)


def methods_of(folder):
    return load(folder).groups[0].methods


@pytest.mark.parametrize("name", RULES)
def test_the_options_of_the_arms_are_those_of_the_strategies(name):
    rules, strategy = RULES[name], find(STRATEGIES, name)
    fields = {field.name for field in dataclasses.fields(strategy)}
    assert build(strategy, dict(rules.random_query), "strategy") != strategy()
    assert build(strategy, dict(rules.supervised), "strategy").trainings() == 1
    assert rules.no_pseudo_labels.keys() <= fields
    assert rules.query_only <= fields
    assert rules.random_query.keys() <= rules.query_only
    assert not rules.supervised.keys() & rules.query_only
    if rules.same_query:
        other = find(STRATEGIES, rules.same_query)
        build(other, dict(rules.same_query_options), "strategy")
        assert {field.name for field in dataclasses.fields(other)} - rules.same_query_options.keys() <= fields


def test_every_strategy_that_trains_in_its_own_way_has_rules():
    built_in = {entry.name: entry.cls for entry in available(STRATEGIES) if source_digest(entry.cls) is None}
    assert {name for name, strategy in built_in.items() if strategy.kind == "semi-supervised"} == set(RULES)
    assert {name for name, strategy in built_in.items() if strategy().trainings() > 1} <= set(RULES)


def test_arms_are_recognized_by_their_options(tmp_path):
    methods = methods_of(write_arms(tmp_path, "random", "query", "training", "star"))
    assert arms_of("method s", methods) == Arms("method q", "method t", "random")
    assert [arms_of(label, methods) for label in ("random", "method q", "method t")] == [None] * 3
    assert [label for label in methods if is_supervised(methods[label])] == ["random", "method q"]
    assert [label for label in methods if queries_at_random(methods[label])] == ["random", "method t"]


def test_another_option_of_the_training_is_another_training(tmp_path):
    tuned, usual = STAR | {"propagation_lr": 1e-5}, STAR | {"propagation_lr": 1e-4}
    options = [tuned, usual | {"query_rule": "random"}, tuned | {"similarity": "positional"}]
    folders = [write_run(tmp_path, "star", 0, [0.5, 0.6], options=own) for own in options]
    write_suite(tmp_path, [(name, "made", path) for name, path in zip("abc", folders, strict=True)])
    methods = methods_of(tmp_path)
    assert arms_of("a", methods) == Arms(None, None, None)
    assert not train_alike(methods["a"], methods["b"])
    assert train_alike(methods["a"], methods["c"])


@pytest.mark.parametrize(
    ("ceal", "entropy", "found"),
    [({"top": 0.1}, {"top": 0.1}, "entropy"), ({"top": 0.1}, {"top": 0.2}, None), ({}, {}, "entropy")],
)
def test_the_query_of_ceal_is_that_of_the_strategy_it_extends(tmp_path, ceal, entropy, found):
    write_run(tmp_path, "ceal-entropy", 0, [0.5, 0.6], options=ceal)
    write_run(tmp_path, "entropy", 0, [0.5, 0.6], options=entropy)
    write_run(tmp_path, "margin", 0, [0.5, 0.6], options=entropy)
    assert arms_of("ceal-entropy", methods_of(tmp_path)) == Arms(found, None, None)


def test_mc_dropout_by_variance_has_another_query_than_ceal(tmp_path):
    write_run(tmp_path, "ceal-mc-dropout", 0, [0.5, 0.6], options={"passes": 10})
    write_run(tmp_path, "mc-dropout", 0, [0.5, 0.6], options={"passes": 10, "measure": "variance"})
    assert arms_of("ceal-mc-dropout", methods_of(tmp_path)) == Arms(None, None, None)
    write_run(tmp_path, "mc-dropout", 0, [0.5, 0.6], options={"passes": 10, "measure": "entropy"})
    found = arms_of("ceal-mc-dropout", methods_of(tmp_path))
    assert found == Arms("mc-dropout (measure=entropy)", None, None)


def test_a_plugin_is_judged_by_its_records(tmp_path):
    write_run(tmp_path, "quiet", 0, [0.5, 0.6])
    write_run(tmp_path, "pseudo", 0, [0.5, 0.6], pseudo=MaskQuality(5, 0.0, 0.1, 0.9, 0.8))
    write_run(tmp_path, "second", 0, [0.5, 0.6], query_steps=5)
    write_run(tmp_path, "random", 0, [0.5, 0.6], settings={"strategy.code": "1234"})
    methods = methods_of(tmp_path)
    assert {label: is_supervised(runs) for label, runs in methods.items()} == {
        "quiet": True,
        "pseudo": False,
        "second": False,
        "random": True,
    }
    assert not queries_at_random(methods["random"])  # a plugin that only has this name


def test_the_parts_are_paired_differences_of_the_arms(tmp_path):
    results = load(write_arms(tmp_path, "random", "query", "training", "star"))
    found = results.attribution().set_index("part")
    assert list(found.index) == [*PARTS, "interaction"]
    assert set(found["label"]) == {"method s"}
    for part, (one, other) in PARTS.items():
        row = found.loc[part]
        assert (row["method"], row["rival"], row["units"], row["unit"]) == (named(one), named(other), 3, "seed")
        test = stats.ttest_rel(VALUES[one], VALUES[other])
        low, high = test.confidence_interval(0.95)
        difference = np.mean(VALUES[one]) - np.mean(VALUES[other])
        np.testing.assert_allclose([row["gain"], row["low"], row["high"]], [difference, low, high])
    assert found.loc["query", "gain"] + found.loc["training", "gain"] == pytest.approx(found.loc["both", "gain"])


def test_the_interaction_is_that_of_a_linear_model_with_seeds_as_blocks(tmp_path):
    found = load(write_arms(tmp_path, "random", "query", "training", "star")).attribution().set_index("part")
    row = found.loc["interaction"]
    values = np.array([VALUES["star"], VALUES["training"], VALUES["query"], VALUES["random"]])
    query, training = np.repeat([[1], [0], [1], [0]], 3, 1), np.repeat([[1], [1], [0], [0]], 3, 1)
    seeds = [np.repeat([np.arange(3) == seed], 4, 0) for seed in range(3)]
    design = np.column_stack([factor.ravel().astype(float) for factor in (query, training, query * training, *seeds)])
    assert row["gain"] == pytest.approx(np.linalg.lstsq(design, values.ravel(), rcond=None)[0][2])
    contrast = values[0] - values[1] - values[2] + values[3]
    low, high = stats.ttest_1samp(contrast, 0).confidence_interval(0.95)
    np.testing.assert_allclose([row["low"], row["high"]], [low, high])
    assert (row["method"], row["rival"]) == ("method s", "method t + method q - random")
    assert row["gain"] == pytest.approx(found.loc["query", "gain"] - found.loc["query, supervised", "gain"])


def test_what_pseudo_labels_contribute_is_told_from_the_rest_of_the_training(tmp_path):
    folder = write_arms(tmp_path, "random", "training", "star")
    runs = [(label, "made", run.reader.folder) for label, own in methods_of(folder).items() for run in own]
    for seed, value in enumerate([0.66, 0.69, 0.70]):
        path = write_run(folder, "star", seed, [0.5, value, value], options=STAR | {"pseudo_count": 0})
        runs.append(("none", "made", path))
    write_suite(folder, runs)
    found = load(folder).attribution().set_index(["label", "part"])
    assert set(found.index.get_level_values("label")) == {"method s"}  # without pseudo-labels it has no arms of its own
    row = found.loc[("method s", "pseudo-labels")]
    assert (row["method"], row["rival"]) == ("method s", "none")
    assert row["gain"] == pytest.approx(np.mean([0.02, 0.01, 0.01]))
    assert "pseudo-labels +0.0133" in summary_of(folder)


def test_the_steps_of_an_interaction_are_compared_with_those_that_its_arms_add_up_to(tmp_path):
    folder = write_arms(tmp_path, "random", "query", "training", "star", query_steps=30)
    ratios = load(folder).attribution().set_index("part")["steps_ratio"]
    # 30 steps of fit, and 60 in queries of both methods with that training: 90 / (90 + 30 - 30).
    assert ratios.to_dict() == {"query": 1, "query, supervised": 1, "training": 3, "both": 3, "interaction": 1}


def test_query_and_training_add_up_to_both_although_an_arm_lacks_a_seed(tmp_path):
    folder = write_arms(tmp_path, "random", "training", "star")
    for label, seed in (("random", 5), ("star", 6)):
        write_run(folder, label, seed, [0.5, 0.9, 0.9], options=STAR if label == "star" else {})
    parts = [run for run in (folder / "made" / "star").iterdir() if run.name.startswith("seed-2")]
    methods = methods_of(folder)
    runs = [(label, "made", run.reader.folder) for label, own in methods.items() for run in own]
    removed = next(path for label, _, path in runs if label == "method t" and path in parts)
    write_suite(folder, [run for run in runs if run[2] != removed])
    found = load(folder).attribution().set_index("part")
    assert set(found["units"]) == {2}
    assert found.loc["query", "gain"] == pytest.approx(np.mean([0.68 - 0.65, 0.70 - 0.65]))
    assert found.loc["query", "gain"] + found.loc["training", "gain"] == pytest.approx(found.loc["both", "gain"])


def test_a_lower_distance_is_a_gain_of_the_query(tmp_path):
    found = load(write_arms(tmp_path, "random", "training", "star"), metric="hd95").attribution().set_index("part")
    assert found.loc["both", "gain"] == pytest.approx(10 * (np.mean(VALUES["star"]) - np.mean(VALUES["random"])))


def gains_of(table):
    return {row.cells[1].text: row.cells[4].text for row in table.rows}


def test_the_table_of_attribution_has_the_parts_that_the_arms_give(tmp_path):
    table = table_of(write_arms(tmp_path / "all", "random", "query", "training", "star"), "attribution-made")
    assert {row.cells[0].text for row in table.rows} == {"method s"}
    gains = {"query": "+0.0333", "query, supervised": "+0.0167", "training": "+0.0500", "both": "+0.0833"}
    assert gains_of(table) == gains | {"interaction": "+0.0167"}
    assert [cell.text for cell in table.rows[1].cells[2:4]] == ["method q", "random"]
    assert [row.cells[-1].text for row in table.rows] == ["1.00"] * 5
    assert table.columns[4].title == "difference in AUBC"
    assert not any("Caution" in said for said in table.caption)
    note = "Without attention, Eq. 4 of STAR compares features of the first stage"
    assert any(said.startswith(note) for said in table.caption)

    table = table_of(write_arms(tmp_path / "training", "random", "training", "star"), "attribution-made")
    assert gains_of(table) == {part: gains[part] for part in ("query", "training", "both")}
    assert not any(said.startswith(note) for said in table.caption)
    table = table_of(write_arms(tmp_path / "query", "random", "query", "star"), "attribution-made")
    assert gains_of(table) == {part: gains[part] for part in ("query, supervised", "both")}
    assert table_of(write_arms(tmp_path / "none", "random", "star"), "attribution-made") is None


def test_the_summary_attributes_a_gain_to_query_and_training(tmp_path):
    said = summary_of(write_arms(tmp_path / "all", "random", "query", "training", "star"))
    assert said.startswith("Attribution for method s, with 95 % intervals: query +0.0333 [")
    assert "; training +0.0500 [" in said
    assert "; both +0.0833 [" in said
    assert "; interaction +0.0167 [" in said
    assert "supervised" not in said
    said = summary_of(write_arms(tmp_path / "query", "random", "query", "star"))
    attribution = "Attribution for method s, with 95 % intervals: query, supervised +0.0167 ["
    assert said.startswith("Compared with random, differences are not attributable to the query of methods that train ")
    assert f"in another way (method s). {attribution}" in said
    assert summary_of(write_arms(tmp_path / "t", "random", "training")) == ""  # both query at random


def test_of_many_methods_the_summary_says_only_the_parts_that_are_not_compatible_with_0():
    results = published("fair-hippocampus")
    said, found = summarize(results, results.groups[0]).attribution, results.attribution()
    excluding = found[(found["low"] > 0) | (found["high"] < 0)]
    assert [*excluding["part"]] == ["query", "both"]
    assert set(excluding["label"]) == {"taal"}
    assert said.endswith(
        f"Attribution: 95 % intervals, not corrected for their number, exclude 0 in 2 of {len(found)} parts: query of "
        "taal -0.0240 [-0.0393, -0.0087]; both of taal -0.0274 [-0.0513, -0.0034]; the table of attribution has all "
        "parts."
    )


def test_without_arms_the_summary_refuses_to_call_a_difference_that_of_the_query(tmp_path):
    said = summary_of(write_arms(tmp_path, "random", "star", query_steps=30))
    # 3 trainings of 10 steps, and 2 of 30 in queries
    assert said == (
        "Compared with random, differences are not attributable to the query of methods that train in another way and "
        "for another number of steps (method s: 3.00 times the steps)."
    )


def test_steps_that_differ_by_more_than_one_percent_are_not_equal(tmp_path):
    for strategy, last in (("random", 100), ("entropy", 101), ("margin", 103), ("bald", 97)):
        write_run(tmp_path, strategy, 0, [0.5, 0.6], steps=[100, 2 * last - 100])
    assert summary_of(tmp_path) == (
        "Compared with random, differences are not attributable to the query of methods that take another number of "
        "steps (margin: 1.03 times the steps; bald: 0.97 times the steps)."
    )


def test_steps_are_compared_over_common_seeds(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.5, 0.6], steps=[10, 10 + 100 * seed])
    write_run(tmp_path, "entropy", 0, [0.5, 0.6], steps=[10, 10])
    assert summary_of(tmp_path) == ""


def test_a_lead_over_a_method_that_is_not_the_baseline_is_questioned_too(tmp_path):
    for strategy, dice, steps in (("random", 0.6, 10), ("entropy", 0.7, 10), ("margin", 0.8, 30)):
        write_run(tmp_path, strategy, 0, [0.5, dice], steps=[10, steps])
    said = summary_of(tmp_path)
    for rival in ("random", "entropy"):
        assert f"Compared with {rival}, differences are not attributable to the query of methods that take " in said
    assert said.count("another number of steps (margin: 2.00 times the steps).") == 2


def test_parts_between_unequal_steps_are_marked(tmp_path):
    folder = write_arms(tmp_path, "random", "training", "star", query_steps=30)
    query, training, both = summary_of(folder).split("; ")
    assert "times the steps" not in query
    assert training.endswith("] with 3.00 times the steps")
    assert both.endswith("] with 3.00 times the steps.")
    table = table_of(folder, "attribution-made")
    assert [row.cells[-1].text for row in table.rows] == ["1.00", "3.00", "3.00"]
    assert any(said.startswith("Caution: where the ratio of optimizer steps is not 1") for said in table.caption)


def test_tables_of_differences_say_what_is_not_attributable(tmp_path):
    folder = write_arms(tmp_path, "random", "star", query_steps=30)
    for kind in ("baseline", "best-rival"):
        caption = " ".join(table_of(folder, f"differences-{kind}-made").caption)
        assert "train in another way and for another number of steps (method s: 3.00 times the steps)." in caption


def test_methods_are_named_once_for_each_reason(tmp_path):
    options = {"a": STAR, "b, tuned": STAR | {"propagation_lr": 1e-5}, "c": STAR | {"propagation_lr": 1e-3}}
    runs = [("random", "made", write_run(tmp_path, "random", 0, [0.5, 0.6]))]
    runs += [(name, "made", write_run(tmp_path, "star", 0, [0.5, 0.5], options=own)) for name, own in options.items()]
    runs.append(("entropy", "made", write_run(tmp_path, "entropy", 0, [0.5, 0.4], steps=[10, 30])))
    write_suite(tmp_path, runs)
    assert summary_of(tmp_path).startswith(
        "Compared with random, differences are not attributable to the query of methods that train in another way "
        "(a; b, tuned; c) or take another number of steps (entropy: 2.00 times the steps)."
    )


def test_arms_are_in_the_tables_but_not_ranked(tmp_path):
    results = load(write_arms(tmp_path, "random", "query", "training", "star"))
    (group,) = results.groups
    assert group.arms == ["method q", "method t"]
    assert group.ranking == ["method s", "random"]
    differences = results.differences()
    rivals = differences[differences["kind"] == "best rival"].set_index("label")["rival"].to_dict()
    assert rivals == {"random": "method s", "method q": "method s", "method t": "method s", "method s": "random"}
    assert set(results.ranks()["label"]) == {"random", "method s"}
    why = "Not ranked: arms (method q; method t)."
    assert summarize(results, group).not_ranked == why
    for table in all_tables(results):
        if table.name.startswith(("table1", "efficiency")):
            assert why in table.caption
            assert {cell.mark for row in table.rows if row.cells[0].text == "method t" for cell in row.cells} == {""}
            assert any(cell.mark for row in table.rows for cell in row.cells)


def test_arms_are_ranked_where_all_methods_are_of_one_strategy_or_fewer_than_two_would_be_left(tmp_path):
    (ablation,) = load(write_arms(tmp_path / "ablation", "query", "training", "star")).groups
    assert ablation.arms == []
    assert ablation.ranking == ["method s", "method t", "method q"]
    (few,) = load(write_arms(tmp_path / "few", "random", "query", "training")).groups
    assert few.arms == ["method q", "method t"]
    assert few.ranking == ["method t", "method q", "random"]

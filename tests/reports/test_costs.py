"""What labels, steps and time cost, which validation labels count, and what is said about it."""

import numpy as np
import pytest
from support.made_runs import write_run

from albench.config import Tuning
from albench.reports import load
from albench.reports.captions import measured, validation_labels, warnings
from albench.reports.confidence import underconfident
from albench.reports.costs import steps_per_round
from albench.reports.figures.curves import learning_curves
from albench.reports.figures.style import line_styles
from albench.reports.floors import floor_of
from albench.reports.report import all_tables
from albench.reports.reported_metrics import find_metric
from albench.reports.run_details import ROUND_TITLES, details_of_runs
from albench.reports.summary import summarize
from albench.reports.tables.costs import cost_table
from albench.runs.records import Confidence, MaskQuality


def group_of(folder, **options):
    return load(folder, **options).groups[0]


def table_of(folder, name):
    return next((table for table in all_tables(load(folder)) if table.name == name), None)


def test_the_training_of_a_query_is_behind_the_next_evaluation(tmp_path):
    write_run(tmp_path, "star", 0, [0.5, 0.6, 0.7], steps=[10, 20, 30], query_steps=7)
    costs = load(tmp_path).costs()
    assert costs["steps"].tolist() == [10, 10 + 7 + 20, 10 + 7 + 20 + 7 + 30]
    assert costs["slices_read"].tolist() == [16 * steps for steps in costs["steps"]]


def test_steps_per_round_are_those_of_the_last_network_only_with_warm_start(tmp_path):
    for warm in (True, False):
        folder, setting = tmp_path / str(warm), {"protocol.warm_start": warm}
        write_run(folder, "random", 0, [0.5, 0.6, 0.7], steps=[10, 20, 30], settings=setting)
        write_run(folder, "random", 1, [0.5, 0.6, 0.7], steps=[10, 40, 100], settings=setting)
        assert steps_per_round(group_of(folder).methods["random"]) == (20 + 50) / 2
    write_run(tmp_path / "query", "star", 0, [0.5, 0.6], steps=[10, 20], query_steps=40)
    assert steps_per_round(group_of(tmp_path / "query").methods["star"]) == (10 + 40 + 20) / 2


def test_the_table_of_costs_has_the_steps_behind_the_last_network(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.5, 0.6], steps=[10, 20 + 10 * seed])
        write_run(tmp_path, "star", seed, [0.5, 0.6], steps=[10, 20], query_steps=40)
    results = load(tmp_path)
    table = cost_table(results, results.groups[0])
    columns = [column.title for column in table.columns]
    shown = [dict(zip(columns, (cell.text for cell in row.cells), strict=True)) for row in table.rows]
    assert [(row["Method"], row["steps taken"], row["slices read"]) for row in shown] == [
        ("random", "35", "560"),
        ("star", "70", "1,120"),
    ]
    assert [row["fit [min]"] for row in shown] == ["0.1", "0.1"]
    assert "20 validation slices are labeled and not counted." in table.caption


def test_the_table_of_costs_has_the_reference_and_its_steps_are_compared(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], steps=[10, 20])
    write_run(tmp_path, "star", 0, [0.5, 0.6], steps=[10, 20], query_steps=40)
    write_run(tmp_path, "full", 0, [0.8], steps=[25])
    results = load(tmp_path)
    (group,) = results.groups
    last = cost_table(results, group).rows[-1]
    assert [cell.text for cell in last.cells] == [
        "full",
        "100",
        "50",
        "900",
        "300",
        "2",
        "25",
        "400",
        *["0.0"] * 3,
        "n/a",
        "n/a",
    ]
    sentence = "The reference took {} times the optimizer steps of the methods, on average."
    assert sentence.format("0.50") in measured(results, group)  # 25 / ((30 + 70) / 2)

    write_run(tmp_path / "equal", "random", 0, [0.5, 0.6], steps=[100, 100])
    write_run(tmp_path / "equal", "full", 0, [0.8], steps=[202])
    results = load(tmp_path / "equal")
    assert not any("The reference took" in said for said in measured(results, results.groups[0]))


def test_rounds_that_kept_the_starting_weights_are_counted(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6, 0.7], steps=[10, 1, 1])  # the best step is half of them
    write_run(tmp_path, "entropy", 0, [0.5, 0.6, 0.7])
    results = load(tmp_path)
    said = " ".join(cost_table(results, results.groups[0]).caption)
    assert "In 2 of 6 rounds no better weights were found." in said


def test_every_split_of_a_seed_is_a_run_of_its_own_in_costs(tmp_path):
    for split, last in enumerate((20, 40)):
        settings = {"protocol.splits": 2, "protocol.split_seed": split}
        write_run(tmp_path, "random", 0, [0.5, 0.6], steps=[10, last], settings=settings)
    results = load(tmp_path)
    assert set(zip(results.costs()["seed"], results.costs()["split"], strict=True)) == {(0, 0), (0, 1)}
    (row,) = cost_table(results, results.groups[0]).rows
    assert row.cells[6].text == "40"  # (30 + 50) / 2


def test_the_seed_of_a_split_does_not_divide_a_group_with_several_splits(tmp_path):
    for splits, name in ((2, "crossed"), (1, "single"), ("nested", "nested")):
        for split in range(2):
            settings = {"protocol.splits": splits, "protocol.split_seed": split}
            write_run(tmp_path / name, "random", split, [0.5, 0.6], settings=settings)
    assert [len(load(tmp_path / name).groups) for name in ("crossed", "single", "nested")] == [1, 2, 1]


def test_initial_labels_are_compared_within_a_seed(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "random", 1, [0.5, 0.6], labeled=[12, 17])
    write_run(tmp_path, "entropy", 1, [0.5, 0.6], labeled=[12, 17])
    assert warnings(group_of(tmp_path)) == []
    write_run(tmp_path, "entropy", 0, [0.5, 0.6], labeled=[12, 17])
    assert warnings(group_of(tmp_path)) == ["Caution: not all methods began with the same labels."]


@pytest.mark.parametrize(
    ("validation", "sentence", "labeled", "share"),
    [
        ("free", "20 validation slices are labeled and not counted.", [10, 15], [0.1, 0.15]),
        (
            "charged",
            "The labels of 20 validation slices are counted in every share and cost.",
            [30, 35],
            [30 / 120, 35 / 120],
        ),
        ("none", "There are no validation cases.", [10, 15], [0.1, 0.15]),
    ],
)
def test_validation_labels_are_counted_as_the_protocol_says(tmp_path, validation, sentence, labeled, share):
    write_run(tmp_path, "random", 0, [0.5, 0.6], settings={"protocol.validation": validation})
    results = load(tmp_path)
    (group,) = results.groups
    assert validation_labels(group) == sentence
    assert sentence in measured(results, group)
    assert group.curves["random"].labeled.tolist() == labeled
    np.testing.assert_allclose(group.curves["random"].share, share)
    np.testing.assert_allclose(results.costs()["share"], share)
    (run,) = details_of_runs(results, group)
    assert [row[1] for row in run.rounds] == [str(count) for count in labeled]
    drawing = learning_curves(results, group, line_styles(["random"], "random"))
    counted = "pool and validation" if validation == "charged" else "the pool"
    assert drawing.figure.axes[0].get_xlabel() == f"labeled slices [% of {counted}]"
    tables = [table for table in all_tables(results) if table.name != "ranks"]
    assert all(sentence in table.caption for table in tables)


def test_a_reference_is_borrowed_by_a_group_with_another_start(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "random", 0, [0.5, 0.6], settings={"protocol.start": "slices"})
    write_run(tmp_path, "full", 0, [0.8], rounds=1)
    assert [group.supervised[0] for group in load(tmp_path).groups] == [0.8, 0.8]


def test_pseudo_labels_are_averaged_over_rounds_and_runs(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6, 0.7])
    for seed, quality in enumerate([MaskQuality(5, 0.8, 0.1, 0.9, None), MaskQuality(10, 1.0, 0.0, 0.8, 0.4)]):
        write_run(tmp_path, "star", seed, [0.5, 0.6, 0.7], pseudo=quality)
    table = table_of(tmp_path, "pseudo-labels-made")
    assert [column.title for column in table.columns][1:] == [
        *("pseudo-labels", "empty", "slice Dice", "slice Dice with foreground")
    ]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["star", "8", "90.0%", "0.850", "0.400"]]


def test_pseudo_labels_are_listed_run_by_run_and_round_by_round(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    for seed in (1, 0):
        write_run(tmp_path, "star", seed, [0.5, 0.6], pseudo=MaskQuality(5 + seed, 0.8, 0.1, 0.9, None))
    found = load(tmp_path).pseudo_labels()
    assert set(found["label"]) == {"star"}
    assert found[["seed", "split", "round", "count"]].values.tolist() == [
        [seed, 0, index, 5 + seed] for seed in range(2) for index in range(2)
    ]
    assert found[["empty_share", "foreground_share", "dice"]].drop_duplicates().values.tolist() == [[0.8, 0.1, 0.9]]
    assert found["dice_foreground"].isna().all()


def test_without_pseudo_labels_they_have_no_table(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    assert load(tmp_path).pseudo_labels().empty
    assert table_of(tmp_path, "pseudo-labels-made") is None


def test_a_seed_that_failed_in_a_shared_round_0_is_named_once(tmp_path):
    for strategy in ("random", "entropy", "margin", "taal", "star"):
        for seed in range(3):
            failed = (seed == 2 and strategy != "taal") or (seed == 1 and strategy == "star")
            write_run(tmp_path, strategy, seed, [0.1 if failed else 0.6, 0.7])
    (said,) = warnings(group_of(tmp_path))  # star's median is that of two failed runs
    assert said.endswith(", and included: seed 2 of all methods but taal; star.")
    for seed in range(3, 6):
        write_run(tmp_path, "star", seed, [0.6, 0.7])
    (said,) = warnings(group_of(tmp_path))
    assert said.endswith(", and included: seed 2 of all methods but taal; star, seed 1.")


SEARCH = Tuning(12, 1, {"weight": 0.3}, "val_dice_volume", 0.8, 3400, 60.0)


def test_a_tuned_method_is_named_with_its_search_and_so_are_the_others(tmp_path):
    write_run(tmp_path, "taal", 0, [0.5, 0.6], settings={"tuning": SEARCH})
    tuned = "taal is tuned (weight=0.3): 12 trials with 1 seed each, 3,400 optimizer steps, chosen by val_dice_volume."
    assert warnings(group_of(tmp_path)) == [tuned]
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "star", 0, [0.5, 0.6])
    unfair = "Caution: not tuned, so the comparison is not fair to them: random; star."
    for table in all_tables(load(tmp_path)):
        if table.name != "ranks":
            assert tuned in table.caption
            assert unfair in table.caption


def test_a_baseline_that_uses_labels_is_marked_and_does_not_lead_unmarked(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.5, 0.6])
        write_run(tmp_path, "foreground-random", seed, [0.5, 0.7])
    mark = "Uses labels of unlabeled slices, so it is a reference and not a method: foreground-random."
    results = load(tmp_path)
    assert all(mark in table.caption for table in all_tables(results) if table.name != "ranks")
    assert mark in summarize(results, results.groups[0]).lead
    write_run(tmp_path, "star", 0, [0.5, 0.9])
    write_run(tmp_path, "star", 1, [0.5, 0.9])
    results = load(tmp_path)
    assert mark not in summarize(results, results.groups[0]).lead


def test_a_baseline_that_uses_labels_is_not_ranked_beside_two_other_methods(tmp_path):
    for strategy, value in (("random", 0.6), ("foreground-random", 0.9), ("entropy", 0.7)):
        for seed in range(2):
            write_run(tmp_path, strategy, seed, [0.5, value])
    results = load(tmp_path)
    (group,) = results.groups
    assert group.ranking == ["entropy", "random"]
    summary = summarize(results, group)
    assert summary.lead.startswith("entropy leads")
    assert summary.not_ranked == "Not ranked: baselines that use labels of unlabeled slices (foreground-random)."
    assert summary.not_ranked in measured(results, group)


def test_underconfident_runs_are_named_with_what_they_could_have_had(tmp_path):
    for seed, (threshold, best) in enumerate([(0.4, 0.74), (0.3, 0.70), (0.45, 0.54), (0.6, 0.9)]):
        confidence = Confidence(0.514, threshold, 0.8, best)
        write_run(tmp_path, "random", seed, [0.5, 0.9], confidence=confidence)
    assert underconfident(group_of(tmp_path)) == [
        "In round 0, 2 of 4 runs are underconfident: at the threshold chosen on the validation cases their volume Dice "
        "is 0.720 instead of 0.500."
    ]


def test_a_network_that_predicts_everything_at_its_best_threshold_has_learned_nothing(tmp_path):
    """The largest slice of a made case is known to bound the Dice of predicting everything."""
    made = {"measured": {"empty_slice_share": 0.5}, "side": 16}
    write_run(tmp_path, "random", 0, [0.01, 0.01], **made)
    bound = floor_of(load(tmp_path).groups[0].runs, find_metric("dice_volume", None)).everything
    assert 0.06 < bound < 0.9
    for best, named in ((bound, False), (bound + 0.002, True)):
        folder = tmp_path / f"{named}"
        write_run(folder, "random", 0, [0.01, 0.01], confidence=Confidence(0.4, 0.3, 0.8, best), **made)
        said = (
            "In round 0, 1 of 1 run is underconfident: at the threshold chosen on the validation cases its volume Dice "
            f"is {best:.3f} instead of 0.010."
        )
        assert underconfident(group_of(folder))[:1] == [said] * named


def test_captions_count_the_rounds_of_untrained_networks(tmp_path):
    """A training of one step, whose best one is half of it: none."""
    write_run(tmp_path / "runs", "random", 0, [0.5, 0.6, 0.7], steps=[1, 1, 10])
    write_run(tmp_path / "runs", "star", 0, [0.5, 0.6, 0.7], steps=[10, 1, 10])
    said = (
        "Caution: the network is untrained in 1 of 6 rounds, because no step of the training was better on the "
        "validation cases than the initial weights: train longer, or with another training.lr."
    )
    results = load(tmp_path / "runs")
    assert said in warnings(results.groups[0])
    assert "In 3 of 6 rounds no better weights were found." in " ".join(cost_table(results, results.groups[0]).caption)
    write_run(tmp_path / "trained", "random", 0, [0.5, 0.6], steps=[10, 1])
    assert not any("untrained" in text for text in warnings(group_of(tmp_path / "trained")))


def test_the_details_of_a_run_name_its_split(tmp_path):
    for split in (3, 2):
        settings = {"protocol.splits": 2, "protocol.split_seed": split}
        write_run(tmp_path, "random", 0, [0.5, 0.6], settings=settings)
    results = load(tmp_path)
    runs = details_of_runs(results, results.groups[0])
    assert [run.replicate for run in runs] == ["seed 0, split 2", "seed 0, split 3"]


def test_the_rounds_of_a_run_show_its_confidence(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], confidence=Confidence(0.514, 0.4, 0.8, 0.746))
    results = load(tmp_path)
    (run,) = details_of_runs(results, results.groups[0])
    row = dict(zip(ROUND_TITLES, run.rounds[0], strict=True))
    assert row["highest probability"] == "0.514"
    assert row["dice_volume"] == "0.500"
    assert row["dice_volume (best threshold)"] == "0.746 (0.40)"
    assert row["val_dice_volume"] == "0.510"
    assert row["steps taken"] == "10"


def test_without_validation_cases_no_threshold_is_shown(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], confidence=Confidence(0.514, None, None, None))
    results = load(tmp_path)
    (run,) = details_of_runs(results, results.groups[0])
    assert dict(zip(ROUND_TITLES, run.rounds[0], strict=True))["dice_volume (best threshold)"] == ""
    assert underconfident(results.groups[0]) == []


def test_the_tolerance_of_surface_dice_is_in_its_title(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], settings={"protocol.nsd_tolerance": 2.5})
    results = load(tmp_path, metric="nsd")
    assert measured(results, results.groups[0])[0].startswith("Surface Dice (NSD) at 2.5 mm on 2 test cases")

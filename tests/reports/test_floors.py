"""What predicting nothing and predicting everything score, and that neither wins."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.made_runs import write_run

from albench.metrics import score_case
from albench.metrics import summarize as summary_of
from albench.reports import load
from albench.reports.captions import floors, measured
from albench.reports.figures.curves import class_curves, cost_curves, learning_curves
from albench.reports.figures.style import line_styles
from albench.reports.floors import floor_of
from albench.reports.report import all_tables
from albench.reports.reported_metrics import find_metric
from albench.reports.summary import summarize
from albench.reports.tables.paper import main_table
from albench.runs.foreground import largest_foreground
from albench.runs.records import ClassMetrics

EMPTY = {"empty_slice_share": 0.395}
NOTHING = [0.0, 0.0, 0.0]
AT_FLOOR = [0.395, 0.395, 0.395]
NO_BOUND = "Predicting nothing scores 0.395; what predicting everything scores is not in the records."


@pytest.fixture
def suite(tmp_path):
    """The suite of a new user: one seed, short trainings. The network of random predicts nothing."""
    write_run(tmp_path, "random", 0, NOTHING, slice_dice=AT_FLOOR, measured=EMPTY)
    write_run(tmp_path, "entropy", 0, [0.1, 0.14, 0.2], slice_dice=[0.05, 0.0641, 0.0641], measured=EMPTY)
    write_run(tmp_path, "margin", 0, [0.1, 0.12, 0.15], slice_dice=[0.05, 0.06, 0.06], measured=EMPTY)
    return tmp_path


def summary(folder, **options):
    results = load(folder, **options)
    return summarize(results, results.groups[0])


def test_a_network_that_predicts_nothing_does_not_lead(suite):
    found = summary(suite, metric="dice_slice")
    assert found.lead == "No method on made leads: none is better than predicting nothing or everything."
    assert found.evidence == ""
    assert found.floor == NO_BOUND
    assert "random leads" not in " ".join(found.sentences)
    in_volume = summary(suite)
    assert in_volume.lead.startswith("entropy leads with an AUBC of 0.170 in volume Dice, ahead of margin by 0.0350")
    assert in_volume.not_ranked == "Not ranked: methods no better than predicting nothing or everything (random)."


def test_the_only_method_above_the_floor_does_not_lead_others(suite):
    write_run(suite, "star", 0, [0.2, 0.5, 0.6], measured=EMPTY)
    found = summary(suite, metric="dice_slice")
    assert found.lead == (
        "Only star on made is better than predicting nothing or everything, with an AUBC of 0.550 in slice Dice."
    )
    assert found.not_ranked == (
        "Not ranked: methods no better than predicting nothing or everything (random; margin; entropy)."
    )


def test_a_method_without_predictions_gets_no_mark_and_is_nobodys_rival_whatever_the_metric(suite):
    for metric in ("dice_slice", "dice_volume", "hd95", "val_dice_slice", "empty_slice_fpr"):
        results = load(suite, metric=metric)
        assert "random" not in results.groups[0].ranking
        assert "random" not in set(results.differences().query("kind == 'best rival'").get("rival", []))
        for table in all_tables(results):
            rows = [row for row in table.rows if row.cells[0].text == "random"]
            assert not any(cell.mark for row in rows for cell in row.cells)


def test_a_method_without_predictions_does_not_reach_the_reference(tmp_path):
    fpr = {"empty_slice_fpr": 0.0}
    write_run(tmp_path, "random", 0, NOTHING, measured=fpr)
    write_run(tmp_path, "entropy", 0, [0.5, 0.6, 0.7], measured=fpr)
    write_run(tmp_path, "full", 0, [0.8], rounds=2, measured={"empty_slice_fpr": 0.1})
    numbers = load(tmp_path, metric="empty_slice_fpr").efficiency().set_index("label")
    names = ["reach", "reach_monotone", "reach_sustained", "reach_near", "reach_median"]
    assert np.isinf(numbers.loc["random", names].astype(float)).all()
    assert numbers.loc["random", "reach_replicates"] == 0
    assert numbers.loc["entropy", "reach"] == 0.1


def test_a_reference_at_the_floor_is_not_reached_and_the_caption_says_so(suite):
    write_run(suite, "full", 0, [0.3], slice_dice=[0.08], rounds=2, measured=EMPTY)
    caution = (
        "Caution: the supervised reference is no better than predicting nothing or everything, so S% is unknown and no "
        "maximum can be compared with it."
    )
    results = load(suite, metric="dice_slice")
    (group,) = results.groups
    assert caution in measured(results, group)
    assert results.efficiency()[["reach", "reach_monotone", "foreground_efficiency"]].isna().all(axis=None)
    assert summarize(results, group).reference == (
        "How many labels suffice is unknown: no method can be compared with the supervised reference (0.080). "
        + caution
    )
    assert caution in main_table(load(suite), load(suite).groups[0]).caption  # its metric is slice Dice
    assert caution not in measured(load(suite), load(suite).groups[0])


def test_a_reference_that_failed_on_a_seed_is_cautioned_about(tmp_path):
    for seed, last in enumerate([0.8, 0.8, 0.1]):
        write_run(tmp_path, "random", seed, [0.5, 0.6])
        write_run(tmp_path, "full", seed, [last], rounds=1)
    said = "Caution: the supervised reference failed in seed 2, so it is reached too early and S% is too low."
    assert summary(tmp_path).reference.endswith(said)
    assert said in measured(load(tmp_path), load(tmp_path).groups[0])


@pytest.mark.parametrize(("everything", "fpr"), [(True, 1.0), (True, 0.5), (False, 1.0)])
def test_a_network_that_predicts_everything_does_not_lead(tmp_path, everything, fpr):
    for strategy in ("entropy", "random"):
        write_run(tmp_path, strategy, 0, [0.1, 0.01 if strategy == "random" else 0.008, 0.01], side=32)
    told = {"everything": everything, "measured": {"empty_slice_fpr": fpr}}
    write_run(tmp_path, "margin", 0, [0.1, 0.05, 0.05], side=32, **told)
    (group,) = load(tmp_path).groups
    assert group.floor.everything > 0.06
    assert group.at_floor == (["margin"] if everything and fpr == 1 else [])
    assert group.ranking[0] == ("random" if everything and fpr == 1 else "margin")


@pytest.mark.parametrize(
    ("gain", "margin", "clear"), [(0.0002, None, False), (0.0002, 0, False), (0.008, None, False), (0.008, 0.005, True)]
)
def test_a_lead_of_almost_nothing_is_no_clear_lead(tmp_path, gain, margin, clear):
    write_run(tmp_path, "random", 0, [0.5, 0.7])
    write_run(tmp_path, "star", 0, [0.5, 0.7 + gain])
    lead = summary(tmp_path, margin=margin).lead
    begin = "star leads with" if clear else "No clear leader: star has the best mean,"
    assert lead == f"{begin} an AUBC of {0.7 + gain:.3f} in volume Dice, ahead of random by {gain:.4f}."


def test_a_large_lead_whose_interval_includes_0_is_no_clear_lead(tmp_path):
    for seed, gain in enumerate([0.3, -0.1, 0.1]):
        write_run(tmp_path, "random", seed, [0.5, 0.6])
        write_run(tmp_path, "star", seed, [0.5, 0.6 + gain])
    assert summary(tmp_path).lead.startswith("No clear leader: star has the best mean, an AUBC of 0.700")


def test_a_small_lead_whose_interval_excludes_0_is_a_lead(tmp_path):
    for seed, gain in enumerate([0.005, 0.0051, 0.0049]):
        write_run(tmp_path, "random", seed, [0.5, 0.7])
        write_run(tmp_path, "star", seed, [0.5, 0.7 + gain])
    assert summary(tmp_path).lead.startswith("star leads with an AUBC of 0.705")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("dice_slice", NO_BOUND),
        ("val_dice_volume", "What predicting nothing or everything scores is not in the records."),
        ("hd95", "Predicting nothing has the largest possible distance, the diagonal of the volume."),
        (
            "empty_slice_fpr",
            "Predicting nothing has 0.000 and predicting everything 1.000, so this metric alone tells neither from a "
            "segmentation.",
        ),
    ],
)
def test_every_table_curve_and_summary_says_what_the_floors_are(suite, metric, sentence):
    results = load(suite, metric=metric)
    (group,) = results.groups
    assert floors(group) == sentence
    assert summarize(results, group).sentences[-1] == sentence
    tables = [table for table in all_tables(results) if not table.name.startswith(("ranks", "costs", "table1"))]
    styles = line_styles(list(group.methods), "random")
    drawings = [learning_curves(results, group, styles), cost_curves(results, group, styles)]
    assert tables
    assert all(sentence in shown.caption for shown in (*tables, *drawings))


def test_curves_show_the_floors_as_lines(tmp_path):
    for strategy in ("random", "star"):
        write_run(tmp_path, strategy, 0, [0.5, 0.6], side=32)
    results = load(tmp_path)
    (group,) = results.groups
    for drawing in (
        draw(results, group, line_styles(["random", "star"], "random")) for draw in (learning_curves, cost_curves)
    ):
        lines = {line.get_label(): line.get_ydata()[0] for line in drawing.figure.axes[0].lines}
        assert lines["nothing predicted"] == 0
        assert lines["all predicted, at most"] == group.floor.everything
    said = f"Predicting nothing scores 0.000, predicting everything at most {group.floor.everything:.3f}."
    assert said in learning_curves(results, group, line_styles(["random", "star"], "random")).caption


def test_every_class_has_a_floor_of_its_own(tmp_path):
    for strategy in ("random", "star"):
        write_run(tmp_path, strategy, 0, [0.5, 0.6], classes=("liver", "tumor"))
    results = load(tmp_path, metric="dice_slice")
    drawing = class_curves(results, results.groups[0], line_styles(["random", "star"], "random"))
    shown = [{line.get_label(): line.get_ydata()[0] for line in ax.lines} for ax in drawing.figure.axes]
    assert [lines["nothing predicted"] for lines in shown] == pytest.approx([0.372, 0.472])


def run_of(volumes, predictions, classes=1):
    """What `floor_of` reads of a run: metrics by `albench.metrics`, and the largest slice of every case."""
    scored = {
        f"t{index}": score_case(prediction, truth, (1, 1, 1), 1.0, classes)
        for index, (truth, prediction) in enumerate(zip(volumes, predictions, strict=True))
    }
    names = [f"c{index}" for index in range(classes)]
    of_class = {
        name: ClassMetrics(
            summary_of([case.classes[index] for case in scored.values()]),
            None,
            {case: scores.classes[index].metrics() for case, scores in scored.items()},
        )
        for index, name in enumerate(names)
    }
    record = SimpleNamespace(
        test=summary_of([case.all for case in scored.values()]),
        val=None,
        cases={name: case.all.metrics() for name, case in scored.items()},
        classes=of_class if classes > 1 else {},
    )
    shown = [
        (f"t{index}", truth[(truth > 0).sum((1, 2)).argmax()]) for index, truth in enumerate(volumes) if truth.any()
    ]
    snapshots = {
        "cases": np.array([case for case, _ in shown]),
        "masks": np.stack([mask for _, mask in shown]),
        "valid": np.array([mask.shape for _, mask in shown]),
    }
    reader = SimpleNamespace(
        records=[record],
        split=SimpleNamespace(test=tuple(scored)),
        config=SimpleNamespace(classes=tuple(names)),
        snapshots=lambda: snapshots,
        largest_foreground=lambda: largest_foreground(snapshots),
    )
    return SimpleNamespace(reader=reader, replicate=SimpleNamespace(split=0)), record


def truths(seed, classes=1, *, equal=False):
    """Four volumes with empty slices at their ends, the last one without foreground."""
    rng = np.random.default_rng(seed)
    volumes = np.zeros((4, 8, 10, 10), dtype=np.uint8)
    for index, volume in enumerate(volumes[:-1]):
        for mask in volume[1 + index : 7]:
            side = 4 if equal else int(rng.integers(2, 7))
            mask[1 : 1 + side, 2:6] = rng.integers(1, classes + 1, (len(mask[1 : 1 + side]), 4))
    return volumes


@pytest.mark.parametrize("name", ["dice_slice", "dice_foreground", "dice_volume", "nsd"])
@pytest.mark.parametrize("classes", [1, 3])
def test_the_floor_of_predicting_nothing_is_what_a_network_that_predicts_nothing_scores(name, classes):
    volumes = truths(1, classes)
    run, _ = run_of(volumes, truths(2, classes), classes)
    _, of_nothing = run_of(volumes, np.zeros_like(volumes), classes)
    for class_name in (None, *(run.reader.config.classes if classes > 1 else ())):
        metric = find_metric(name, class_name)
        assert floor_of([run], metric).nothing == pytest.approx(metric.of(of_nothing), abs=1e-4)


@pytest.mark.parametrize("name", ["dice_slice", "dice_foreground", "dice_volume"])
@pytest.mark.parametrize("seed", range(5))
def test_predicting_everything_scores_no_more_than_its_bound(name, seed):
    metric = find_metric(name)
    for equal in (False, True):
        volumes = truths(seed, equal=equal)
        run, _ = run_of(volumes, truths(seed + 10))
        _, of_everything = run_of(volumes, np.ones_like(volumes))
        bound, value = floor_of([run], metric).everything, metric.of(of_everything)
        assert value <= bound + 1e-5
        if equal:  # then the largest slice is like all others
            assert value == pytest.approx(bound, abs=1e-4)


def test_what_predicting_everything_scores_is_unknown_for_several_classes_and_partly_known_labels():
    run, _ = run_of(truths(1, 3), truths(2, 3), 3)
    assert np.isnan(floor_of([run], find_metric("dice_volume")).everything)
    run, _ = run_of(truths(1), truths(2))
    run.reader.snapshots()["masks"][0, 0] = 255
    assert np.isnan(floor_of([run], find_metric("dice_volume")).everything)

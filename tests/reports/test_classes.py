"""Several classes: reports on one of them and on all together, and slices whose label nobody knows."""

import numpy as np
import pandas as pd
import pytest
from support.made_runs import write_run, write_suite
from support.samples import invoke

from albench.errors import ConfigError
from albench.reports import load
from albench.reports.captions import classes_together, measured, warnings
from albench.reports.confidence import underconfident
from albench.reports.failed_runs import failed
from albench.reports.figures.curves import class_curves, learning_curves
from albench.reports.figures.figures import draw
from albench.reports.figures.style import line_styles
from albench.reports.report import all_tables
from albench.reports.run_details import details_of_runs
from albench.reports.tables.classes import class_table
from albench.reports.tables.efficiency import efficiency_table
from albench.reports.tables.paper import main_table
from albench.runs.records import Confidence, MaskQuality

CLASSES = ("liver", "tumor")
MEAN = {"random": [0.5, 0.6, 0.7], "star": [0.5, 0.65, 0.72], "full": [0.75]}
OFFSETS = {"random": (0.02, -0.02), "star": (0.1, -0.1), "full": (0.125, -0.125)}
"""Of each class from the mean: `star` is better on the liver and on both together, `random` on the tumor."""
CASES = (0.03, -0.01, -0.02)
"""Of each test case from the Dice of all."""


def write_all(out, shift, **options):
    """Runs of two seeds whose Dice is the mean of both classes plus shift(method)."""
    for seed in range(2):
        for label, dice in MEAN.items():
            values = [value + 0.004 * seed * place + shift(label) for place, value in enumerate(dice)]
            of_runs = {name: value(label) if callable(value) else value for name, value in options.items()}
            write_run(out, label, seed, values, offsets=CASES, cases=3, rounds=2, **of_runs)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    write_all(out, lambda _: 0, classes=CLASSES, class_offsets=OFFSETS.get)
    return out


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """{class, or None: runs of one class with the numbers of that class, or of the mean over both}."""
    made = {name: tmp_path_factory.mktemp("one") for name in (*CLASSES, None)}
    for index, name in enumerate(CLASSES):
        write_all(made[name], lambda label, index=index: OFFSETS[label][index])
    write_all(made[None], lambda _: 0)
    return made


def numbers(results):
    frames = {
        name: getattr(results, name)() for name in ("curves", "efficiency", "differences", "ranks", "attribution")
    }
    return frames | {"values": results.costs()[["label", "seed", "round", "value"]], "wins": results.wins("made")}


@pytest.mark.parametrize("metric", ["dice_volume", "dice_slice", "hd95", "val_dice_volume"])
@pytest.mark.parametrize("name", [*CLASSES, None])
def test_a_report_on_a_class_has_the_numbers_of_runs_of_that_class_alone(two, single, name, metric):
    own, alone = load(two, metric=metric, class_name=name), load(single[name], metric=metric)
    for key, frame in numbers(own).items():
        pd.testing.assert_frame_equal(frame, numbers(alone)[key], obj=key)
    assert own.in_metric_of_paper.efficiency()["final"].to_numpy() == pytest.approx(
        alone.in_metric_of_paper.efficiency()["final"].to_numpy()
    )


@pytest.mark.parametrize("name", [*CLASSES, None])
def test_the_tables_of_a_report_on_a_class_are_those_of_runs_of_that_class_alone(two, single, name):
    own = {table.name: repr(table.rows) for table in all_tables(load(two, class_name=name))}  # equal NaN differ
    assert (own.pop("classes-made", None) is None) == (name is not None)
    assert own == {table.name: repr(table.rows) for table in all_tables(load(single[name]))}


@pytest.mark.parametrize("name", CLASSES)
def test_the_details_of_a_run_are_those_of_the_class(two, single, name):
    own, alone = (
        details_of_runs(results, results.groups[0]) for results in (load(two, class_name=name), load(single[name]))
    )
    for one, other in zip(own, alone, strict=True):
        assert one.cases == other.cases
        assert [row[:9] for row in one.rounds] == [row[:9] for row in other.rounds]


def test_the_class_is_in_titles_and_captions(two):
    results = load(two, class_name="tumor")
    (group,) = results.groups
    assert measured(results, group)[0].startswith("Volume Dice of tumor on 3 test cases")
    assert not any("averaged" in said for said in measured(results, group))
    titles = [column.title for column in efficiency_table(results, group).columns]
    assert "max(p) of volume Dice of tumor" in titles
    figure = learning_curves(results, group, line_styles(list(group.methods), "random")).figure
    assert figure.axes[0].get_ylabel() == "volume Dice of tumor"
    # 0.272 of the slices are empty, and 0.2 more have no tumor.
    assert any("Predicting nothing scores 0.472;" in said for said in main_table(results, group).caption)


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (
            "dice_volume",
            "The classes liver, tumor are averaged: in each case over those that occur in its truth, or over all of "
            "them if none does.",
        ),
        (
            "val_dice_slice",
            "The classes liver, tumor are averaged: in each slice over those that occur in its truth, or over all of "
            "them if none does.",
        ),
        ("empty_slice_fpr", "The classes liver, tumor are one foreground."),
    ],
)
def test_captions_say_how_classes_are_taken_together(two, metric, sentence):
    results = load(two, metric=metric)
    assert classes_together(results, results.groups[0]) == [sentence]
    assert all(sentence in table.caption for table in all_tables(results) if table.name.startswith(("eff", "classes")))


def test_one_class_is_not_said_to_be_averaged(single):
    results = load(single["liver"])
    assert classes_together(results, results.groups[0]) == []
    assert class_table(results, results.groups[0]) is None
    assert results.classes().empty
    assert class_curves(results, results.groups[0], {}) is None


def test_the_only_class_can_be_named(single):
    named, plain = load(single["liver"], class_name="foreground"), load(single["liver"])
    pd.testing.assert_frame_equal(named.efficiency(), plain.efficiency())


def test_an_unknown_class_is_named_with_those_that_exist(two, single):
    with pytest.raises(ConfigError, match=r"^--class must be one of liver, tumor, got 'spleen'$"):
        load(two, class_name="spleen")
    with pytest.raises(ConfigError, match=r"^--class must be one of foreground, got 'tumor'$"):
        load(single[None], class_name="tumor")


def test_a_class_must_be_one_of_every_group(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], classes=CLASSES, title="a")
    write_run(tmp_path, "random", 0, [0.5, 0.6], classes=("tumor", "cyst"), title="b")
    assert load(tmp_path, class_name="tumor").metric.class_name == "tumor"
    with pytest.raises(ConfigError, match=r"^--class must be one of tumor, got 'liver'$"):
        load(tmp_path, class_name="liver")
    write_run(tmp_path, "random", 0, [0.5, 0.6], title="c")
    with pytest.raises(ConfigError, match=r"none in common \(a: liver, tumor; b: tumor, cyst; c: foreground\)"):
        load(tmp_path, class_name="tumor")


def test_the_same_class_is_found_by_its_name_and_not_by_its_number(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], classes=CLASSES, title="a")
    write_run(tmp_path, "random", 0, [0.5, 0.6], classes=CLASSES[::-1], title="b")
    curves = load(tmp_path, class_name="tumor").curves()
    assert curves["value"].tolist() == pytest.approx([0.42, 0.52, 0.58, 0.68])


def test_the_table_of_classes_has_every_class_and_the_mean(two):
    results = load(two)
    table = class_table(results, results.groups[0])
    assert [column.title for column in table.columns] == [
        *("Method", "AUBC liver", "AUBC tumor", "AUBC mean", "final liver", "final tumor", "final mean")
    ]
    cells = {row.cells[0].text: row.cells[1:] for row in table.rows}
    # Seed 1 is 0.004 higher in round 1 and 0.008 in round 2; deviations are those of two values.
    area, last = 0.65 + 0.003, 0.7 + 0.004
    for cell, value in zip(
        cells["random"], (area + 0.02, area - 0.02, area, last + 0.02, last - 0.02, last), strict=True
    ):
        assert cell.value == pytest.approx(value)
    assert [cell.spread.sd for cell in cells["random"]] == pytest.approx([0.006 / 2**0.5] * 3 + [0.008 / 2**0.5] * 3)
    assert [cell.mark for cell in cells["random"]] == ["second", "best", "second"] * 2
    assert [cell.mark for cell in cells["star"]] == ["best", "second", "best"] * 2
    assert "Supervised reference by class: liver 0.875, tumor 0.625." in table.caption
    frame = results.classes().set_index(["label", "class"])
    assert frame.loc[("star", "all"), "final"] == pytest.approx(0.724)
    assert frame.loc[("star", "tumor"), "final"] == pytest.approx(0.624)


def test_a_distance_is_best_where_it_is_lowest_for_every_class(two):
    results = load(two, metric="hd95")
    rows = class_table(results, results.groups[0]).rows
    assert [cell.mark for cell in rows[0].cells[1:]] == ["second", "best", "second"] * 2


def test_classes_that_are_one_foreground_have_no_mean(two):
    results = load(two, metric="empty_slice_fpr")
    titles = [column.title for column in class_table(results, results.groups[0]).columns]
    assert "AUBC all" in titles
    assert "AUBC mean" not in titles


def test_the_curves_of_a_class_are_in_its_panel_with_its_reference(two):
    results = load(two)
    (group,) = results.groups
    drawing = class_curves(results, group, line_styles(list(group.methods), "random"))
    for ax, name, shift, reference in zip(drawing.figure.axes, CLASSES, (0.1, -0.1), (0.875, 0.625), strict=True):
        lines = {line.get_label(): line for line in ax.get_lines()}
        assert ax.get_title() == name
        np.testing.assert_allclose(lines["star"].get_xdata(), [10, 15, 20])
        np.testing.assert_allclose(lines["star"].get_ydata(), np.array([0.5, 0.652, 0.724]) + shift)
        assert lines["all slices labeled"].get_ydata()[0] == pytest.approx(reference)
    names = [drawing.name for drawing in draw(results)]
    assert names[:2] == ["curves-made", "class-curves-made"]
    assert "class-curves-made" not in [drawing.name for drawing in draw(load(two, class_name="liver"))]


def test_a_run_has_failed_by_the_class_of_the_report(tmp_path):
    for seed, offset in enumerate([0.1, 0.1, 0.35]):
        write_run(tmp_path, "random", seed, [0.5, 0.6], classes=CLASSES, class_offsets=(offset, -offset))
    assert failed(load(tmp_path).groups[0]) == []
    assert failed(load(tmp_path, class_name="liver").groups[0]) == []
    (group,) = load(tmp_path, class_name="tumor").groups
    assert failed(group) == [("random", 2)]
    assert any("(volume Dice of tumor in round 0 below 0.5 times" in said for said in warnings(group))


def test_the_confidence_of_several_classes_is_not_compared_with_their_mean(tmp_path):
    confidence = Confidence(0.9, 0.4, 0.8, 0.9)
    write_run(tmp_path / "two", "random", 0, [0.5, 0.6], classes=CLASSES, confidence=confidence)
    write_run(tmp_path / "one", "random", 0, [0.5, 0.6], confidence=confidence)
    shown = {}
    for name in ("one", "two"):
        results = load(tmp_path / name)
        (run,) = details_of_runs(results, results.groups[0])
        shown[name] = bool(underconfident(results.groups[0])), run.rounds[0][10]
    assert shown == {"one": (True, "0.900 (0.40)"), "two": (False, "")}


def test_runs_of_other_classes_are_not_compared(tmp_path):
    runs = [("random", "made", write_run(tmp_path, "random", seed, [0.5, 0.6], classes=CLASSES)) for seed in range(2)]
    other = write_run(tmp_path, "star", 0, [0.5, 0.6], classes=("liver", "cyst"))
    write_suite(tmp_path, [*runs, ("star", "made", other)])
    (problem,) = load(tmp_path).collection.problems
    assert problem.sentence.endswith(
        "is left out: classes is ('liver', 'cyst') and not ('liver', 'tumor') as in most of the others"
    )


def test_pseudo_labels_of_several_classes_are_said_to_be_of_all_of_them(tmp_path):
    quality = MaskQuality(5, 0.0, 0.1, 0.9, 0.8)
    predictions = {"propagated": quality, "plain": quality}
    for classes in (CLASSES, ("tumor",)):
        out = tmp_path / classes[0]
        write_run(out, "star", 0, [0.5, 0.6], classes=classes, pseudo=quality, predictions=predictions)
        results = load(out, class_name="tumor")
        captions = [
            *(table.caption for table in all_tables(results) if table.name.startswith("pseudo-labels")),
            *(drawing.caption for drawing in draw(results) if drawing.name.startswith("pseudo-labels")),
        ]
        assert len(captions) == 2
        for caption in captions:
            assert any("the classes liver, tumor is the mean" in said for said in caption) == (len(classes) > 1)


@pytest.mark.usefixtures("sketched")
def test_the_command_reports_a_class(two, tmp_path):
    code, _ = invoke("report", two, "--class", "tumor", "--format", "all", "--out", tmp_path)
    assert code == 0
    own = tmp_path / "dice_volume-tumor"
    assert '<p class="muted">volume Dice of tumor' in (own / "index.html").read_text()
    assert "Volume Dice of tumor on 3 test cases" in (own / "tables.md").read_text()
    code, said = invoke("report", two, "--class", "spleen", "--out", tmp_path)
    assert code == 2
    assert "--class must be one of liver, tumor, got 'spleen'" in said


@pytest.mark.usefixtures("sketched")
def test_the_table_of_classes_is_in_every_format(two, tmp_path):
    assert invoke("report", two, "--out", tmp_path)[0] == 0
    page = (tmp_path / "index.html").read_text()
    assert "Classes on made" in page
    assert page.count("The classes liver, tumor are averaged: in each case") == 1  # in the summary, for all tables
    assert "### Classes on made" in (tmp_path / "tables.md").read_text()
    assert "AUBC tumor" in (tmp_path / "latex" / "classes-made.tex").read_text()
    assert "AUBC tumor" in (tmp_path / "csv" / "classes-made.csv").read_text()
    frame = pd.read_csv(tmp_path / "csv" / "numbers-classes.csv")
    assert frame["class"].unique().tolist() == ["liver", "tumor", "all"]


@pytest.mark.parametrize(
    ("validation", "share", "title"),
    [("free", [10 / 80, 15 / 80], "possible ones"), ("charged", [30 / 100, 35 / 100], "possible ones")],
)
def test_shares_are_of_the_slices_that_can_be_labeled(tmp_path, validation, share, title):
    write_run(tmp_path, "random", 0, [0.5, 0.6], undrawn=20, settings={"protocol.validation": validation})
    results = load(tmp_path)
    (group,) = results.groups
    np.testing.assert_allclose(group.curves["random"].share, share)
    sentence = (
        "Shares are of the slices that can be labeled: 20 training slices without any known label are never queried "
        "and do not count."
    )
    assert sentence in measured(results, group)
    figure = learning_curves(results, group, line_styles(["random"], "random")).figure
    assert figure.axes[0].get_xlabel() == f"labeled slices [% of {title}]"


def test_nothing_is_said_of_shares_if_every_slice_can_be_labeled(two):
    results = load(two)
    assert not any("can be labeled" in said for said in measured(results, results.groups[0]))

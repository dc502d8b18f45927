"""Label maps in figures: a color for each class, unknown pixels hatched and never counted."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.contour import ContourSet
from support.made_runs import write_run

from albench.masks import UNKNOWN, foreground
from albench.reports import load
from albench.reports.figures.attention import attention
from albench.reports.figures.imaging import shown_slice
from albench.reports.figures.masks import draw_mask, figure_of_masks, only, truth_contours
from albench.reports.figures.slices import _dice, _large_and_small, gallery, segmentations
from albench.reports.figures.style import PREDICTION, TRUTH, class_colors, styled

CLASSES = ("liver", "tumor")
MAP = np.zeros((8, 8), dtype=np.uint8)
MAP[1:7, 1:7], MAP[3:5, 3:5], MAP[7] = 1, 2, UNKNOWN


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("runs")
    for index, strategy in enumerate(["random", "star"]):
        dice = [0.5, 0.6 + 0.02 * index, 0.7]
        write_run(made, strategy, 0, dice, side=32, classes=CLASSES, unknown=True)
    return made


def contours(ax):
    """{(color, line): width of the contour} on some axes."""
    lines = [one for one in ax.collections if isinstance(one, ContourSet) and not one.filled]
    widths = [np.ptp(np.concatenate([path.vertices for path in one.get_paths()])[:, 0]) for one in lines]
    return dict(zip(map(style_of, lines), widths, strict=True))


def style_of(contour):
    ((_, dashes),) = contour.get_linestyle()
    return to_hex(contour.get_edgecolor()[0]).upper(), "solid" if dashes is None else "dashed"


def hatched(ax):
    return [one for one in ax.collections if isinstance(one, ContourSet) and one.filled and any(one.hatches)]


def legend(figure):
    (box,) = figure.legends
    return {text.get_text(): line.get_color() for text, line in zip(box.get_texts(), box.get_lines(), strict=True)}


def test_every_class_has_a_color_of_its_own_and_one_class_that_of_the_truth():
    colors = class_colors(32)
    assert len(set(colors)) == 32
    assert colors[:2] == (TRUTH, PREDICTION) == ("#56B4E9", "#E69F00")
    with styled():
        figure = figure_of_masks(CLASSES, 1.0)
        ax = figure.subplots()
        draw_mask(ax, MAP, truth_contours(2))
        # Six pixels and two pixels wide.
        assert contours(ax) == {(colors[0], "solid"): pytest.approx(6), (colors[1], "solid"): pytest.approx(2)}
        assert legend(figure) == dict(zip(CLASSES, colors[:2], strict=True))
        assert len(hatched(ax)) == 1
        assert not figure_of_masks(("spleen",), 1.0).legends


def test_a_class_without_pixels_or_without_others_has_no_contour():
    with styled():
        ax = figure_of_masks(CLASSES, 1.0).subplots()
        for value in (0, 1, UNKNOWN):
            draw_mask(ax, np.full((4, 4), value, dtype=np.uint8), truth_contours(2))
        assert contours(ax) == {}


def test_labels_are_solid_and_predictions_dashed_in_the_color_of_their_class(folder):
    results = load(folder)
    drawing = segmentations(results, results.groups[0])
    whole, truth, *predicted = drawing.figure.axes[:4]
    liver, tumor = class_colors(2)
    assert list(contours(truth)) == [(liver, "solid"), (tumor, "solid")]
    assert contours(truth)[liver, "solid"] > contours(truth)[tumor, "solid"]
    for ax in predicted:
        assert list(contours(ax)) == [(liver, "solid"), (tumor, "solid"), (liver, "dashed"), (tumor, "dashed")]
        assert len(hatched(ax)) == 1
    assert not contours(whole)
    assert legend(drawing.figure) == {"liver": liver, "tumor": tumor}
    assert drawing.caption[0].startswith("Solid: truth; dashed: prediction; a color for each class. Predictions are")
    assert "Hatched: the label is unknown." in drawing.caption


def test_figures_of_one_class_without_unknown_pixels_have_no_legend_and_no_hatches(tmp_path):
    write_run(tmp_path, "star", 0, [0.5, 0.6], side=32)
    results = load(tmp_path)
    (group,) = results.groups
    for drawing in (segmentations(results, group), gallery(results, group), *attention(results, group)):
        assert not drawing.figure.legends
        assert not any(hatched(ax) for ax in drawing.figure.axes)
        assert not any("Hatched" in said for said in drawing.caption)
        colors = {color for ax in drawing.figure.axes for color, line in contours(ax) if line == "solid"}
        assert colors <= {TRUTH, PREDICTION}


def test_unknown_pixels_count_neither_for_the_dice_nor_for_the_choice_nor_for_the_part(folder, tmp_path):
    truth = np.zeros((16, 16), dtype=np.uint8)
    truth[8:12, 4:8], truth[12:14, 4:8], truth[:6] = 1, 2, UNKNOWN
    prediction = np.zeros_like(truth)
    prediction[8:12, 4:6], prediction[12:14, 4:8], prediction[:6] = 1, 2, 1
    # Class 1: 8 of 16 pixels are found and none is wrong, 2 * 8 / 24; class 2 is complete.
    assert _dice(prediction, truth, 2) == pytest.approx((2 / 3 + 1) / 2)
    assert [_dice(only(prediction, label), only(truth, label), 1) for label in (1, 2)] == pytest.approx([2 / 3, 1])
    assert foreground(truth).sum() == 24
    masks = np.stack([truth, np.where(truth == 1, 1, 0), np.full_like(truth, UNKNOWN)])
    chosen = _large_and_small({"masks": masks, "cases": np.array(["x", "x", "x"])})
    assert chosen == {"large": 0, "small": 1}
    shown = load(folder)
    boxes = [segmentations(shown, shown.groups[0]).figure.axes[0].patches[0].get_bbox().bounds]
    for strategy in ("random", "star"):
        write_run(tmp_path, strategy, 0, [0.5, 0.6, 0.7], side=32, classes=CLASSES)
    plain = load(tmp_path)
    boxes += [segmentations(plain, plain.groups[0]).figure.axes[0].patches[0].get_bbox().bounds]
    assert boxes[0] == boxes[1]


def test_a_report_on_a_class_shows_that_class_alone(folder):
    results = load(folder, class_name="tumor")
    (group,) = results.groups
    drawing = segmentations(results, group)
    assert not drawing.figure.legends
    assert drawing.caption[0].startswith("Blue: truth; orange: prediction.")
    run = group.methods["star"][0].reader
    snapshots = run.snapshots()
    tumor = snapshots["masks"][1] == 2
    moved = np.roll(tumor, 1, axis=1)
    dice = 2 * (tumor & moved).sum() / (2 * tumor.sum())
    assert drawing.figure.axes[3].get_xlabel() == f"Dice {dice:.2f}"
    ((color, _),) = contours(drawing.figure.axes[1])
    assert color == TRUTH
    both = load(folder)
    together = segmentations(both, both.groups[0]).figure.axes[3].get_xlabel()
    liver = snapshots["masks"][1] == 1
    known = snapshots["masks"][1] != UNKNOWN
    found = np.roll(liver, 1, axis=1) & known
    mean = (dice + 2 * (liver & found).sum() / (liver.sum() + found.sum())) / 2
    assert together == f"Dice {mean:.2f}"


def test_a_class_that_is_in_no_slice_has_no_segmentations(tmp_path):
    """On six pixels the third of four nested disks is as small as the fourth, which hides it."""
    write_run(tmp_path, "random", 0, [0.5, 0.6], side=6, classes=("liver", "tumor", "cyst", "vein"))
    results = {name: load(tmp_path, class_name=name) for name in ("liver", "cyst")}
    assert segmentations(results["liver"], results["liver"].groups[0]) is not None
    assert segmentations(results["cyst"], results["cyst"].groups[0]) is None


def test_queries_and_attention_show_the_labels_of_all_classes(folder):
    results = load(folder, class_name="tumor")
    (group,) = results.groups
    liver, tumor = class_colors(2)
    queries = gallery(results, group)
    for row, ax in enumerate(queries.figure.axes[:4]):
        truth = shown_slice(group.methods["random"][0].reader.snapshots(), row).truth
        for label, color in enumerate((liver, tumor), 1):
            assert contours(ax)[color, "solid"] == pytest.approx((truth == label).any(0).sum(), abs=1)
    assert "the label in a color for each class." in queries.caption[0]
    (drawing,) = attention(results, group)
    below, unlabeled, _ = drawing.figure.axes[:3]
    assert list(contours(below)) == [(liver, "solid"), (tumor, "solid")]
    assert list(contours(unlabeled)) == [(liver, "dashed"), (tumor, "dashed")]
    assert legend(drawing.figure) == legend(queries.figure) == {"liver": liver, "tumor": tumor}
    assert "Solid: labels; dashed: pseudo-label; a color for each class." in drawing.caption[0]


def test_the_names_of_many_classes_fit_below_a_figure(tmp_path):
    names = [f"a class with a long name {index}" for index in range(9)]
    with styled():
        figure = figure_of_masks(names, 2.0)
        figure.subplots(1, 2)
        figure.canvas.draw()
        (box,) = figure.legends
        extent = box.get_window_extent()
        assert extent.x0 >= 0
        assert extent.x1 <= figure.bbox.width
        rows = sorted({round(text.get_window_extent().y0) for text in box.get_texts()})
        assert all(upper - lower > 8 for lower, upper in pairwise(rows))

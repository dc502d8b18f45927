"""Figures show what the records hold, on the right slice and with its unit."""

import struct
import weakref
from unittest.mock import patch

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from support.made_runs import write_run

from albench.reports import load
from albench.reports.figures.attention import attention
from albench.reports.figures.curves import cost_curves, learning_curves
from albench.reports.figures.figures import draw
from albench.reports.figures.method_panels import method_panels
from albench.reports.figures.pseudo_labels import pseudo_labels
from albench.reports.figures.query_positions import query_positions
from albench.reports.figures.round_time import time_per_round
from albench.reports.figures.slices import _large_and_small, gallery, segmentations
from albench.reports.figures.style import BASELINE, HIGHLIGHT, as_svg, line_styles, wrapped, write_drawing
from albench.reports.figures.wins import win_matrix
from albench.reports.tables.costs import cost_table
from albench.runs import RunReader
from albench.runs.records import MaskQuality, PhaseSeconds

PREDICTED = {
    "propagated": MaskQuality(5, 0.0, 0.1, dice=0.8, dice_foreground=0.6),
    "plain": MaskQuality(5, 0.0, 0.1, dice=0.7, dice_foreground=None),
    "pseudo": MaskQuality(5, 0.0, 0.1, dice=1.0, dice_foreground=None),
    "pseudo_plain": MaskQuality(5, 0.0, 0.1, dice=0.9, dice_foreground=None),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("runs")
    for seed in range(2):
        for index, strategy in enumerate(["random", "entropy", "star"]):
            predictions = PREDICTED if strategy == "star" else {}
            dice = [0.5, 0.6 + 0.02 * index, 0.7 + 0.01 * seed]
            write_run(made, strategy, seed, dice, side=32, predictions=predictions)
        write_run(made, "full", seed, [0.68], rounds=2)
    return made


@pytest.fixture(scope="module")
def results(folder):
    return load(folder)


@pytest.fixture(scope="module")
def drawings(results):
    return {drawing.name: drawing for drawing in draw(results)}


def styles(results):
    return line_styles(list(results.groups[0].methods), "random")


def images(ax):
    return [np.asarray(image.get_array()) for image in ax.get_images()]


def run_of(folder, strategy):
    return RunReader(next(folder.glob(f"made/{strategy}/seed-0-*")))


def test_every_figure_is_drawn_from_complete_records(drawings):
    assert list(drawings) == [
        *("curves-made", "segmentations-made", "wins-made", "costs-made", "positions-made", "queries-made"),
        *("attention-star-made", "pseudo-labels-star-made", "time-made"),
    ]


def test_every_axis_has_a_label_and_no_texts_overlap(drawings):
    for drawing in drawings.values():
        figure = drawing.figure
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        for ax in figure.axes:
            if ax.axison and ax.get_lines():
                assert ax.get_xlabel(), drawing.name
                assert ax.get_ylabel() or ax.get_subplotspec().colspan.start > 0, drawing.name
        boxes = [
            text.get_window_extent(renderer).padded(-1)
            for ax in figure.axes
            for text in (ax.title, ax.xaxis.label, ax.yaxis.label)
            if text.get_text()
        ]
        width, height = figure.bbox.width, figure.bbox.height
        for index, box in enumerate(boxes):
            inside = min(box.x0, box.y0, width - box.x1, height - box.y1) > -2
            assert inside, drawing.name
            assert not any(box.overlaps(other) for other in boxes[:index]), drawing.name


def test_text_in_pdf_is_truetype_and_a_png_is_large_enough_to_print(drawings, tmp_path):
    write_drawing(drawings["curves-made"], tmp_path)
    pdf = (tmp_path / "curves-made.pdf").read_bytes()
    assert b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    width, _ = struct.unpack(">II", (tmp_path / "curves-made.png").read_bytes()[16:24])
    assert width == 7 * 200


def test_a_figure_is_laid_out_once_and_drawn_once_for_each_format(results, tmp_path):
    drawing, engine = next(draw(results)), ConstrainedLayoutEngine
    with (
        patch.object(engine, "execute", autospec=True, side_effect=engine.execute) as laid_out,
        patch.object(Figure, "draw", autospec=True, side_effect=Figure.draw) as drawn,
    ):
        write_drawing(drawing, tmp_path)
        as_svg(drawing)
    assert (laid_out.call_count, drawn.call_count) == (1, 3)


def test_a_figure_is_forgotten_when_the_next_one_is_drawn(results):
    drawings = draw(results)
    figures = [weakref.ref(next(drawings).figure) for _ in range(3)]
    assert [figure() is None for figure in figures] == [True, True, False]


def test_the_curves_are_the_means_over_seeds_with_the_reference(results):
    whole, zoomed = learning_curves(results, results.groups[0], styles(results)).figure.axes
    lines = {line.get_label(): line for line in whole.get_lines()}
    np.testing.assert_allclose(lines["star"].get_xdata(), [10, 15, 20])
    np.testing.assert_allclose(lines["star"].get_ydata(), [0.5, 0.64, 0.705])
    assert lines["all slices labeled"].get_ydata()[0] == 0.68
    assert whole.get_xlabel() == "labeled slices [% of the pool]"
    assert whole.get_ylabel() == "volume Dice"
    low, high = zoomed.get_xlim()
    assert low < 15 < 20 < high
    assert zoomed.get_ylim()[0] < 0.6 < 0.705 < zoomed.get_ylim()[1]


def test_only_the_best_and_the_baseline_of_many_methods_have_bands(tmp_path):
    for seed in range(2):
        for index in range(7):
            strategy = "random" if index == 0 else f"method-{index}"
            write_run(tmp_path, strategy, seed, [0.5, 0.6 + 0.02 * seed - 0.01 * abs(index - 3)])
    results = load(tmp_path)
    drawing = learning_curves(results, results.groups[0], styles(results))
    assert len(drawing.figure.axes[0].collections) == 2
    assert "Bands: one sample standard deviation, only of random; method-3." in drawing.caption


def test_the_bands_that_a_caption_mentions_are_drawn_and_no_others(tmp_path):
    """Also if the baseline is the best, if there is one seed, and the band of the supervised reference."""
    for seed in range(2):
        for index in range(7):
            strategy = "random" if index == 0 else f"method-{index}"
            write_run(tmp_path, strategy, seed, [0.5, 0.7 + 0.02 * seed - 0.01 * index])
        write_run(tmp_path, "full", seed, [0.8 + 0.02 * seed])
    results = load(tmp_path)
    (group,) = results.groups
    drawing = learning_curves(results, group, styles(results))
    colors = styles(results)
    ax = drawing.figure.axes[0]
    assert [to_hex(band.get_facecolor()[0]).upper() for band in ax.collections] == [
        colors["random"].color.upper(),
        colors["method-1"].color.upper(),
    ]
    assert len(ax.patches) == 1  # of the reference
    sentence = "Bands: one sample standard deviation, only of random; method-1; the supervised reference."
    assert sentence in drawing.caption
    costs = cost_curves(results, group, styles(results))
    assert not costs.figure.axes[0].collections
    assert not any("deviation" in said or "Bands" in said for said in costs.caption)
    single = tmp_path / "single"
    for index in range(7):
        write_run(single, "random" if index == 0 else f"method-{index}", 0, [0.5, 0.7 - 0.01 * index])
    one = learning_curves(load(single), load(single).groups[0], styles(load(single)))
    assert not one.figure.axes[0].collections
    assert not any("Bands" in said for said in one.caption)


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory):
    made = tmp_path_factory.mktemp("sixteen")
    for seed in range(2):
        for index in range(16):
            dice = [0.5, 0.6 + 0.01 * index, 0.7 + 0.01 * index + 0.01 * seed]
            write_run(made, "random" if index == 0 else f"method-{index}", seed, dice, side=0 if seed else 32)
        write_run(made, "full", seed, [0.9])
    return load(made)


def test_each_of_many_methods_has_a_panel_in_which_it_alone_is_in_color(sixteen):
    (group,) = sixteen.groups
    drawing = method_panels(sixteen, group)
    panels = drawing.figure.axes
    order = ["random", *(f"method-{index}" for index in range(15, 0, -1))]
    assert [ax.get_title() for ax in panels] == order
    for ax, label in zip(panels, order, strict=True):
        bold, *gray = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
        np.testing.assert_allclose(bold.get_ydata(), group.curves[label].mean)
        assert bold.get_color() == HIGHLIGHT
        assert {line.get_color() for line in gray} == {BASELINE}
        assert len(gray) == 15
        (band,) = ax.collections
        np.testing.assert_allclose(
            band.get_paths()[0].vertices[1:4, 1], (group.curves[label].mean - group.curves[label].sd)
        )
    assert "Bands: one sample standard deviation." in drawing.caption
    assert len({ax.get_ylim() for ax in panels}) == 1
    assert "nothing predicted" not in [text.get_text() for text in drawing.figure.legends[0].get_texts()]


def test_few_methods_need_no_panels(results):
    assert method_panels(results, results.groups[0]) is None


@pytest.mark.slow
def test_no_color_is_used_for_two_methods(sixteen, tmp_path):
    """Nor in a group of few methods, if the methods of all groups together are more than there are colors."""
    for number in range(2):
        for index in range(5):
            strategy = "random" if index == 0 else f"method-{number}-{index}"
            write_run(tmp_path, strategy, 0, [0.5, 0.6 + 0.01 * index], title=f"data {number}")
    for results in (sixteen, load(tmp_path)):
        curves = [one for one in draw(results) if one.name.startswith(("curves", "costs"))]
        assert len(curves) == 2 * len(results.groups)
        for drawing in curves:
            entries = drawing.figure.legends[0].get_lines()
            methods = [line for line in entries if line.get_marker() not in ("", "None")]
            assert len({line.get_color() for line in methods}) == len({line.get_marker() for line in methods})
            assert len({line.get_color() for line in methods}) == len(methods) >= 5


def test_a_distance_has_its_unit_on_the_axis(folder):
    results = load(folder, metric="hd95")
    figure = learning_curves(results, results.groups[0], styles(results)).figure
    assert figure.axes[0].get_ylabel() == "95th percentile Hausdorff distance [mm]"


def test_the_axes_of_annotation_cost_hold_what_was_recorded(results):
    figure = cost_curves(results, results.groups[0], styles(results)).figure
    drawn = {ax.get_xlabel(): ax.get_lines()[0].get_xdata().tolist() for ax in figure.axes if ax.get_lines()}
    assert drawn == {
        "labeled nonempty slices": [5, 7, 10],
        "foreground pixels": [90, 135, 180],
        "contour length [pixels]": [30, 45, 60],
    }


def test_costs_are_those_of_the_records(results):
    costs = results.costs()
    own = costs[(costs["label"] == "star") & (costs["seed"] == 0)]
    assert own["slices"].tolist() == [10, 15, 20]
    assert own["nonempty_slices"].tolist() == [5, 7, 10]
    assert own["foreground_pixels"].tolist() == [90, 135, 180]
    assert own["contour_length"].tolist() == [30, 45, 60]
    assert own["cases"].tolist() == [2, 2, 2]
    assert own["fit_seconds"].tolist() == [2, 2, 2]
    assert own["evaluate_seconds"].tolist() == [1, 1, 1]
    assert own["query_seconds"].tolist() == [0.5, 0.5, 0.5]
    assert own["steps"].tolist() == [10, 20, 30]
    assert own["slices_read"].tolist() == [160, 320, 480]


def test_a_busy_machine_makes_no_method_look_slow(tmp_path):
    """One method waits nine tenths of its time, and half of its epochs took ten times as long."""
    quiet = {"cpu_seconds": PhaseSeconds(4.0, 2.0, 1.0), "fit_epoch_seconds": (0.5, 0.5)}
    write_run(tmp_path, "random", 0, [0.5, 0.6, 0.7], steps=[10, 10, 10], computing=quiet)
    busy = quiet | {"seconds": PhaseSeconds(20.0, 10.0, 5.0)}
    write_run(tmp_path, "entropy", 0, [0.5, 0.6, 0.7], steps=[10, 10, 10], computing=busy)
    results = load(tmp_path)
    drawing = time_per_round(results, results.groups[0])
    left, right = drawing.figure.axes
    assert left.get_xlabel() == "CPU time per round, all threads [s]"
    assert [bar.get_width() for bar in left.patches] == [4, 4, 2, 2, 1, 1]
    assert right.get_xlabel() == "time per optimizer step [ms]"
    assert [bar.get_width() for bar in right.patches] == [100, 100]  # two epochs of 5 steps, each in 0.5 s
    assert not any("on the clock" in said for said in drawing.caption)
    assert "By step: median over the epochs of fit after round 0, each with the validation after it." in drawing.caption
    table = cost_table(results, results.groups[0])
    titles = [column.title for column in table.columns]
    assert titles[-2:] == ["CPU [min]", "step [ms]"]
    assert [[cell.text for cell in row.cells[-2:]] for row in table.rows] == [["0.3", "100"], ["0.3", "100"]]


@pytest.mark.parametrize("computing", [{}, {"cpu_seconds": PhaseSeconds(4.0, 2.0, 1.0), "peak_device_memory": 1}])
def test_without_seconds_of_the_cpu_or_on_a_gpu_time_is_that_of_the_clock(tmp_path, computing):
    write_run(tmp_path, "random", 0, [0.5, 0.6, 0.7], computing=computing)
    results = load(tmp_path)
    drawing = time_per_round(results, results.groups[0])
    (ax,) = drawing.figure.axes
    assert ax.get_xlabel() == "time per round [s]"
    assert [bar.get_width() for bar in ax.patches] == [2, 1, 0.5]
    assert "It is time on the clock, which other processes on the machine prolong." in drawing.caption


def test_table_and_figure_have_the_same_time_of_a_step_which_leaves_out_round_0(tmp_path):
    """Round 0 took two steps an epoch, and later rounds ten: 0.5, and 0.1 s each."""
    computing = {"fit_epoch_seconds": (1.0, 1.0)}
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.5, 0.6, 0.7], steps=[4, 20, 20], computing=computing)
    write_run(tmp_path, "entropy", 0, [0.5, 0.6, 0.7], steps=[4, 10, 40], computing=computing)
    write_run(tmp_path, "full", 0, [0.8], steps=[4], computing=computing)
    results = load(tmp_path)
    bars = time_per_round(results, results.groups[0]).figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([100, (200 + 50) / 2])
    table = cost_table(results, results.groups[0])
    assert [row.cells[-1].text for row in table.rows] == ["100", "125", "500"]  # the reference has no other round
    assert any(said.startswith("Step: median of an optimizer step of fit after round 0") for said in table.caption)


def test_the_time_of_a_step_is_a_median_over_epochs_and_unknown_without_them(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6], steps=[10, 20], computing={"fit_epoch_seconds": (1.0, 9.0)})
    write_run(tmp_path, "entropy", 0, [0.5, 0.6], computing={"fit_epoch_seconds": (1.0, 1.0, 1.0)})
    write_run(tmp_path, "margin", 0, [0.5, 0.6])
    costs = load(tmp_path).costs().set_index("label")["step_seconds"]
    np.testing.assert_allclose(costs["random"], [(0.2 + 1.8) / 2, (0.1 + 0.9) / 2])
    assert costs["entropy"].isna().all()  # two epochs were trained, and three are known
    assert costs["margin"].isna().all()


def test_the_win_matrix_shows_its_numbers(results):
    figure = win_matrix(results, results.groups[0]).figure
    texts = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["star", "entropy", "random"]
    # star beats random in round 1 of both seeds and ties in round 2.
    assert texts[2, 0] == "0.75"
    assert texts[0, 2] == "0.25"


def test_the_win_matrix_of_many_methods_fits_on_a_page(tmp_path):
    for index in range(13):
        write_run(tmp_path, "random" if index == 0 else f"method-{index}", 0, [0.5, 0.6 + 0.01 * index])
    results = load(tmp_path)
    figure = win_matrix(results, results.groups[0]).figure
    assert figure.get_figwidth() <= 7
    assert not figure.axes[0].texts
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()][:2] == ["method-12", "method-11"]


def test_of_many_methods_the_baseline_and_the_best_are_in_color(tmp_path):
    for index in range(9):
        write_run(tmp_path, "random" if index == 0 else f"method-{index}", 0, [0.5, 0.6 + 0.01 * index])
    results = load(tmp_path)
    (group,) = results.groups
    best = [f"method-{index}" for index in range(8, 2, -1)]
    for drawing in (learning_curves(results, group, styles(results)), cost_curves(results, group, styles(results))):
        *lines, floor = drawing.figure.axes[0].get_lines()
        assert floor.get_label() == "nothing predicted"
        assert [line.get_label() for line in lines][:8] == ["random", *best, "others"]
        assert len(lines) == 9
        assert len({line.get_color() for line in lines}) == 7  # the others are as gray as the baseline, but thin
        said = "In color: the baseline and the 6 methods with the best mean AUBC. The other 2 are thin and gray."
        assert said in drawing.caption


def test_positions_are_those_of_the_queries(results):
    figure = query_positions(results, results.groups[0]).figure
    heights = figure.axes[0].patches[0].get_data().values
    # Slices 10 to 19 of the pool: positions 5 to 9 of 50 in both cases, all in the second tenth.
    np.testing.assert_allclose(heights, [0, 100, *[0] * 8])


def test_pseudo_labels_with_and_without_aggregation(results):
    (drawing,) = pseudo_labels(results, results.groups[0])
    left, right = drawing.figure.axes
    lines = {line.get_label(): line.get_ydata().tolist() for line in left.get_lines()}
    assert lines["aggregated: all slices"] == [0.8] * 3
    assert lines["aggregated: with foreground"] == [0.6] * 3
    assert lines["network alone: all slices"] == [0.7] * 3
    assert len(left.get_lines()) == 3
    assert len(right.get_lines()) == 2


def test_large_and_small_are_chosen_by_size_alone():
    masks = np.zeros((6, 4, 4), dtype=np.uint8)
    for row, area in enumerate([9, 3, 16, 2, 12, 1]):
        masks[row].flat[:area] = 1
    cases = np.array(["x", "x", "y", "y", "z", "z"])
    # Largest 9, 16, 12: the median is 12 of z; smallest 3, 2, 1: the median is 2 of y.
    assert _large_and_small({"masks": masks, "cases": cases}) == {"large": 4, "small": 3}
    one = {"masks": masks[:1], "cases": cases[:1]}
    assert _large_and_small(one) == {"large": 0}
    assert _large_and_small({"masks": masks[:0], "cases": cases[:0]}) == {}


def test_slices_that_a_run_did_not_predict_are_not_shown(folder, monkeypatch):
    results, stored = load(folder), RunReader.predictions

    def rows(*ids):
        """Labels of the rows of the figure if only these slices are predicted."""
        monkeypatch.setattr(RunReader, "predictions", lambda run, index: stored(run, index).only(ids))
        drawing = segmentations(results, results.groups[0])
        return drawing and [ax.get_ylabel().partition("\n")[0] for ax in drawing.figure.axes[::5]]

    assert rows(0, 1, 2, 3) == ["large", "small"]
    assert rows(1) == ["large"]
    assert rows() is None


def test_segmentations_show_the_slice_its_truth_and_the_prediction_for_it(results, folder):
    drawing = segmentations(results, results.groups[0])
    axes = drawing.figure.axes
    area = {label: f"{label}\nAUBC {value:.3f}" for label, value in results.groups[0].means.items()}
    assert results.groups[0].ranking == ["star", "entropy", "random"]
    assert [ax.get_title() for ax in axes[:5]] == ["slice", "truth", area["star"], area["entropy"], area["random"]]
    said = "Columns: the slice, its truth, and the 3 ranked methods with the best AUBC, the best one first."
    assert said in drawing.caption[0]
    shown = run_of(folder, "star").snapshots()
    for start, row in ((0, 1), (5, 0)):
        np.testing.assert_array_equal(images(axes[start])[0], shown["images"][row])
        case, position = shown["cases"][row], shown["positions"][row]
        assert axes[start].get_ylabel().endswith(f"{case}, slice {position}")
    truth, star = axes[1].collections[0], axes[2].collections[-1]
    moved = star.get_paths()[0].vertices.mean(0) - truth.get_paths()[0].vertices.mean(0)
    np.testing.assert_allclose(moved, [1, 0], atol=0.1)  # predictions are written one pixel to the right
    mask = shown["masks"][1].astype(bool)
    dice = 2 * (mask & np.roll(mask, 1, axis=1)).sum() / (2 * mask.sum())
    assert axes[2].get_xlabel() == f"Dice {dice:.2f}"
    assert "with 20.0% labeled" in drawing.caption[0]


def test_an_empty_prediction_says_so(folder, monkeypatch):
    results, stored = load(folder), RunReader.predictions

    def predictions(run, index):
        empty = "entropy" in run.folder.parts
        return {row: 0 * mask if empty else mask for row, mask in stored(run, index).items()}

    monkeypatch.setattr(RunReader, "predictions", predictions)
    axes = segmentations(results, results.groups[0]).figure.axes
    said = [ax.get_xlabel() for ax in axes[2:5]]
    assert said[1] == "nothing predicted\nDice 0.00"
    assert all(text.startswith("Dice 0.") for text in (said[0], said[2]))


def test_of_many_methods_half_as_many_queries_are_shown_as_large_as_of_few(sixteen, results):
    few, many = gallery(results, results.groups[0]), gallery(sixteen, sixteen.groups[0])
    assert "The first 4 slices that each method queries" in few.caption[0]
    assert "The first 2 slices that each method queries" in many.caption[0]
    assert [ax.get_ylabel() for ax in many.figure.axes[::2]] == list(sixteen.groups[0].methods)
    assert len(many.figure.axes) == 32
    sizes = []
    for drawing in (few, many):
        drawing.figure.draw_without_rendering()
        ax = drawing.figure.axes[0]
        ax.apply_aspect()
        sizes.append(ax.get_window_extent().height / drawing.figure.dpi)
    assert min(sizes) > 0.7  # inches
    assert many.figure.get_figheight() < 10


def test_a_window_shows_the_part_in_its_box(results):
    axes = segmentations(results, results.groups[0]).figure.axes
    box = axes[5].patches[0]
    left, top = box.get_xy()
    (image,) = axes[6].get_images()
    assert image.get_extent() == [left, left + box.get_width(), top + box.get_height(), top]
    whole, part = images(axes[5])[0], images(axes[6])[0]
    rows = slice(round(top + 0.5), round(top + 0.5 + box.get_height()))
    columns = slice(round(left + 0.5), round(left + 0.5 + box.get_width()))
    np.testing.assert_array_equal(part, whole[rows, columns])
    assert part.size < whole.size


def test_the_gallery_shows_the_first_queries_with_their_names(results, folder):
    axes = gallery(results, results.groups[0]).figure.axes
    stored = run_of(folder, "random").arrays(0)
    for index in range(4):
        np.testing.assert_array_equal(images(axes[index])[0], stored["queried_images"][index])
        expected = f"{stored['queried_cases'][index]}, {stored['queried_positions'][index]}"
        assert axes[index].get_title() == expected


def test_attention_lies_over_the_slice_it_belongs_to(results, folder):
    (drawing,) = attention(results, results.groups[0])
    below, unlabeled, above = drawing.figure.axes[:3]
    stored = run_of(folder, "star").arrays(1)
    for ax, row in ((unlabeled, 0), (below, 1), (above, 2)):
        np.testing.assert_array_equal(images(ax)[0], stored["attention_0_images"][row])
        outlined = ax.collections[-1].get_paths()[0].vertices
        assert np.ptp(outlined[:, 0]) == pytest.approx(stored["attention_0_masks"][row].any(0).sum(), abs=1)
    assert below.get_title() == "slice 0, labeled: 75% of attention"
    assert unlabeled.get_title() == "slice 4, unlabeled"
    assert above.get_title() == "slice 10, labeled: 25% of attention"
    overlay = below.get_images()[1]
    # The bottleneck has a cell for 8 pixels: cell (1, 2) has its center at row 11.5 and column 19.5.
    left, right, bottom, top = overlay.get_extent()
    weights = np.asarray(overlay.get_array())
    row, column = np.unravel_index(weights.argmax(), weights.shape)
    height, width = weights.shape
    assert top + (row + 0.5) * (bottom - top) / height == 11.5
    assert left + (column + 0.5) * (right - left) / width == 19.5
    assert weights.max() == 75
    assert below.get_xlim() == (-0.5, 31.5)


def test_runs_without_snapshots_have_no_figures_of_slices(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    names = [drawing.name for drawing in draw(load(tmp_path))]
    assert names == ["curves-made", "costs-made", "positions-made", "time-made"]


def test_two_methods_differ_in_color_and_marker():
    made = line_styles([f"m{index}" for index in range(7)], "m3")
    assert made["m3"].color == BASELINE
    assert len({style.color for style in made.values()}) == len({style.marker for style in made.values()}) == 7
    assert line_styles([f"m{index}" for index in range(8)], "m3") == {}


def test_long_names_are_broken_where_words_end():
    assert wrapped("entropy") == "entropy"
    assert wrapped("a-method-with-a-long-name (size=3, x=4)", 14) == "a-method-with-\na-long-name\n(size=3, x=4)"
    assert wrapped("suggestive-annotation", 14) == "suggestive-\nannotation"


def test_a_figure_on_the_page_takes_the_color_of_its_text_and_has_no_background(drawings):
    svg = as_svg(drawings["wins-made"])
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "#131415" not in svg


def test_names_are_shown_as_written(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "random", 0, [0.5, 0.7], options={"a": "$x_1$ <b>"})
    (curves,) = (drawing for drawing in draw(load(tmp_path)) if drawing.name == "curves-made")
    assert "(a=$x_1$ &lt;b&gt;)" in as_svg(curves)

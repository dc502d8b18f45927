"""Methods compared over several datasets: ranks, tests, penalties, their tables, figures and sentences."""

import csv
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import stats
from support.made_runs import write_run
from support.samples import invoke

import albench
from albench.reports import load
from albench.reports.figures.figures import draw
from albench.reports.figures.rank_diagram import _rows
from albench.reports.rank_tests import friedman
from albench.reports.report import all_tables
from albench.reports.study_summary import summarize_study
from albench.runs.manifest import write_manifest
from albench.runs.records import FORMAT, Manifest, ManifestRun

METHODS = ("random", "entropy", "margin", "star")


def write_study(out, values, *, seeds=2, noise=0.01, **more):
    """Write runs whose Dice after round 0 is {(dataset, regime): {strategy: value}}, with noise between seeds."""
    rng = np.random.default_rng(0)
    listed = []
    for number, ((dataset, regime), methods) in enumerate(values.items()):
        group = f"{dataset}, {regime}" if regime else dataset
        for strategy, value in methods.items():
            for seed in range(seeds):
                dice = [0.3, *(value + rng.normal(0, noise, 2))]
                folder = write_run(
                    out, strategy, seed, dice, title="made", settings={"data_key": f"key{number}"}, **more
                )
                path = str(folder.relative_to(out))
                listed.append(ManifestRun(strategy, group, strategy, dataset, seed, path))
    write_manifest(out, Manifest(FORMAT, "made-study", "1a2b3c4d", albench.__version__, "", tuple(listed)))
    return out


def ordered(*order):
    """Values of methods from the best to the worst."""
    return {strategy: 0.8 - 0.05 * i for i, strategy in enumerate(order)}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three datasets; one of them in two regimes, whose ranks of random and entropy are exchanged."""
    return write_study(
        tmp_path_factory.mktemp("three"),
        {
            ("brain", "few"): ordered("star", "margin", "entropy", "random"),
            ("brain", "many"): ordered("star", "margin", "random", "entropy"),
            ("liver", "few"): ordered("star", "entropy", "margin", "random"),
            ("lung", "few"): ordered("margin", "star", "entropy", "random"),
        },
    )


@pytest.fixture(scope="module")
def nine(tmp_path_factory):
    """Nine datasets on which star is the best, and random the worst but for one."""
    orders = [("star", "entropy", "random"), *[("star", "entropy", "random")] * 7, ("star", "random", "entropy")]
    values = {(f"set-{i}", ""): ordered(*order) for i, order in enumerate(orders)}
    return load(write_study(tmp_path_factory.mktemp("nine"), values, noise=0.002))


def test_ranks_are_averaged_over_the_groups_of_a_dataset_first(three):
    results = load(three)
    study = results.study
    assert study.datasets == ["brain", "liver", "lung"]
    assert study.methods == ("star", "margin", "entropy", "random")
    by_hand = {"star": [1, 1, 2], "margin": [2, 3, 1], "entropy": [3.5, 2, 3], "random": [3.5, 4, 4]}
    assert dict(zip(study.methods, study.ranks.tolist(), strict=True)) == by_hand
    assert study.mean_ranks == pytest.approx([4 / 3, 2, 8.5 / 3, 11.5 / 3])
    found = results.ranks_over_datasets()
    assert found.pivot(index="label", columns="dataset", values="rank").loc["entropy"].tolist() == [3.5, 2, 3]


def test_lower_distances_have_the_better_ranks(three):
    assert load(three, metric="hd95").study.methods == ("star", "margin", "entropy", "random")
    assert all(pair.gain > 0 for pair in load(three, metric="hd95").study.against("random"))


def test_gains_over_datasets_are_means_of_their_groups_and_tested_as_scipy_does(nine):
    study = nine.study
    areas = dict(zip(study.methods, study.areas, strict=True))
    pairs = {(pair.one, pair.other): pair for pair in study.pairs}
    assert list(pairs) == [("star", "entropy"), ("star", "random"), ("entropy", "random")]
    for (one, other), pair in pairs.items():
        gains = areas[one] - areas[other]
        assert pair.gain == pytest.approx(gains.mean())
        assert pair.p == pytest.approx(stats.wilcoxon(gains, method="exact").pvalue)
    assert pairs["star", "random"].holm == pytest.approx(3 * 2 / 2**9)
    found = {pair.one: pair for pair in study.against("random")}
    assert found["star"].holm == pytest.approx(2 * 2 / 2**9)
    assert study.against("bal") == []


def test_gains_of_regimes_count_once_per_dataset(three):
    study = load(three).study
    areas = dict(zip(study.methods, study.areas, strict=True))
    gains = areas["star"] - areas["random"]
    (pair,) = [pair for pair in study.against("random") if pair.one == "star"]
    assert pair.gain == pytest.approx(np.mean([(gains[0] + gains[1]) / 2, gains[2], gains[3]]))
    assert pair.p == 0.25


def test_a_penalty_is_the_share_of_rounds_with_a_significant_t_test(nine):
    found = nine.penalties().set_index(["label", "rival", "group"])["share"].sort_index()
    curves = nine.group("set-3").curves
    for one in ("star", "random"):
        first, second = curves[one].values[:, 1:], curves["entropy"].values[:, 1:]
        tests = stats.ttest_rel(first, second)
        expected = np.mean((tests.pvalue < 0.05) & (first.mean(0) > second.mean(0)))
        assert found[one, "entropy", "set-3"] == expected
    assert 0 < found["star", "random"].mean() <= 1
    assert found["random", "star"].max() == 0


def test_penalties_need_two_seeds(tmp_path):
    values = {(name, ""): ordered("star", "random") for name in ("a", "b")}
    results = load(write_study(tmp_path, values, seeds=1))
    assert results.penalties()["share"].isna().all()
    assert list(first(draw(results), 3)) == ["study-curves", "study-ranks", "curves-a"]


def test_one_dataset_has_no_study_however_many_groups_there_are(tmp_path):
    values = {("a", "few"): ordered("star", "random"), ("a", "many"): ordered("star", "random")}
    results = load(write_study(tmp_path, values))
    assert len(results.groups) == 2
    assert results.study is None
    assert summarize_study(results) == []
    assert not [name for name in (*tables(results), *first(draw(results), 1)) if name.startswith("study")]
    assert results.penalties().empty
    code, _ = invoke("report", tmp_path, "--format", "csv")
    assert code == 0
    assert not list((tmp_path / "report" / "csv").glob("*dataset*"))


def test_runs_without_a_suite_have_the_datasets_of_their_titles(tmp_path):
    for title in ("one", "two"):
        for strategy, value in ordered("star", "random").items():
            write_run(tmp_path, strategy, 0, [0.3, value], title=title)
    assert load(tmp_path).study.datasets == ["one", "two"]


def test_methods_that_are_not_in_every_group_are_named_and_not_ranked(tmp_path):
    values = {("a", ""): ordered("star", "entropy", "random"), ("b", ""): ordered("star", "random")}
    results = load(write_study(tmp_path, values))
    assert results.study.methods == ("star", "random")
    assert summarize_study(results)[-1] == "Not ranked in every group: entropy."
    (row,) = [row for row in tables(results)["study-aubc"].rows if row.cells[0].text == "entropy"]
    assert [cell.text for cell in row.cells[1:]] == ["0.755", "n/a"]


def test_without_two_common_methods_nothing_is_ranked(tmp_path):
    values = {("a", ""): ordered("star", "random"), ("b", ""): ordered("bal", "random")}
    results = load(write_study(tmp_path, values))
    assert results.study is None
    assert summarize_study(results) == [
        "Over 2 datasets (a; b) nothing is ranked: fewer than two methods are ranked in every group."
    ]


def test_few_datasets_claim_nothing(tmp_path):
    values = {(name, ""): ordered("star", "entropy", "random") for name in ("a", "b")}
    assert summarize_study(load(write_study(tmp_path, values))) == [
        "star has the best mean rank over 2 datasets (a; b), 1.00, before entropy with 2.00.",
        "Ranks are those of the mean AUBC in volume Dice in each of 2 groups, 1 for the best.",
        "Nothing is claimed over datasets: with 3 methods on 2 datasets, Friedman's test cannot have a p below 0.167.",
    ]


def test_regimes_of_one_dataset_are_said_not_to_be_independent(three):
    lead, regimes, *_ = summarize_study(load(three))
    assert lead == "star has the best mean rank over 3 datasets (brain; liver; lung), 1.33, before margin with 2.00."
    assert regimes == (
        "Ranks are those of the mean AUBC in volume Dice in each of 4 groups, 1 for the best. Groups of one dataset "
        "share its images and are not independent, so their ranks are averaged first, and each of the 3 datasets "
        "counts once."
    )


def test_methods_that_do_not_differ_by_friedmans_test_are_not_told_apart(tmp_path):
    orders = (METHODS, METHODS[::-1], ("margin", "random", "star", "entropy"))
    values = {(f"set-{i}", ""): ordered(*order) for i, order in enumerate(orders)}
    *_, evidence = summarize_study(load(write_study(tmp_path, values)))
    p = friedman(np.array([[1, 4, 2], [2, 3, 4], [3, 2, 1], [4, 1, 3]], dtype=float)).p
    assert evidence == (
        f"The 4 methods on 3 datasets are not shown to differ (exact test of Friedman, p = {p:.3g}), so no two of them "
        "are said to."
    )


def test_many_datasets_name_the_pairs_that_differ(nine):
    _, _, overall, nemenyi, signed_rank = summarize_study(nine)
    assert overall.startswith(
        "The 3 methods on 9 datasets differ (Friedman's test with the correction of Iman and Davenport, F ="
    )
    assert nemenyi == (
        "Mean ranks differ by at least 1.10 (critical difference of Nemenyi at 0.05): star before entropy; "
        "star before random."
    )
    assert signed_rank == (
        "Wilcoxon's signed-rank test, after Holm's correction for 3 pairs of methods, has p < 0.05: star before "
        "entropy; star before random; entropy before random."
    )


def test_the_sentences_say_which_test_cannot_show_anything(tmp_path):
    values = {(f"set-{i}", ""): ordered(*METHODS) for i in range(5)}
    sentences = summarize_study(load(write_study(tmp_path, values, noise=0.001)))
    assert sentences[-1] == (
        "Wilcoxon's signed-rank test, after Holm's correction for 6 pairs of methods, cannot have a p below 0.375 "
        "with 5 datasets, so it claims nothing."
    )
    assert "F is infinite" in sentences[2]


def test_equal_mean_ranks_share_the_lead(tmp_path):
    values = {("a", ""): ordered("star", "random"), ("b", ""): ordered("random", "star")}
    assert summarize_study(load(write_study(tmp_path, values)))[0] == (
        "star and random share the best mean rank over 2 datasets (a; b), 1.50."
    )


def tables(results):
    return {table.name: table for table in all_tables(results)}


def test_the_table_of_ranks_has_every_dataset_and_tests_against_the_baseline(nine, three):
    table = tables(load(three))["study-ranks"]
    titles = [column.title for column in table.columns]
    assert titles == ["Method", "mean rank", "brain", "liver", "lung", "gain over random", "signed-rank p", "Holm"]
    assert [cell.text for cell in table.rows[2].cells[:5]] == ["entropy", "2.83", "3.50", "2.00", "3.00"]
    assert [cell.text for cell in table.rows[0].cells[6:]] == ["0.250", "0.750"]
    assert [cell.text for cell in table.rows[3].cells[5:]] == ["n/a"] * 3
    (sentence,) = [sentence for sentence in table.caption if sentence.startswith("Gain")]
    assert sentence.endswith(
        "With 3 datasets its p cannot be below 0.25, and after Holm's correction for 3 tests not below 0.75."
    )
    assert [cell.mark for cell in tables(nine)["study-ranks"].rows[0].cells[:2]] == ["", "best"]


def test_the_table_of_areas_has_the_efficiency_of_every_group(three):
    results = load(three)
    table, numbers = tables(results)["study-aubc"], results.efficiency().set_index(["label", "group"])
    assert [column.title for column in table.columns[1:]] == ["brain, few", "brain, many", "liver, few", "lung, few"]
    for row in table.rows:
        for column, cell in zip(table.columns[1:], row.cells[1:], strict=True):
            assert cell.value == numbers.loc[(row.cells[0].text, column.title), "aubc"]


def test_figures_over_datasets_come_first(three):
    drawings = first(draw(load(three)), 4)
    assert list(drawings) == ["study-curves", "study-ranks", "study-penalties", "curves-brain-few"]
    check_texts(drawings["study-ranks"].figure)
    assert [ax.get_title() for ax in drawings["study-curves"].figure.axes] == [
        *("brain, few", "brain, many", "liver, few", "lung, few"),
        *("", ""),
    ]


def check_texts(figure):
    """No two texts of the diagram overlap, and all lie within the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[0].texts]
    for name, box in boxes:
        assert box.x0 >= 0, name
        assert box.x1 <= figure.bbox.x1, name
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        apart = first.x1 <= second.x0 or second.x1 <= first.x0 or first.y1 <= second.y0 or second.y1 <= first.y0
        assert apart, (one, other)


def test_the_diagram_is_readable_with_twenty_methods(tmp_path):
    labels = [f"method-with-a-name-{i:02d}" for i in range(20)]
    rng = np.random.default_rng(1)
    values = {(f"set-{i}", ""): dict(zip(labels, rng.uniform(0.5, 0.8, 20), strict=True)) for i in range(2)}
    drawings = first(draw(load(write_study(tmp_path, values, seeds=1))), 2)
    figure = drawings["study-ranks"].figure
    check_texts(figure)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert sum(text.startswith("method-with-a-name-") for text in texts) == 20
    assert "is longer than the axis" in " ".join(drawings["study-ranks"].caption)


def first(drawings, count):
    """The first drawings by name; the others are not drawn."""
    return {drawing.name: drawing for drawing in itertools.islice(drawings, count)}


def test_bars_of_one_row_have_no_method_in_common():
    assert _rows([(0, 1), (1, 2), (2, 3), (4, 5)]) == [0, 1, 0, 0]
    assert _rows([(0, 3), (1, 4), (2, 5), (6, 7)]) == [0, 1, 2, 0]
    assert _rows([]) == []


def test_the_matrix_of_penalties_has_the_mean_of_every_column(nine):
    drawing = first(draw(nine), 3)["study-penalties"]
    shown = np.asarray(drawing.figure.axes[0].get_images()[0].get_array())
    means = nine.penalties().groupby(["label", "rival"])["share"].mean().unstack()
    order = ["star", "entropy", "random"]
    assert shown[:3] == pytest.approx(100 * means.loc[order, order].to_numpy(), nan_ok=True)
    assert shown[3] == pytest.approx(np.nanmean(shown[:3], axis=0))
    assert [tick.get_text() for tick in drawing.figure.axes[0].get_yticklabels()] == [*order, "mean"]


@pytest.mark.usefixtures("sketched")
def test_the_report_of_a_study_has_its_numbers_tables_and_summary(three):
    code, said = invoke("report", three)
    assert code == 0, said
    report = three / "report"
    page = (report / "index.html").read_text()
    assert page.index("Over all datasets") < page.index("<h3>brain, few</h3>")
    assert "star has the best mean rank over 3 datasets (brain; liver; lung), 1.33" in page
    assert page.index('id="study-ranks"') < page.index('id="study-aubc"') < page.index('id="table1-brain-few"')
    for name in ("study-ranks", "study-aubc"):
        assert (report / "latex" / f"{name}.tex").exists()
        assert (report / "csv" / f"{name}.csv").exists()
    ranks = pd.read_csv(report / "csv" / "numbers-dataset-ranks.csv")
    assert ranks.groupby("label")["rank"].mean()["star"] == pytest.approx(4 / 3)
    assert len(pd.read_csv(report / "csv" / "numbers-dataset-pairs.csv")) == 6
    with (report / "csv" / "numbers-penalties.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 3 * 4
    assert all(math.isfinite(float(row["share"])) for row in rows)

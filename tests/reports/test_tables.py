"""Tables: numbers as printed, marks, captions, the tables of the paper, and the formats they are written in."""

import math
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_runs import write_run, write_suite

from albench.config import PAPER_STOP, Choice
from albench.reports import load
from albench.reports.captions import named_left_out
from albench.reports.paper_values import protocols
from albench.reports.report import all_tables, write
from albench.reports.summary import summarize
from albench.reports.tables.cells import Cell, Deviation, Interval, NumberFormat, number_cell, reach_cell
from albench.reports.tables.efficiency import efficiency_table
from albench.reports.tables.latex import Float, all_as_latex, as_latex, as_latex_document, floats_of
from albench.reports.tables.paper import main_table
from albench.reports.tables.printed import printed_table1, printed_table2
from albench.reports.tables.table import Column, Row, Table, marked, without_empty_columns
from albench.reports.tables.writers import as_csv, as_markdown
from albench.resolve import common_settings, make_dataset, make_network, options_of
from albench.runs import RunReader
from albench.runs.records import MaskQuality

PRINTED = {
    "BraTS": """
Rand | ✓ | × | 0.806 ± 0.03 | 0.819 ± 0.01 | 0.828 ± 0.01 | 0.833 ± 0.01 | 0.833 ± 0.01 | -
Marg | ✓ | × | 0.807 ± 0.02 | 0.823 ± 0.01 | 0.827 ± 0.01 | 0.819 ± 0.01 | 0.833 ± 0.01 | -
Ent | ✓ | × | 0.797 ± 0.01 | 0.807 ± 0.02 | 0.828 ± 0.01 | 0.831 ± 0.01 | 0.833 ± 0.01 | -
MC-D | ✓ | × | 0.807 ± 0.02 | 0.828 ± 0.01 | 0.825 ± 0.01 | 0.825 ± 0.01 | 0.830 ± 0.01 | -
KCG | ✓ | × | 0.800 ± 0.02 | 0.825 ± 0.02 | 0.830 ± 0.02 | 0.832 ± 0.01 | 0.832 ± 0.01 | -
BAL | ✓ | × | 0.793 ± 0.03 | 0.819 ± 0.01 | 0.809 ± 0.02 | 0.812 ± 0.03 | 0.831 ± 0.00 | -
CEAL(Marg) | ✓ | ✓ | 0.822 ± 0.01 | 0.816 ± 0.01 | 0.810 ± 0.03 | 0.818 ± 0.01 | 0.823 ± 0.01 | -
CEAL(Ent) | ✓ | ✓ | 0.807 ± 0.02 | 0.828 ± 0.01 | 0.829 ± 0.01 | 0.816 ± 0.01 | 0.833 ± 0.01 | -
CEAL(MC-D) | ✓ | ✓ | 0.808 ± 0.02 | 0.825 ± 0.01 | 0.805 ± 0.02 | 0.821 ± 0.03 | 0.831 ± 0.01 | -
TAAL | ✓ | ✓ | 0.815 ± 0.02 | 0.824 ± 0.01 | 0.814 ± 0.02 | 0.824 ± 0.01 | 0.832 ± 0.01 | -
STAR | ✓ | ✓ | 0.828 ± 0.01 | 0.837 ± 0.01 | 0.830 ± 0.01 | 0.834 ± 0.01 | 0.836 ± 0.01 | 19.4%
""",
    "Spleen": """
Rand | ✓ | × | 0.862 ± 0.03 | 0.871 ± 0.01 | 0.869 ± 0.04 | 0.888 ± 0.01 | 0.904 ± 0.01 | 34.1%
Marg | ✓ | × | 0.870 ± 0.01 | 0.854 ± 0.04 | 0.871 ± 0.02 | 0.869 ± 0.03 | 0.910 ± 0.02 | 32.1%
Ent | ✓ | × | 0.857 ± 0.03 | 0.877 ± 0.02 | 0.861 ± 0.02 | 0.859 ± 0.00 | 0.890 ± 0.00 | -
MC-D | ✓ | × | 0.857 ± 0.02 | 0.859 ± 0.03 | 0.866 ± 0.03 | 0.890 ± 0.02 | 0.898 ± 0.02 | 36.0%
KCG | ✓ | × | 0.853 ± 0.03 | 0.843 ± 0.04 | 0.880 ± 0.01 | 0.888 ± 0.02 | 0.897 ± 0.01 | 34.1%
BAL | ✓ | × | 0.849 ± 0.03 | 0.876 ± 0.03 | 0.860 ± 0.03 | 0.891 ± 0.02 | 0.892 ± 0.02 | -
CEAL(Marg) | ✓ | ✓ | 0.805 ± 0.05 | 0.853 ± 0.02 | 0.838 ± 0.03 | 0.868 ± 0.01 | 0.883 ± 0.01 | -
CEAL(Ent) | ✓ | ✓ | 0.828 ± 0.03 | 0.874 ± 0.02 | 0.894 ± 0.01 | 0.855 ± 0.02 | 0.907 ± 0.02 | 32.1%
CEAL(MC-D) | ✓ | ✓ | 0.862 ± 0.02 | 0.885 ± 0.01 | 0.865 ± 0.04 | 0.893 ± 0.03 | 0.904 ± 0.03 | 20.2%
TAAL | ✓ | ✓ | 0.861 ± 0.04 | 0.876 ± 0.02 | 0.868 ± 0.01 | 0.868 ± 0.03 | 0.910 ± 0.01 | 24.2%
STAR | ✓ | ✓ | 0.873 ± 0.03 | 0.899 ± 0.02 | 0.902 ± 0.01 | 0.884 ± 0.03 | 0.913 ± 0.02 | 18.2%
""",
}
PRINTED_ABLATION = """
× | × | 0.806 ± 0.025 | 0.819 ± 0.010 | 0.828 ± 0.014 | 0.833 ± 0.006 | 0.833 ± 0.006 | -
× | ✓ | 0.827 ± 0.014 | 0.825 ± 0.010 | 0.816 ± 0.031 | 0.827 ± 0.018 | 0.833 ± 0.018 | -
✓ | × | 0.825 ± 0.021 | 0.821 ± 0.010 | 0.824 ± 0.012 | 0.821 ± 0.012 | 0.834 ± 0.012 | 1700 (21.9%)
CEAL | ✓ | 0.812 ± 0.024 | 0.836 ± 0.013 | 0.819 ± 0.007 | 0.828 ± 0.008 | 0.836 ± 0.013 | 1500 (19.4%)
✓ | ✓ | 0.828 ± 0.006 | 0.837 ± 0.007 | 0.830 ± 0.008 | 0.834 ± 0.005 | 0.837 ± 0.007 | 1500 (19.4%)
"""
# The best value of each column of the printed tables: 15, 20, 25, 30 %, max(p) and S%.
BEST = {
    "BraTS": [{"STAR"}, {"STAR"}, {"KCG", "STAR"}, {"STAR"}, {"STAR"}, {"STAR"}],
    "Spleen": [{"STAR"}, {"STAR"}, {"STAR"}, {"CEAL(MC-D)"}, {"STAR"}, {"STAR"}],
}


ROUNDS = [0.5, *[0.6] * 16]
STATED = PAPER_STOP | {"protocol.rounds": 16, "training.batch_size": 16}
PAPER = STATED | {"protocol.budget": 50, "dataset.name": "spleen", "protocol.split": (28, 6, 7)}
BRATS = STATED | {
    **{"protocol.budget": 100, "training.batch_size": 32, "dataset.name": "brats"},
    "dataset.options": {"context": 0, "sequences": ["flair"], "grade": "LGG"},
}
"""What the paper states, apart from defaults."""


def paper_config(settings):
    with TemporaryDirectory() as folder:
        return RunReader(write_run(Path(folder), "random", 0, ROUNDS, settings=settings)).config


def printed_rows(text):
    return [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]


def names_marked(table, mark):
    return [
        {row.cells[0].text for row in table.rows if row.cells[index].mark == mark}
        for index, column in enumerate(table.columns)
        if column.better
    ]


def latex_rows(table):
    """The cells of a LaTeX table as a reader sees them, and those that are bold."""
    body = as_latex(table).partition("\\midrule\n")[2].partition("\\bottomrule")[0]
    rows, bold = [], []
    for line in body.strip().splitlines():
        cells = [cell.strip() for cell in line.removesuffix("\\\\").split(" & ")]
        bold.append([cell.startswith("\\textbf") for cell in cells])
        for code, letter in [("$\\pm$", "±"), ("$\\checkmark$", "✓"), ("$\\times$", "×"), ("\\%", "%"), ("$-$", "-")]:
            cells = [cell.replace(code, letter) for cell in cells]
        for code in ("\\textbf{", "\\underline{", "{\\scriptsize\\,", "{\\scriptsize", "}"):
            cells = [cell.replace(code, " " if "script" in code else "") for cell in cells]
        rows.append([" ".join(cell.split()) for cell in cells])
    return rows, bold


@pytest.mark.parametrize("title", ["BraTS", "Spleen"])
def test_table_1_is_rebuilt_cell_by_cell_as_printed(title):
    rows, bold = latex_rows(printed_table1(title))
    assert rows == printed_rows(PRINTED[title])
    names = [row[0] for row in rows]
    best = [{name for name, marks in zip(names, bold, strict=True) if marks[column]} for column in range(3, 9)]
    assert best == BEST[title]


def test_table_2_is_rebuilt_cell_by_cell_as_printed():
    rows, bold = latex_rows(printed_table2())
    assert rows == printed_rows(PRINTED_ABLATION)
    # The last row is the best of every column; of S% the row before it is as good.
    assert bold == [[False] * 8] * 3 + [[False] * 7 + [True], [False, False] + [True] * 6]


def test_the_second_best_of_the_paper_is_underlined():
    seconds = names_marked(printed_table1("Spleen"), "second")
    assert seconds == [{"Marg"}, {"CEAL(MC-D)"}, {"CEAL(Ent)"}, {"BAL"}, {"Marg", "TAAL"}, {"CEAL(MC-D)"}]


SHARE = NumberFormat(1, percent=True)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell("random"), "random"),
        (number_cell(0.8125, NumberFormat(3)), "0.812"),
        (number_cell(0.8, NumberFormat(3), Deviation(0.03, NumberFormat(2))), "0.800 ± 0.03"),
        (number_cell(math.nan, NumberFormat(3)), "n/a"),
        (number_cell(0.02, NumberFormat(4, sign=True)), "+0.0200"),
        (number_cell(-0.02, NumberFormat(4, sign=True)), "-0.0200"),
        (number_cell(12345.6, NumberFormat(0, thousands=True)), "12,346"),
        (number_cell(90, NumberFormat(1, divisor=60)), "1.5"),
        (number_cell(0.0009, NumberFormat(3, least=0.001)), "< 0.001"),
        (number_cell(0.001, NumberFormat(3, least=0.001)), "0.001"),
        (number_cell(0.2, SHARE, Interval(0.15, 0.25, SHARE)), "20.0% [15.0%, 25.0%]"),
        (Cell("> 30.0%", math.inf, spread=Interval(0.15, math.inf, SHARE)), "> 30.0% [15.0%, never]"),
        (reach_cell(0.2), "20.0%"),
        (reach_cell(0.194, 1500), "1500 (19.4%)"),
        (reach_cell(math.inf, math.inf), "-"),
        (reach_cell(math.nan), "n/a"),
    ],
)
def test_a_cell_is_printed_in_its_format(cell, text):
    assert cell.plain == text


@given(st.integers(0, 2000), st.integers(0, 2000), st.sampled_from([NumberFormat(2), SHARE]))
def test_numbers_are_equal_if_they_are_printed_alike(one, other, number_format):
    first, second = one / 1000, other / 1000
    alike = number_format.text(first) == number_format.text(second)
    assert (number_format.rounded(first) == number_format.rounded(second)) == alike


def column(*values, better="higher"):
    rows = tuple(Row((number_cell(value, NumberFormat(3)),)) for value in values)
    return [row.cells[0].mark for row in marked(Table("t", "t", (Column("x", better),), rows)).rows]


def test_values_that_are_printed_alike_are_equal():
    assert column(0.8001, 0.7999, 0.7) == ["best", "best", ""]
    assert column(0.8, 0.7, 0.7) == ["best", "second", "second"]
    assert column(0.8, 0.7, better="lower") == ["second", "best"]
    assert column(0.8) == [""]
    assert column(0.8001, 0.7999, 0.8) == ["", "", ""]  # as in round 0, which strategies share


def test_marks_follow_the_number_and_not_its_text():
    cells = [number_cell(value, NumberFormat(0, thousands=True)) for value in (900, 1000, 1000.4)]
    rows = tuple(Row((cell,)) for cell in cells)
    table = marked(Table("t", "t", (Column("pixels", "lower"),), rows))
    assert [row.cells[0].mark for row in table.rows] == ["best", "second", "second"]


def test_a_share_that_is_never_reached_gets_no_mark():
    never = reach_cell(math.inf)
    for cells, marks in [((reach_cell(0.2), never), ["best", ""]), ((never, never), ["", ""])]:
        rows = tuple(Row((cell,)) for cell in cells)
        table = marked(Table("t", "t", (Column("S%", "lower"),), rows))
        assert [row.cells[0].mark for row in table.rows] == marks


@pytest.fixture
def runs(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.5, 0.6, 0.7 + 0.02 * seed])
        write_run(tmp_path, "star", seed, [0.5, 0.8, 0.7])
        write_run(tmp_path, "full", seed, [0.75], rounds=2)
    return tmp_path


def main(folder, **options):
    results = load(folder, **options)
    return main_table(results, results.groups[0])


def cells_of(table, label):
    return next([cell.plain for cell in row.cells] for row in table.rows if row.cells[0].text == label)


def test_table_1_shows_every_method_at_its_shares(runs):
    table = main(runs)
    assert [column.title for column in table.columns] == [
        "Method",
        "AL",
        "SSL",
        "15%",
        "20%",
        "25%",
        "30%",
        "max(p)",
        "S%",
    ]
    assert cells_of(table, "random") == [
        *("random", "✓", "×", "0.600 ± 0.000", "0.710 ± 0.014", "n/a", "n/a", "0.710 ± 0.014", "-")
    ]
    assert cells_of(table, "star")[2:] == [
        *("✓", "0.800 ± 0.000", "0.700 ± 0.000", "n/a", "n/a", "0.800 ± 0.000", "15.0%")
    ]


def test_a_caption_names_metric_cases_seeds_reference_and_source(runs):
    caption = " ".join(main(runs).caption)
    for said in (
        "Slice Dice on 2 test cases, mean over 2 seeds (0, 1). ±: one sample standard deviation.",
        "Supervised reference: 0.750 ± 0.000, all slices labeled, 2 seeds (0, 1).",
        "Values are those of the nearest round: 15.0% for 15%, 20.0% for 20%.",
        "No round lies near 25%, 30%.",
        "computed on cpu.",
        f"Runs in {runs.name}; albench",
    ):
        assert said in caption


def test_with_one_seed_no_deviation_and_no_test_is_printed(tmp_path):
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "star", 0, [0.5, 0.7])
    results = load(tmp_path)
    sentences = summarize(results, results.groups[0]).sentences
    tables = {table.name: table for table in all_tables(results)}
    assert all("±" not in cell.plain for table in tables.values() for row in table.rows for cell in row.cells)
    assert "one seed (0): no deviation and no test can be given" in tables["table1-made"].caption[0]
    assert "The supervised reference is missing, so S% is unknown." in tables["table1-made"].caption
    assert not any(name.startswith(("differences", "ranks")) for name in tables)
    assert "With one seed no difference can be tested, so there are no tables of differences and ranks." in sentences


def test_the_least_possible_p_is_printed(runs):
    tables = {table.name: table for table in all_tables(load(runs))}
    caption = " ".join(tables["differences-baseline-made"].caption)
    assert (
        "after Holm's correction over 1 test it is 0.5, so no difference can be significant at 0.05 by it." in caption
    )
    assert cells_of(tables["differences-baseline-made"], "star")[-1] == "0.500"


def test_methods_with_fewer_seeds_are_named(runs):
    write_run(runs, "entropy", 0, [0.5, 0.6, 0.7])
    caption = main(runs).caption[0]
    assert "over 1 to 2 seeds; not all methods have the same seeds (entropy: 1)" in caption


def test_a_method_with_missing_seeds_is_never_the_best(runs):
    write_run(runs, "entropy", 0, [0.9, 0.9, 0.9])
    table = main(runs)
    not_ranked = "Not ranked: methods without a seed that most methods have (entropy)."
    assert not_ranked in table.caption
    marks = {row.cells[0].text: [cell.mark for cell in row.cells] for row in table.rows}
    assert set(marks.pop("entropy")) == {""}
    assert any("best" in own for own in marks.values())
    results = load(runs)
    assert "entropy" not in results.groups[0].ranking
    differences = results.differences()
    assert "entropy" not in set(differences[differences["kind"] == "best rival"]["rival"])
    summary = summarize(results, results.groups[0])
    assert not summary.lead.startswith("entropy")
    assert summary.not_ranked == not_ranked


def test_left_out_runs_are_named_in_every_table(runs):
    write_run(runs, "entropy", 1, [0.5], rounds=2)
    tables = [table for table in all_tables(load(runs)) if not table.name.startswith("printed")]
    assert len(tables) > 4
    assert all("Unfinished: entropy, seed 1." in table.caption for table in tables)


def test_many_runs_that_are_left_out_are_counted(runs):
    for seed in range(6):
        write_run(runs, "entropy", seed, [0.5], rounds=2)
    tables = [table for table in all_tables(load(runs)) if not table.name.startswith("printed")]
    assert all("6 runs are left out: see the summary." in table.caption for table in tables)
    assert named_left_out(load(runs).collection) == ["Unfinished: entropy, seeds 0, 1, 2, 3, 4, 5."]


def test_columns_without_any_value_are_dropped():
    cells = [number_cell(value, SHARE) for value in (0.1, math.nan, math.nan)]
    rows = (Row((Cell("a"), *cells)), Row((Cell("b"), number_cell(math.nan, SHARE), number_cell(0.2, SHARE), cells[2])))
    table = without_empty_columns(Table("t", "t", tuple(map(Column, "wxyz")), rows))
    assert [column.title for column in table.columns] == ["w", "x", "y"]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["a", "10.0%", "n/a"], ["b", "n/a", "20.0%"]]


def test_a_column_goes_with_its_notes_and_a_note_of_several_stands_once():
    both, own = "X and Y: explained together.", "Z: explained alone."
    columns = (Column("w"), Column("x", notes=(both,)), Column("y", notes=(both,)), Column("z", notes=(own,)))
    some, none = number_cell(0.1, SHARE), number_cell(math.nan, SHARE)
    rows = [Row((Cell("a"), *cells)) for cells in ((some, some, some), (none, some, none), (none, none, none))]
    captions = [
        without_empty_columns(Table("t", "t", columns, (row,), ("First.",), ("Last.",))).caption for row in rows
    ]
    assert captions == [("First.", both, own, "Last."), ("First.", both, "Last."), ("First.", "Last.")]


def test_a_caption_does_not_explain_columns_that_the_table_leaves_out(tmp_path):
    write_run(tmp_path, "entropy", 0, [0.5, 0.6])
    write_run(tmp_path, "star", 0, [0.5, 0.7])
    explained = ("S%", "Monotone:", "Sustained:", "Within", "Median of", "Speed-up:", "Foreground efficiency:")

    def said(name):
        table = next(table for table in all_tables(load(tmp_path)) if table.name == name)
        shown = {column.title for column in table.columns}
        return {start for start in explained if any(text.startswith(start) for text in table.caption)}, shown

    for name in ("table1-made", "efficiency-made"):
        notes, columns = said(name)
        assert not notes
        assert not {"S%", "monotone", "speed-up", "foreground efficiency"} & columns
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "full", 0, [0.65], rounds=1)
    assert said("table1-made")[0] == {"S%"}
    notes, columns = said("efficiency-made")
    assert notes == set(explained)
    assert {"S%", "monotone", "speed-up", "foreground efficiency"} <= columns


def test_a_lower_distance_is_better(runs):
    results = load(runs, metric="hd95")
    table = efficiency_table(results, results.groups[0])
    # 10 (1 - dice) in the last round: 2.9 and 3 mm.
    assert [row.cells[-1].mark for row in table.rows] == ["best", "second"]
    assert "Lower is better." in table.caption
    assert "[mm]" in table.caption[0]


@pytest.mark.parametrize("metric", [None, "dice_volume", "hd95", "val_dice_volume"])
def test_table_1_has_the_metric_of_the_paper_whatever_is_reported(tmp_path, metric):
    for seed in range(2):
        write_run(tmp_path, "random", seed, [0.5, 0.6], slice_dice=[0.8, 0.9])
    results = load(tmp_path, **({} if metric is None else {"metric": metric}))
    table = main_table(results, results.groups[0])
    assert cells_of(table, "random")[3] == "0.900 ± 0.000"
    assert table.caption[0].startswith("Slice Dice on 2 test cases")
    assert "The metric is as in the paper's code: slice Dice, two empty masks score 1." in table.caption
    assert "Predicting nothing scores 0.272; what predicting everything scores is not in the records." in table.caption
    shown = {None: "0.600", "dice_volume": "0.600", "hd95": "4.00", "val_dice_volume": "0.610"}[metric]
    assert cells_of(efficiency_table(results, results.groups[0]), "random")[-1].startswith(shown)


def test_runs_are_verified_once_for_both_metrics(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("albench.reports.runs.verify", lambda reader: seen.append(reader.folder) or [])
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    write_run(tmp_path, "star", 0, [0.5, 0.6])
    assert len(list(all_tables(load(tmp_path)))) == 3
    assert len(seen) == len(set(seen)) == 2


def test_learning_from_unlabeled_slices_follows_from_the_records(tmp_path):
    write_run(tmp_path, "mine", 0, [0.5, 0.6], pseudo=MaskQuality(5, 0.0, 0.1, 0.9, 0.8))
    write_run(tmp_path, "other", 0, [0.5, 0.6])
    write_run(tmp_path, "taal", 0, [0.5, 0.6])
    write_run(tmp_path, "star", 0, [0.5, 0.6], options={"aggregation": "none", "query_rule": "random"})
    table = main(tmp_path)
    ssl = {row.cells[0].text: row.cells[2].text for row in table.rows}
    assert ssl == {"mine": "✓", "other": "×", "taal": "✓", "star": "×"}


def test_the_ablation_is_a_table_of_its_own(tmp_path):
    parts = [("none", "random"), ("none", "similarity"), ("self", "similarity"), ("attention", "similarity")]
    runs = []
    for index, (aggregation, rule) in enumerate(parts):
        options = {"aggregation": aggregation, "query_rule": rule}
        path = write_run(tmp_path, "star", 0, [0.5, 0.6 + index / 20], options=options)
        runs.append((f"row {index + 1}", "made", path))
    runs.append(("full", "made", write_run(tmp_path, "full", 0, [0.7], rounds=1)))
    write_suite(tmp_path, runs)
    table = next(table for table in all_tables(load(tmp_path)) if table.name == "table2-made")
    head = [[cell.text for cell in row.cells[:3]] for row in table.rows]
    assert head == [["row 1", "×", "×"], ["row 2", "×", "✓"], ["row 3", "CEAL", "✓"], ["row 4", "✓", "✓"]]
    assert [row.cells[-1].text for row in table.rows] == ["-", "-", "15 (15.0%)", "15 (15.0%)"]


def test_variants_of_star_that_differ_in_another_option_have_no_table_2(tmp_path):
    options = {"aggregation": "attention", "query_rule": "similarity", "balanced": False}
    chosen = [options, options | {"aggregation": "none"}, options | {"balanced": True}]
    folders = [write_run(tmp_path, "star", 0, [0.5, 0.6], options=own) for own in chosen]
    for count, shown in ((2, ["table2-made"]), (3, ["table1-made"])):
        write_suite(tmp_path, [(f"row {index}", "made", folder) for index, folder in enumerate(folders[:count])])
        assert [table.name for table in all_tables(load(tmp_path)) if table.name.startswith("table")] == shown


def test_the_ablation_of_the_paper_is_shown_beside_ours_row_by_row(tmp_path):
    runs = []
    for index, (aggregation, rule) in enumerate([("none", "random"), ("self", "similarity")]):
        options = {"aggregation": aggregation, "query_rule": rule}
        path = write_run(tmp_path, "star", 0, ROUNDS, options=options, settings=BRATS)
        runs.append((f"row {index}", "brats", path))
    write_suite(tmp_path, runs, "ablation-brats")
    tables = {table.name: table for table in all_tables(load(tmp_path))}
    assert "table1-brats" not in tables  # every row of it would be called star
    rows, printed = tables["table2-brats"].rows, printed_rows(PRINTED_ABLATION)
    assert [cell.plain for cell in rows[1].cells[3:]] == printed[0][2:]
    assert [cell.plain for cell in rows[3].cells[3:]] == printed[3][2:]
    caption = " ".join(tables["table2-brats"].caption)
    assert "MICCAI 2025, 3 seeds, supervised performance 0.834" in caption
    assert "On BraTS in the paper: the split of 50, 14 and 12 cases is inferred and not compared (12 x 155" in caption


def paper_suite(folder, settings, name="paper-spleen"):
    runs = [("random", "spleen", write_run(folder, "random", 0, ROUNDS, settings=settings))]
    write_suite(folder, runs, name)
    return folder


def test_the_values_of_the_paper_are_shown_beside_ours_in_its_suite(tmp_path):
    tables = {table.name: table for table in all_tables(load(paper_suite(tmp_path, PAPER)))}
    ours, theirs = tables["table1-spleen"].rows
    assert [cell.plain for cell in theirs.cells[3:]] == printed_rows(PRINTED["Spleen"])[0][3:]
    assert theirs.muted
    assert {cell.mark for cell in (*ours.cells, *theirs.cells)} == {""}
    assert any("Ma et al., MICCAI 2025, 5 seeds" in sentence for sentence in tables["table1-spleen"].caption)
    assert "printed-table1-spleen" in tables


def test_two_variants_of_a_method_are_not_shown_beside_the_paper(tmp_path):
    runs = [
        (label, "spleen", write_run(tmp_path / label, strategy, 0, ROUNDS, settings=PAPER))
        for label, strategy in (("one", "entropy"), ("other", "entropy"), ("random", "random"))
    ]
    write_suite(tmp_path, runs, "paper-spleen")
    assert [row.muted for row in main(tmp_path).rows] == [False, False, False, True]


@pytest.mark.parametrize(
    ("settings", "name", "differences"),
    [
        ({"protocol.budget": 20}, "paper-spleen", ["protocol.budget is 20 here and 50 there"]),
        (
            {"training.stop": "val_dice", "training.lr": 1e-3, "protocol.split": (0.7, 0.15, 0.15)},
            "paper-spleen",
            [
                "protocol.split is [0.7, 0.15, 0.15] here and [28, 6, 7] there (inferred)",
                "training.stop is val_dice here and val_loss there",
                "training.lr is 0.001 here and 0.0001 there",
            ],
        ),
        ({"classes": ("spleen", "cyst")}, "paper-spleen", ["there are 2 classes here and one there"]),
        ({"protocol.validation": "charged"}, "paper-spleen", ["protocol.validation is charged here and free there"]),
        ({}, "mine", []),
    ],
)
def test_the_values_of_the_paper_are_not_shown_beside_other_results(tmp_path, settings, name, differences):
    table = main(paper_suite(tmp_path, PAPER | settings, name))
    assert not any(row.muted for row in table.rows)
    why = f"The values of the paper are not shown, because its settings differ: {'; '.join(differences)}."
    assert [said for said in table.caption if "of the paper are" in said] == [why] * bool(differences)


@pytest.mark.parametrize("dataset", ["spleen", "brats"])
def test_every_setting_that_the_paper_states_is_compared(dataset):
    """Each is changed alone in a run that has all of them."""
    protocol = protocols()[dataset]
    other = {"split": (1, 1, 1), "start": "slices", "validation": "none", "compute": "matched", "stop": "steps"}
    other |= {"name": "unet", "backbone": "resnet18", "warm_start": False, "sequences": ["t1"], "grade": "HGG"}
    config = paper_config(PAPER if dataset == "spleen" else BRATS)
    assert protocol.differences(config) == []
    for name in protocol.settings:
        section, _, key = name.partition(".")
        part = {"data": "dataset"}.get(section, section)
        own = getattr(config, part)
        if isinstance(own, Choice):
            value = other[key] if key in other else own.options[key] + 1
            named = key == "name"
            changed = replace(
                config,
                **{part: replace(own, name="unet") if named else replace(own, options=own.options | {key: value})},
            )
        else:
            value = other[key] if key in other else getattr(own, key) + 1
            changed = replace(config, **{section: replace(own, **{key: value})})
        (difference,) = protocol.differences(changed)
        assert difference.startswith(f"{name} is ")


@pytest.mark.parametrize("dataset", ["spleen", "brats"])
def test_the_defaults_of_a_dataset_of_the_paper_are_its_settings(dataset):
    settings = {"data.grade": "LGG"} if dataset == "brats" else {}
    data = make_dataset(dataset, settings)
    protocol, training = common_settings(data, settings)
    network = options_of(make_network("residual", data, settings))
    config = paper_config(PAPER if dataset == "spleen" else BRATS)
    config = replace(config, protocol=protocol, training=training)
    dataset_choice, network_choice = (
        replace(choice, options=options)
        for choice, options in ((config.dataset, options_of(data)), (config.network, network))
    )
    config = replace(config, dataset=dataset_choice, network=network_choice)
    assert protocols()[dataset].differences(config) == []


SIGNED = NumberFormat(1, sign=True)
GAIN = number_cell(-0.1, SIGNED, Interval(-0.2, 0.3, SIGNED))
ODD = Table("t", "50% of A&B_C", (Column("a_b"), Column("x")), (Row((Cell("<r#1>"), GAIN)),))


def test_special_characters_are_escaped_in_latex_and_markdown():
    latex = as_latex(ODD)
    assert r"50\% of A\&B\_C" in latex
    assert r"$<$r\#1$>$ & $-$0.1{\scriptsize\,[$-$0.2, +0.3]} \\" in latex
    assert "| \\<r\\#1\\> | -0.1 \\[-0.2, +0.3\\] |" in as_markdown(ODD)
    assert as_csv(ODD).splitlines() == ["a_b,x", '<r#1>,"-0.1 [-0.2, +0.3]"']


def test_every_format_is_written_alone_and_all_together(runs):
    results = load(runs)
    made = {
        kind: {path.name for path in write(results, runs / kind, kind)} for kind in ("latex", "markdown", "csv", "all")
    }
    assert made["latex"] == {"tables.tex"}
    assert made["markdown"] == {"tables.md"}
    assert made["csv"] == {"csv"}
    assert made["all"] == {"tables.tex", "tables.md", "csv", "index.html"}
    assert not (runs / "csv" / "latex").exists()
    assert (runs / "all" / "csv" / "numbers-efficiency.csv").exists()
    assert "**0.800** ± 0.000" in (runs / "markdown" / "tables.md").read_text()


WIDE = Table(
    "wide",
    "Wide",
    tuple(Column(title) for title in ("Method", *(f"a long title {index}" for index in range(14)))),
    tuple(Row((Cell(f"method-{row}"), *(Cell(f"{row}.{index} and more") for index in range(14)))) for row in range(60)),
    ("First.", "Second.", "Third."),
)


def test_a_wide_or_long_table_is_divided_into_parts_that_fit_and_have_every_cell_once():
    floats = floats_of(WIDE)
    assert all(one.wide for one in floats)
    found = [
        (row.cells[0].text, cell.text)
        for one in floats
        for part in one.parts
        for row in part.rows
        for cell in row.cells
    ]
    assert len(set(found)) == 60 * 15
    assert len(found) > len(set(found))  # the first column is in every part
    assert {part.columns[0].title for one in floats for part in one.parts} == {"Method"}
    for one in floats:
        assert sum(len(part.rows) + 4 for part in one.parts) <= 50
        for part in one.parts:
            text = max(len(row.cells[0].text) + sum(len(cell.text) for cell in row.cells[1:]) for row in part.rows)
            assert 0.48 * text < 57
    latex = as_latex(WIDE)
    assert latex.count(r"\begin{table*}[t]") == latex.count(r"\end{table*}") == len(floats)
    assert latex.count(r"\label{tab:wide}") == 1
    assert latex.count("continued.}") == len(floats) - 1
    assert latex.count(r"\caption{\textbf{Wide.} First.}") == 1
    assert latex.count(r"\albenchnotes{Second. Third.}") == 1


def test_a_narrow_table_is_as_wide_as_a_column_of_a_page():
    (one,) = floats_of(ODD)
    assert one == Float((ODD,), wide=False)
    latex = as_latex(ODD)
    assert r"\begin{table}[t]" in latex
    assert r"\albenchnotes{" not in latex
    assert "continued" not in latex


def test_a_name_that_begins_with_a_bracket_is_not_taken_for_a_length():
    bracket = Table("t", "T", (Column("Method"), Column("contour length [pixels]")), (Row((Cell("[a]"), Cell("1"))),))
    latex = as_latex(bracket)
    assert "\n{}[a] & 1 \\\\\n" in latex
    assert r"\shortstack{contour\\length\\{}[pixels]}" in latex


def test_all_tables_are_in_one_file_that_names_its_packages_and_a_document_reads_it(runs):
    write(load(runs), runs / "report", "latex")
    folder = runs / "report" / "latex"
    together, document = (folder / "tables.tex").read_text(), (folder / "tables-document.tex").read_text()
    assert r"needs \usepackage{booktabs,amssymb,graphicx}" in together
    assert r"\documentclass" not in together
    assert r"\input{" not in together.partition(r"\begin")[2]
    for table in all_tables(load(runs)):
        assert as_latex(table) in together
        assert (folder / f"{table.name}.tex").read_text() == as_latex(table)
    assert r"\usepackage{booktabs,amssymb,graphicx}" in document
    assert r"\input{tables}" in document


DOCUMENT = r"""\documentclass%s
\usepackage[T1]{fontenc}
\usepackage{lmodern}
\usepackage{booktabs,amssymb,graphicx}
\begin{document}
Text. \input{tables} More text.
\end{document}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("kind", ["document", "{article}", "[twocolumn]{article}", "[journal]{IEEEtran}"])
def test_all_tables_compile(runs, tmp_path, kind):
    if "IEEEtran" in kind and subprocess.run(["kpsewhich", "IEEEtran.cls"], capture_output=True).returncode:
        pytest.skip("IEEEtran is not installed")
    printed = [printed_table1("BraTS"), printed_table1("Spleen"), printed_table2()]
    tables = [*all_tables(load(runs)), *printed, ODD, WIDE]
    (tmp_path / "tables.tex").write_text(all_as_latex("made", tables))
    text = as_latex_document("made") if kind == "document" else DOCUMENT % kind
    (tmp_path / "paper.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "too large for page" not in done.stdout
    read = subprocess.run(["pdftotext", "-layout", "paper.pdf", "-"], cwd=tmp_path, capture_output=True, text=True)
    if read.returncode == 0:
        assert "CEAL(MC-D)" in read.stdout

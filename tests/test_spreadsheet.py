import csv
import io

import pytest

from albench.spreadsheet import cell, csv_text, read_cell


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-0.5x", "+", "- =1", "-0.1 =cmd()"]
)
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "value",
    [
        *(-0.25, 3, None, True, float("nan"), "-0.25", "+1.5%", "-1e-05", "-inf", "-0.1 [-0.2, +0.3]", "-1,024"),
        *("-0.012 ± 0.003", "a=b", "", "'a", "''", "case-1", "n/a", "< 0.001"),
    ],
)
def test_numbers_and_other_text_stay_what_they_are(value):
    assert cell(value) is value


@pytest.mark.parametrize(
    "text",
    [
        *("=1+1", "+", "@a", "-a", "\t=1", "'=1", "''=1", "'-0.5", "'", "''", "'a'", "-0.5", "+1.5%", "-inf", "1-2"),
        *("-0.1 [-0.2, +0.3]", "-0.1 =cmd()", "", "case-1", "a,b", 'c"d'),
    ],
)
def test_text_is_read_back_as_it_was_written(text):
    (row,) = csv.reader(io.StringIO(csv_text([["first", text]]), newline=""))
    assert [read_cell(part) for part in row] == ["first", text]


def test_csv_is_read_back_as_it_was_written():
    rows = [["case", "value"], ["a,b", -0.125], ['c"d', 1e-300], ["=e", 0.1]]
    assert csv_text(rows) == 'case,value\n"a,b",-0.125\n"c""d",1e-300\n\'=e,0.1\n'
    read = list(csv.reader(io.StringIO(csv_text(rows))))
    assert [float(value) for _, value in read[1:]] == [-0.125, 1e-300, 0.1]
    assert [read_cell(name) for name, _ in read[1:]] == ["a,b", 'c"d', "=e"]

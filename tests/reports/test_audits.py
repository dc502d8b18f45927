"""Audited queries in reports: counted by run and by method."""

import pytest
from support.made_runs import write_run
from support.samples import invoke

from albench.reports import load
from albench.reports.audits import audited, audits_of

PASSED = "Audited, and the same without the masks that were not bought"


def sentences(folder):
    (group,) = load(folder).groups
    return audited(group)


def write(folder, name, *verdicts_of_seeds):
    for seed, verdicts in enumerate(verdicts_of_seeds):
        write_run(folder, name, seed, [0.5, 0.6, 0.7], audits=verdicts)


def test_a_group_without_audits_says_nothing(tmp_path):
    write(tmp_path, "margin", (), ())
    assert sentences(tmp_path) == []


def test_a_group_of_which_every_query_passed_says_so_and_full_has_no_query(tmp_path):
    write(tmp_path, "margin", ("passed", "passed"), ("passed", "passed"))
    write_run(tmp_path, "full", 0, [0.9])
    assert sentences(tmp_path) == ["Audited: every query is the same without the masks that were not bought."]


def test_methods_are_named_that_are_audited_wholly_in_part_and_not(tmp_path):
    write(tmp_path, "entropy", ("passed", "passed"), ("passed", "passed"))
    write(tmp_path, "margin", ("passed", "passed"), ("passed",))
    write(tmp_path, "random", (), ())
    assert sentences(tmp_path) == [
        f"{PASSED}: 0 of 4 queries of random; 3 of 4 queries of margin; 4 of 4 queries of entropy."
    ]


@pytest.mark.parametrize("verdicts", [("passed", "unrepeatable"), ("passed",)])
def test_a_query_of_which_nothing_can_be_said_does_not_count_as_audited(tmp_path, verdicts):
    write(tmp_path, "margin", verdicts)
    assert sentences(tmp_path) == [f"{PASSED}: 1 of 2 queries of margin."]


def test_audits_of_a_run_without_a_query(tmp_path):
    write_run(tmp_path, "full", 0, [0.9])
    write_run(tmp_path, "random", 0, [0.5, 0.6])
    (group,) = load(tmp_path).groups
    assert str(audits_of(*group.reference)) == "no query"
    assert str(audits_of(*group.runs)) == "0 of 1 queries"


@pytest.mark.usefixtures("sketched")
def test_the_page_and_tables_tell_what_was_audited(tmp_path):
    write(tmp_path / "runs", "entropy", ("passed", "passed"))
    write(tmp_path / "runs", "margin", (), ())
    invoke("report", tmp_path / "runs", "--out", tmp_path / "report")
    page = (tmp_path / "report/index.html").read_text()
    assert page.count(f"{PASSED}: 0 of 4 queries of margin; 2 of 2 queries of entropy.") == 1
    assert "audited: 2 of 2 queries" in page
    assert "<dt>audited</dt><dd>2 of 6 queries</dd>" in page
    assert any(PASSED in path.read_text() for path in (tmp_path / "report").rglob("*.md"))

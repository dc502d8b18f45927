"""What docs/paper.md says was measured is what the records hold, and what it cites is in its bibliography."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from support.published import published

from albench.registry import STRATEGIES, available

ROOT = Path(__file__).parents[1]
PAPER = (ROOT / "docs/paper.md").read_text()
WORDS = " ".join(PAPER.split())
SPEED = ROOT / "benchmarks/speed/records/2026-11-28-005102-nvidia-h100-80gb-hbm3-16-cores.json"


def range_of(found) -> str:
    return f"{found.low:.3f} to {found.high:.3f}"


def against_random(results):
    return results.differences().query("kind == 'baseline'")


def test_every_work_that_the_paper_cites_is_in_its_bibliography_and_no_other():
    entries = re.findall(r"^@\w+\{(\w+),$", (ROOT / "docs/paper.bib").read_text(), re.MULTILINE)
    assert len(entries) == len(set(entries))
    assert set(re.findall(r"\[@(\w+)\]", PAPER)) == set(entries)


def test_the_paper_has_the_sections_and_the_length_of_a_software_paper():
    sections = re.findall(r"^# (.*)$", PAPER, re.MULTILINE)
    assert {"Summary", "Statement of need", "Related software", "Quality control", "Acknowledgements"} <= set(sections)
    assert 750 <= len(PAPER.split()) <= 1250


def test_the_differences_of_the_fair_suite_are_those_that_are_published():
    results = published("fair-hippocampus")
    table, methods = against_random(results), results.efficiency()
    assert f"{len(methods)} methods were compared" in WORDS
    assert f"({len(table)} comparisons, smallest p = {table.t_holm.min():.2f})" in WORDS
    best = table.loc[table.gain.idxmax()]
    assert f"`{best.label}`, leads by {best.gain:.3f} (95 % interval {range_of(best)})" in WORDS
    assert set(table.units) == {5}


def test_the_parts_of_star_are_those_that_are_published():
    star = published("fair-hippocampus").attribution().query("label == 'star'").set_index("part")
    query, training = star.loc["query"], star.loc["training"]
    assert f"The query of STAR is estimated at {query.gain:.3f} ({range_of(query)})" in WORDS
    assert f"and its training at {training.gain:.4f} ({range_of(training)})" in WORDS


def test_what_the_paper_says_of_seeds_and_repetition_is_in_the_findings():
    findings = " ".join((ROOT / "docs/findings.md").read_text().split())
    assert "The lead of power-bald, +0.0040, would take 47 and 92." in findings
    assert "a lead of 0.004 takes 47 seeds" in WORDS
    gains = findings.partition("The gain over `random` has a standard deviation")[2]
    assert gains.partition("both correlate by ")[2].startswith("0.09.")
    assert "gains over random correlated by 0.09 only" in WORDS


def test_the_later_cost_of_star_is_that_of_its_record():
    rows = pd.read_csv(ROOT / "docs/studies/h100-2026-11-28.csv").query("measurement.str.startswith('star query')")
    assert f"(after a change, {rows.value.min():.2f} to {rows.value.max():.2f} on another machine)" in WORDS


def test_the_menu_is_that_which_is_published():
    results = published("menu-hippocampus")
    methods, rivals = results.efficiency(), against_random(results)
    assert f"the whole menu of {len(methods)} strategies spans {methods.aubc.max() - methods.aubc.min():.3f}" in WORDS
    assert f"no difference is significant (smallest p = {rivals.t_holm.min():.2f})" in WORDS
    own = [entry for entry in available(STRATEGIES) if entry.cls and entry.cls.__module__.startswith(STRATEGIES)]
    assert f"There are {len(own)}:" in WORDS


@pytest.mark.parametrize(
    ("question", "name", "sentence"),
    [
        ("does a query cost", "entropy", "a query by entropy takes {} times as long as the forward passes"),
        ("does the query of STAR cost", "whole query", "and one of STAR without its training {} times"),
    ],
)
def test_the_cost_of_a_query_is_that_of_its_record(question, name, sentence):
    record = json.loads(SPEED.read_text())
    rows = [row for finding in record["findings"] if question in finding["question"] for row in finding["rows"]]
    (row,) = (row for row in rows if row["name"] == name)
    assert sentence.format(f"{row['value']['median']:.2f}") in WORDS

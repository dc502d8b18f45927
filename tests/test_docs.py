"""What the documents say is so."""

import re
from pathlib import Path

import pytest

from albench.registry import DATASETS, STRATEGIES, available, find
from albench.testing import check_strategy

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_strategy_in_15_lines_is_that_short_and_passes_the_contract_kit(tmp_path):
    text = (ROOT / "docs" / "add-a-strategy.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    path = tmp_path / "least_confidence.py"
    path.write_text(code)
    assert [check for check in check_strategy(find(STRATEGIES, f"{path}:LeastConfidence")()) if not check.passed] == []


def test_the_rules_in_the_document_are_those_of_the_kit():
    text = " ".join((ROOT / "docs" / "add-a-strategy.md").read_text().split())
    from albench.strategies.random_choice import Random

    for check in check_strategy(Random())[:3]:
        rule = check.rule.split(",")[0].replace("answers", "answer").replace("gives", "give").replace("does not", "not")
        assert rule in text


def included(group: str, package: str) -> set[str]:
    return {entry.name for entry in available(group) if entry.cls and entry.cls.__module__.startswith(package)}


def test_the_readme_lists_every_strategy_and_no_other():
    table = (ROOT / "README.md").read_text().partition("## The strategies")[2].partition("`albench list")[0]
    named = {name for row in table.splitlines() if row.startswith("| `") for name in re.findall(r"`([a-z-]+)`", row)}
    ours = [
        entry for entry in available(STRATEGIES) if entry.cls and entry.cls.__module__.startswith("albench.strategies.")
    ]
    assert named == {entry.name for entry in ours}


def test_the_readme_lists_every_dataset_and_no_other():
    table = (ROOT / "README.md").read_text().partition("| name | what it is |")[2].partition("[More on data]")[0]
    named = {name for row in table.splitlines() if row.startswith("| `") for name in re.findall(r"`([a-z-]+)`", row)}
    ours = [
        entry for entry in available(DATASETS) if entry.cls and entry.cls.__module__.startswith("albench.datasets.")
    ]
    assert named == {entry.name for entry in ours}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        assert target.startswith("http") or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_options_of_a_document_exist(document):
    from typer.main import get_command

    from albench.cli.main import app

    commands = get_command(app).commands
    for line in re.findall(r"^    (?:\.venv/bin/)?albench (.*)$", document.read_text(), re.MULTILINE):
        words = line.split()
        command = commands[words[0]]
        command = getattr(command, "commands", {}).get(words[1], command)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known, line

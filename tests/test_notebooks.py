"""The notebooks of the manual: they run from top to bottom, and what they show is what a run of them gave."""

import json
import re
from pathlib import Path

import pytest
from support.markdown import Document

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def kinds(output):
    """What an output is: its type and stream, and the types of its data."""
    return output["output_type"], output.get("name"), tuple(sorted(output.get("data", ())))


@each_notebook
def test_a_notebook_is_stored_as_it_was_executed_from_top_to_bottom_without_errors(path):
    found = cells(path, "code")
    assert [cell["execution_count"] for cell in found] == list(range(1, len(found) + 1))
    outputs = [output for cell in found for output in cell["outputs"]]
    assert {"stream", "execute_result", "display_data"} == {output["output_type"] for output in outputs}
    assert not [output for output in outputs if output.get("name") == "stderr"]


@each_notebook
def test_a_notebook_is_small_and_names_no_place_of_a_machine(path):
    text = path.read_text()
    assert len(text) < 150_000
    assert not re.findall(r"/(?:home|root|tmp|Users|private)/", text)


@each_notebook
def test_the_links_of_a_notebook_lead_somewhere(path):
    prose = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    links = re.findall(r"\]\(([^)#]*)#?([^)]*)\)", prose)
    assert links
    for target, anchor in links:
        document = path.parent / target
        assert document.exists(), target
        assert not anchor or anchor in Document.read(document).anchors, anchor


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_and_gives_outputs_of_the_same_kind_and_tables_with_the_same_columns(
    path, tmp_path, monkeypatch
):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the machine is shared with other tests
    quick = path.read_text().replace("steps: 120", "steps: 12")  # of the same kind are outputs of any training
    notebook = nbformat.reads(quick, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=500, kernel_name="python3", resources=resources).execute()
    stored = cells(path, "code")
    executed = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for before, after in zip(stored, executed, strict=True):
        assert {*map(kinds, before["outputs"])} == {*map(kinds, after["outputs"])}, after["source"]
        assert [*filter(None, map(columns, before["outputs"]))] == [*filter(None, map(columns, after["outputs"]))]


def columns(output):
    """The names in the head of a table; empty of what is no table."""
    text = "".join(output.get("data", {}).get("text/html", ""))
    return re.findall(r"<th>([^<]*)</th>", text.partition("</thead>")[0])

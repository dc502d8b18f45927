"""Notebooks as pages."""

import base64
import json

from notebook_page import notebook_page

PNG = b"\x89PNG"


def cell(kind, source, *outputs):
    return {"cell_type": kind, "source": source} | ({"outputs": list(outputs)} if kind == "code" else {})


def test_text_code_and_every_kind_of_output_are_on_the_page(tmp_path):
    table = '<table border="1" class="dataframe">\n\n  <tr><td>1</td></tr>\n</table>'
    html = f"<div>\n<style scoped>td {{}}</style>\n{table}</div>"
    cells = [
        cell("markdown", ["# Title\n", "\n", "Text."]),
        cell("code", ["print(1)"], {"output_type": "stream", "name": "stdout", "text": ["1\n"]}),
        cell("code", ["f"], {"output_type": "display_data", "data": {"image/png": base64.b64encode(PNG).decode()}}),
        cell("code", ["t"], {"output_type": "execute_result", "data": {"text/html": [html], "text/plain": ["1"]}}),
        cell("code", ["%%writefile a.yaml\n", "seeds: 3"]),
        cell("code", ["r"], {"output_type": "execute_result", "data": {"text/plain": ["Run()"]}}),
    ]
    path = tmp_path / "first.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    text, pictures = notebook_page(path)
    assert pictures == {"first-1.png": PNG}
    assert text == (
        "# Title\n\n*[The notebook](first.ipynb){ download } with its outputs.*\n\nText.\n\n"
        "```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
        "```python\nf\n```\n\n![Output](first-1.png)\n\n"
        "```python\nt\n```\n\n<table>\n<tr><td>1</td></tr>\n</table>\n\n"
        "```yaml\n%%writefile a.yaml\nseeds: 3\n```\n\n"
        "```python\nr\n```\n\n```text\nRun()\n```\n"
    )

"""A notebook as a page: its text, its code, and the outputs that are stored in it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook, and its pictures by their file names.

    Args:
        path: of the notebook, as it is stored with its outputs.
    """
    pictures: dict[str, bytes] = {}
    parts: list[str] = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```{_language(source)}\n{source}\n```")
        parts += [_output(output, path.stem, pictures) for output in cell["outputs"]]
    title, _, rest = "\n\n".join(parts).partition("\n")
    return f"{title}\n\n*[The notebook]({path.name}){{ download }} with its outputs.*\n{rest}\n", pictures


def _language(source: str) -> str:
    """The language of a cell, which is that of the file that it writes."""
    return "yaml" if re.match(r"%%writefile \S+\.yaml\n", source) else "python"


def _output(output: Mapping[str, Any], stem: str, pictures: dict[str, bytes]) -> str:
    """An output as Markdown: its picture, its table, or its text."""
    if output["output_type"] == "stream":
        return _text("".join(output["text"]))
    data = output["data"]
    if "image/png" in data:
        name = f"{stem}-{len(pictures) + 1}.png"
        pictures[name] = base64.b64decode("".join(data["image/png"]))
        return f"![Output]({name})"
    if "text/html" in data:
        return _table("".join(data["text/html"]))
    return _text("".join(data["text/plain"]))


def _text(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def _table(html: str) -> str:
    """The table of a DataFrame, without its styles and blank lines, which would end the block."""
    table = re.search(r"<table.*</table>", html, re.DOTALL)
    text = re.sub(r' (border|style|class)="[^"]*"', "", table[0] if table else html)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())

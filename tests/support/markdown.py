"""The code in a Markdown document: fenced blocks, indented blocks, and spans in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+")
_SPAN = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Document:
    """A document.

    Attributes:
        path: of its file.
        text: its content.
    """

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> Document:
        """The document in a file."""
        return cls(path, path.read_text())

    @property
    def prose(self) -> str:
        """The text without its blocks of code."""
        return _INDENTED.sub("", _FENCE.sub("", self.text))

    @property
    def spans(self) -> list[str]:
        """Code within the text."""
        return _SPAN.findall(self.prose)

    @property
    def indented(self) -> list[str]:
        """Indented blocks, without the indentation."""
        blocks = _INDENTED.findall(_FENCE.sub("", self.text))
        return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in blocks]

    def fenced(self, language: str) -> list[str]:
        """Fenced blocks in a language."""
        return [code for name, code in _FENCE.findall(self.text) if name == language]

    @property
    def shell(self) -> list[str]:
        """Command lines of indented and bash blocks, continued lines joined."""
        blocks = [*self.indented, *self.fenced("bash")]
        return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]

    @property
    def code(self) -> list[str]:
        """All spans and all lines of blocks."""
        blocks = [*self.indented, *(code for _, code in _FENCE.findall(self.text))]
        return [*self.spans, *(line for block in blocks for line in block.splitlines())]

    @property
    def anchors(self) -> set[str]:
        """The names of its headings in links."""
        headings = _HEADING.findall(_FENCE.sub("", self.text))
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def section(self, heading: str) -> str:
        """The text between a heading and the next one of any level. Raises ValueError if it is missing."""
        found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", self.text, re.DOTALL | re.MULTILINE)
        if found is None:
            raise ValueError(f"'{self.path.name}' must have the heading '{heading}'")
        return found[1]

    def first_cells(self, head: str) -> list[str]:
        """Code in the first column of the table whose first head is `head`. Raises ValueError if it is missing."""
        found = re.search(rf"^\| {re.escape(head)} \|.*\n\|[ -|]*\|\n((?:\|.*\n)+)", self.text, re.MULTILINE)
        if found is None:
            raise ValueError(f"'{self.path.name}' must have a table with the column '{head}'")
        return [name for row in found[1].splitlines() for name in _SPAN.findall(row.split(" |")[0])]

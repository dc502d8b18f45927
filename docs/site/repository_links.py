"""Links between files of the repository, as pages of the repository show them, turned into links of the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from itertools import pairwise

MANUAL = "docs/"  # the folder whose files are pages of the site under the same names
_LINK = re.compile(r"(?<!!)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n|\n(?= {4}))+")
_SPAN = re.compile(r"(?<![\[`])`([a-zA-Z][\w.-]*)`(?![`\]])")
_FIRST_CELL = re.compile(r"(?m)^\| `([a-z][a-z-]*)` (?=\|)")


def outside_of_code(markdown: str, change: Callable[[str], str]) -> str:
    """Markdown in which everything but blocks of code is changed."""

    def text(part: str) -> str:
        ends = [0, *(end for block in _INDENTED.finditer(part) for end in block.span()), len(part)]
        pieces = [part[start:end] for start, end in pairwise(ends)]
        return "".join(change(piece) if number % 2 == 0 else piece for number, piece in enumerate(pieces))

    return "".join(part if part.startswith("```") else text(part) for part in _FENCE.split(markdown))


def with_site_links(markdown: str, path: str, pages: Mapping[str, str], address: str) -> str:
    """Markdown in which links lead to pages of the site.

    Args:
        markdown: of a page.
        path: of its file in the repository, from which its links are seen.
        pages: {path of a file in the repository: address of the page that shows it}, but of those in docs/.
        address: of the page of this file in the site, from which links are seen there.
    """

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link[1]))
        shown = pages.get(target, target.removeprefix(MANUAL) if target.startswith(MANUAL) else None)
        if shown is None:
            return link[0]
        return f"]({posixpath.relpath(shown, posixpath.dirname(address) or '.')}{link[2] or ''})"

    return outside_of_code(markdown, lambda text: _LINK.sub(moved, text))


def with_name_links(markdown: str, addresses: Mapping[str, str]) -> str:
    """Markdown in which the dotted names of albench in code spans are references to the API."""

    def linked(span: re.Match[str]) -> str:
        return f"[{span[0]}][{addresses[span[1]]}]" if span[1] in addresses else span[0]

    return outside_of_code(markdown, lambda text: _SPAN.sub(linked, text))


def with_menu_links(markdown: str, menu: Mapping[str, str], address: str) -> str:
    """Markdown in which a name in the first column of a table leads to its page.

    Args:
        markdown: of a page.
        menu: {name of a strategy, network or dataset: address of its page}.
        address: of this page.
    """
    start = posixpath.dirname(address) or "."

    def linked(cell: re.Match[str]) -> str:
        if cell[1] not in menu:
            return cell[0]
        return f"| [`{cell[1]}`]({posixpath.relpath(menu[cell[1]], start)}) "

    return _FIRST_CELL.sub(linked, markdown)

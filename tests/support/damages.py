"""Damages to a run's documents, made by walking what is written in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from albench.runs.documents import SEAL, encode_content

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Change:
    """A change to one field of a document.

    Attributes:
        place: keys and indices that lead to the field.
        apply: changes a document's content in place.
    """

    place: Place
    apply: Callable[[dict[str, Any]], None]


def changes(content: dict[str, Any]) -> Iterator[Change]:
    """For every field another value of the same kind, a value of another kind, and none at all."""
    for place in places(content):
        old = value_at(content, place)
        for new in (_other(old), {"not": "expected"}):
            yield Change(place, lambda changed, place=place, new=new: set_value(changed, place, new))  # type: ignore[misc]
        yield Change(place, lambda changed, place=place: remove(changed, place))  # type: ignore[misc]


def places(content: Any, start: Place = ()) -> Iterator[Place]:
    """Every field of a document, and the first element of every list."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(content, dict):
        items = [(key, value) for key, value in content.items() if key != SEAL]
    elif isinstance(content, list):
        items = [(index, value) for index, value in enumerate(content[:1])]
    for key, value in items:
        yield (*start, key)
        yield from places(value, (*start, key))


def field_names(cls: Any) -> set[str]:
    """Names of all fields of a dataclass and of the dataclasses in it."""
    names: set[str] = set()
    for hint in get_type_hints(cls).values():
        for part in (hint, *get_args(hint)):
            if is_dataclass(part):
                names |= field_names(part)
    return names | {field.name for field in fields(cls)}


def rewrite(path: Path, line: int | None, edit: Callable[[dict[str, Any]], None], *, sealed: bool) -> None:
    """Edit a document, or one line of a file of documents; `sealed` gives it a hash that fits again."""
    lines = path.read_text().splitlines() if line is not None else [path.read_text()]
    content = json.loads(lines[line or 0])
    edit(content)
    if sealed:
        content.pop(SEAL)
        lines[line or 0] = encode_content(content)
    else:
        lines[line or 0] = json.dumps(content)
    path.write_text("\n".join(lines) + "\n")


def value_at(content: Any, place: Place) -> Any:
    """The value of a field."""
    for key in place:
        content = content[key]
    return content


def set_value(content: dict[str, Any], place: Place, value: object) -> None:
    """Give a field another value."""
    value_at(content, place[:-1])[place[-1]] = value


def remove(content: dict[str, Any], place: Place) -> None:
    """Remove a field."""
    del value_at(content, place[:-1])[place[-1]]


def _other(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.125
    if isinstance(value, str):
        return f"{value}x"
    if value is None:
        return 0.25
    if isinstance(value, list):
        return value + value[:1] if value else [1]
    assert isinstance(value, dict)
    return {f"{key}x": other for key, other in value.items()} or {"x": 1}

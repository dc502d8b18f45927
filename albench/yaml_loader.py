"""YAML as users mean it: `1e-4` is a number, `010` is text, a key occurs once, and a file cannot be a bomb."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

MOST_CHARACTERS = 1_000_000
MOST_VALUES = 100_000
"""Of a document, those that aliases repeat counted each time."""
MOST_LEVELS = 32

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SEXAGESIMAL = "!sexagesimal"


def load_yaml(text: str) -> object:
    """The content of a YAML document as plain values: mappings, lists, text, numbers, true, false and null.

    Numbers are decimal: `010`, `0x10`, `1_000`, `2001-01-01`, `yes` and `off` are text, and `1:30`, which YAML 1.1
    reads as 90, is rejected unless it is quoted.

    Raises:
        yaml.YAMLError: in one sentence, with the line. It is not YAML, a key occurs twice, or the document is longer,
            deeper or larger than `MOST_CHARACTERS`, `MOST_LEVELS` or `MOST_VALUES`.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"a document must have at most {MOST_CHARACTERS} characters, this has {len(text)}")
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise yaml.YAMLError(f"{error.problem or error.context}{where}") from error


@dataclass(frozen=True)
class _Extent:
    """How much a value holds: itself and all values in it, and the levels of nesting."""

    values: int
    levels: int


class _Loader(yaml.SafeLoader):
    """Decimal numbers, no tags, no repeated keys, of which YAML keeps the last, and limits while it reads."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values = self._depth = self._levels = 0  # read so far, open now, in the value that is open
        self._anchored: dict[str, _Extent] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """A value with all in it, counted."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self._add_repeated(event)
            return super().compose_node(parent, index)
        if getattr(event, "tag", None) is not None:
            raise _error(f"a value must be plain, without the tag '{event.tag}'", event)
        if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):
            raise _error("text must be Unicode, without halves of a character", event)
        with self._counted(event):
            return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """A mapping whose keys are plain and differ."""
        lines: dict[object, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.YAMLError(f"a key must be text or a number, that in line {line} is a list or a mapping")
            key = self.construct_object(key_node, deep=True)
            if key in lines:
                raise yaml.YAMLError(f"the key '{key}' occurs twice in line {line}, first in line {lines[key]}")
            lines[key] = line
        return super().construct_mapping(node, deep)

    def _add_repeated(self, alias: yaml.AliasEvent) -> None:
        name = str(alias.anchor)
        if name in self._anchored:
            self._add(self._anchored[name], alias)
        elif name in self.anchors:
            raise _error(f"an alias must not stand in its own value, as '*{name}' does", alias)

    @contextmanager
    def _counted(self, event: yaml.NodeEvent) -> Iterator[None]:
        """Count what the block reads, and remember it under the anchor of the value."""
        before, around = self._values, self._levels
        self._add(_Extent(1, 1), event)
        self._depth, self._levels = self._depth + 1, 0
        yield
        self._depth -= 1
        extent = _Extent(self._values - before, self._levels + 1)
        self._levels = max(around, extent.levels)
        if event.anchor is not None:
            self._anchored[event.anchor] = extent

    def _add(self, extent: _Extent, event: yaml.NodeEvent) -> None:
        self._values += extent.values
        self._levels = max(self._levels, extent.levels)
        if self._depth + extent.levels > MOST_LEVELS:
            raise _error(f"values must be nested at most {MOST_LEVELS} deep", event)
        if self._values > MOST_VALUES:
            raise _error(f"a document must have at most {MOST_VALUES} values", event)


def _error(rule: str, event: yaml.NodeEvent) -> yaml.YAMLError:
    line = event.start_mark.line + 1 if event.start_mark else 0
    return yaml.YAMLError(f"{rule}, it breaks this in line {line}")


def _reject_sexagesimal(loader: _Loader, node: yaml.ScalarNode) -> object:
    raise yaml.YAMLError(
        f"a value such as {node.value} must be quoted if it is text, or written as one number, "
        f"because YAML reads it to the base 60, in line {node.start_mark.line + 1}"
    )


_Loader.add_constructor(_SEXAGESIMAL, _reject_sexagesimal)

# The numbers of YAML 1.2 without octal and hexadecimal ones; PyYAML follows YAML 1.1, where 1e-4 is text and 010 is 8.
for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)$", "~nN"),
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?(?:0|[1-9]\d{0,99})$", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"(?:[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.\d+(?:[eE][-+]?\d+)?|\.(?:inf|Inf|INF))"
        r"|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
    (_SEXAGESIMAL, r"[-+]?\d+(?::\d+)+(?:\.\d*)?$", "-+0123456789"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), [*_first, ""] if "null" in _tag else list(_first))

"""Sealed JSON documents: written with the SHA-256 of their content, read back as dataclasses.

The hash is the document's last key, `sha256`, and is taken over the other keys in canonical form (sorted keys, no
spaces). It detects edits and damage; it is not a signature, because anyone who edits a document can hash it again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from albench.errors import StoreError
from albench.files import atomic_write
from albench.runs.records import FORMAT

SEAL = "sha256"
_END = re.compile(rf'"previous": "(?P<before>[0-9a-f]{{64}})", "{SEAL}": "(?P<own>[0-9a-f]{{64}})"}}$')  # of a record
_SEALED = re.compile(rf',\s*"{SEAL}": "[0-9a-f]{{64}}"\s*}}\s*\Z')

T = TypeVar("T")


def write_document(path: Path, value: object) -> None:
    """Write a dataclass as indented JSON, atomically.

    Raises:
        StoreError: the folder cannot be written.
    """
    text = encode(value, indent=1)
    with atomic_write(path) as file:
        file.write(f"{text}\n".encode())


def read_document(cls: type[T], path: Path, remedy: str) -> T:
    """Read a dataclass that `write_document` wrote.

    Args:
        remedy: what to do if it cannot be read.

    Raises:
        StoreError: it is missing, damaged, or was changed after it was written; the sentence names file and field.
    """
    return decode(cls, read_text(path, remedy), f"'{path}'", remedy)


def is_there(path: Path, remedy: str) -> bool:
    """Whether a file exists. Raises StoreError if its folder cannot be read."""
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"'{path}' cannot be read ({error}): {remedy}") from error


def read_text(path: Path, remedy: str) -> str:
    """The content of a text file. Raises StoreError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise StoreError(f"'{path}' {reason}: {remedy}") from error


def encode(value: object, *, indent: int | None = None) -> str:
    """A dataclass as sealed JSON.

    Raises:
        StoreError: a field has a value that could not be read back, so it is not written.
        ValueError: a number is NaN or infinite, which JSON does not know.
    """
    as_read = json.dumps(dataclasses.asdict(value), allow_nan=False)  # type: ignore[call-overload]
    content = json.loads(as_read)  # keys have become text, and their order is kept
    _validated(type(value), json.dumps(content), f"a {type(value).__name__} must be storable", "give it another value")
    return encode_content(content, indent=indent)


def encode_content(content: dict[str, Any], *, indent: int | None = None) -> str:
    """JSON content as sealed JSON."""
    return json.dumps(content | {SEAL: text_hash(_canonical(content))}, indent=indent, allow_nan=False)


def decode(cls: type[T], text: str, where: str, remedy: str) -> T:
    """The dataclass that `encode` wrote.

    Args:
        where: how the sentence names the document.
        remedy: what to do if it cannot be read.

    Raises:
        StoreError: it is damaged or was changed; the sentence names the field where that is known.
    """
    try:
        content = json.loads(text, parse_constant=_reject_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{where} must hold JSON, it is damaged ({error}): {remedy}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{where} must hold a JSON object, it holds {_short(content)}: {remedy}")
    sealed_with = content.pop(SEAL, None)
    known = getattr(cls, "FORMAT", FORMAT)  # of documents that have a format of their own
    if "format" in getattr(cls, "__dataclass_fields__", ()) and content.get("format") != known:
        raise StoreError(
            f"{where} must be of format {known}, albench {_short(content.get('albench'))} wrote format "
            f"{_short(content.get('format'))}: read it with that version, or use another folder"
        )
    end = _SEALED.search(text)
    unsealed = f"{text[: end.start()]}}}" if end else json.dumps(content)
    value = _validated(cls, unsealed, f"{where} must be as albench wrote it", remedy)
    if sealed_with != text_hash(_canonical(content)):
        why = "has no SHA-256" if sealed_with is None else "does not match its SHA-256"
        raise StoreError(f"{where} was changed after it was written, its content {why}: {remedy}")
    return value


def seal_of(text: str) -> str:
    """The hash that an encoded document is sealed with."""
    end = _END.search(text)
    return end["own"] if end else str(json.loads(text)[SEAL])


def in_order(lines: Sequence[str]) -> bool:
    """Whether lines end as those of a ledger do, each with the hash of the line before it and with its own.

    Their contents are not read, so that it takes no time.
    """
    ends = [_END.search(line) for line in lines]
    seals = [end and end["own"] for end in ends]
    return None not in ends and all(end and end["before"] == seal for end, seal in zip(ends[1:], seals, strict=False))


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _validated(cls: type[T], text: str, rule: str, remedy: str) -> T:
    """JSON without a seal as a dataclass. Raises StoreError that names the first wrong field."""
    try:
        value: T = _adapter(cls).validate_json(text, strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "its content"
        found = "" if first["type"] in ("missing", "extra_forbidden") else f", it is {_short(first['input'])}"
        raise StoreError(f"{rule}, {field} {_rule(first['msg'])}{found}: {remedy}") from error
    return value


def _canonical(content: dict[str, Any]) -> str:
    """One text for equal contents."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def text_hash(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is not a finite number")
    return value


def _rule(message: str) -> str:
    """Pydantic's words as the rest of a sentence."""
    rules = {
        "Field required": "is missing",
        "Extra inputs are not permitted": "is not known to this version",
        "Unexpected keyword argument": "is not known to this version",
    }
    return rules.get(message, message.replace("Input should be", "must be"))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""Names of groups and methods as parts of file names."""

from __future__ import annotations

from collections.abc import Iterable

from albench.errors import ConfigError


def slug(name: str) -> str:
    """A name in lower case, with a hyphen for everything but ASCII letters and digits."""
    kept = [letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()]
    return "-".join(part for part in "".join(kept).split("-") if part) or "group"


def check_distinct(names: Iterable[str]) -> None:
    """Raise ConfigError if files named after two of these names would replace each other."""
    known: dict[str, str] = {}
    for name in names:
        if slug(name) in known:
            raise ConfigError(
                f"names of groups and of methods must differ in letters or digits, '{known[slug(name)]}' and '{name}' "
                "do not: rename one in the suite"
            )
        known[slug(name)] = name

"""One page for each room: what its package hands on, and what is public in its modules."""

from __future__ import annotations

from collections.abc import Mapping

import griffe
from public_names import rooms

FOLDER = "api"


def address(package: str) -> str:
    """Where the page of a package is."""
    return f"{FOLDER}/{package.removeprefix('albench.')}.md"


def api_pages(module: griffe.Module, addresses: Mapping[str, str]) -> dict[str, str]:
    """{address of a page: its Markdown}."""
    return {
        address(package): _page(package, modules, _handed_on(package, addresses))
        for package, modules in rooms(module).items()
    }


def _handed_on(package: str, addresses: Mapping[str, str]) -> list[str]:
    """The names that a package takes from its modules, sorted."""
    return sorted(
        name
        for name, target in addresses.items()
        if name != target and name.rpartition(".")[0] == package and target.startswith(f"{package}.")
    )


def _page(package: str, modules: list[str], handed_on: list[str]) -> str:
    members = "" if package == "albench" else "      members: false\n"
    parts = [
        f"---\ntitle: {package}\nsearch:\n  boost: 0.0005\n---\n",
        f"::: {package}\n    options:\n      heading_level: 1\n{members}",
    ]
    if handed_on:
        parts.append("It hands on " + ", ".join(f"`{name}`" for name in handed_on) + ".\n")
    parts += [f"::: {name}\n" for name in modules]
    return "\n".join(parts)

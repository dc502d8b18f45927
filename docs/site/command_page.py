"""One page with all commands: what `--help` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from albench.cli.main import app

_ABOUT = """\
What `albench COMMAND --help` prints. The exit code is 0 for success, 1 for a finding or a run that failed, and 2 for an
error that a sentence explains."""


def command_page() -> str:
    """The commands of albench with their arguments and options."""
    parts = ["# Commands", _ABOUT]
    for name, command in _commands("albench", get_command(app)):
        parts += [f"## {name}", _help(command), f"    {name} {_usage(command)}", _options(command)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command by its full name; of a group the commands in it."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for below, one in command.commands.items():
        if not one.hidden:
            yield from _commands(f"{name} {below}", one)


def _help(command: Any) -> str:
    return "\n".join(line.strip() for line in (command.help or "").replace("\b", "").splitlines())


def _usage(command: Any) -> str:
    return " ".join(command.collect_usage_pieces(_context(command)))


def _context(command: Any) -> Any:
    return command.context_class(command)


def _options(command: Any) -> str:
    rows = ["| option | meaning |", "| --- | --- |"]
    for parameter in command.params:
        record = None if parameter.hidden else parameter.get_help_record(_context(command))
        if record is not None:
            names, text = record
            rows.append(f"| `{names.replace('|', '&#124;')}` | {_in_cell(text)} |")
    return "\n".join(rows) if len(rows) > 2 else ""


def _in_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "&#124;").replace("<", "&lt;").replace("[", "\\[")

"""What of a run may be public: no absolute paths, no places of data, no command lines of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePosixPath, PureWindowsPath

from pydantic import TypeAdapter

from albench.config import Choice, RunConfig
from albench.errors import StoreError
from albench.runs.command_line import is_worker
from albench.runs.records import ProcessRecord

_PLACES = {"--out", "--data-root", "--storage", "--address", "--bundle", "--compare", "--folder", "-f"}
_PLAIN = re.compile(r"-{0,2}[\w.,+*\[\]{}'\" -]*")  # an option, a name or a value that cannot be a path or an address
_NAMED = re.compile(r"[\w.-]+\.(?:ya?ml|json|csv|py|npz|pth?)(?::\w+)?")  # the name of a file, and a class in it
_PRIVATE = re.compile(r"""(?:^|(?<=[\s'"=(,;]))(?:file://|~?/(?=[\w.])|[A-Za-z]:\\|\\\\)[^\s'",;)]*""")
_SHORTENED = "..."

_CONFIG: TypeAdapter[RunConfig] = TypeAdapter(RunConfig)
_APART = ("strategy", "tuning", "seed")


def public_settings(config: RunConfig) -> tuple[dict[str, object], dict[str, object], dict[str, object] | None]:
    """The settings of a run as JSON content: those of data, protocol, training and network; the strategy; its tuning.

    Left out are where data and files lie, and by which path a plugin was named, none of which count in the digest.
    """
    public = replace(
        config,
        strategy=_named(config.strategy),
        dataset=_named(config.dataset),
        network=_named(config.network),
        locations={},
        files={},
    )
    content = _CONFIG.dump_python(public, mode="json")
    strategy, tuning, _ = (content.pop(name) for name in _APART)
    return content, strategy, tuning


def config_of(
    settings: Mapping[str, object], strategy: Mapping[str, object], tuning: Mapping[str, object] | None, seed: int
) -> RunConfig:
    """The settings that `public_settings` has taken apart. Raises ValidationError."""
    return _CONFIG.validate_python({**settings, "strategy": strategy, "tuning": tuning, "seed": seed})


def public_process(process: ProcessRecord) -> ProcessRecord:
    """A process with a command line that names no folder."""
    command = public_command(process.environment.command)
    return replace(process, environment=replace(process.environment, command=command))


def public_command(arguments: Sequence[str]) -> tuple[str, ...]:
    """A command line with files by their names alone and without folders and addresses; empty for a worker of Ray."""
    if not arguments or is_worker(arguments):
        return ()
    program, shown = _file_name(arguments[0]), []
    for before, argument in pairwise(arguments):
        shown.append(_SHORTENED if before in _PLACES else _shortened(argument))
    return ("albench" if program == "__main__.py" else program, *shown)


def check_public(content: object) -> None:
    """Raise StoreError if some text in JSON content has an absolute path in it, which tells of a machine or a user."""
    for text in _texts(content):
        found = _PRIVATE.search(text)
        if found:
            raise StoreError(
                f"a bundle must not tell where files lie, a name or text in it has '{found[0]}': change it in the "
                "suite or the data"
            )


def _named(choice: Choice) -> Choice:
    return replace(choice, spec=choice.name)


def _shortened(argument: str) -> str:
    option, equals, value = argument.partition("=")
    if equals and option in _PLACES | {"data.root"}:
        return f"{option}={_SHORTENED}"
    if _PLAIN.fullmatch(argument) or (equals and _PLAIN.fullmatch(option) and _PLAIN.fullmatch(value)):
        return argument
    name = _file_name(value if equals else argument)
    shown = name if _NAMED.fullmatch(name) else _SHORTENED
    return f"{option}={shown}" if equals and _PLAIN.fullmatch(option) else shown


def _file_name(path: str) -> str:
    return PurePosixPath(PureWindowsPath(path).as_posix()).name


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(content, Sequence):
        for value in content:
            yield from _texts(value)

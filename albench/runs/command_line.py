"""The command line of a process without its credentials, because it is stored and runs are passed on."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import PurePath

HIDDEN = "***"
_OF_SUITE = "ALBENCH_COMMAND"  # variable by which a suite tells its workers on Ray its command line
_WORKER = "default_worker.py"  # the program of these workers

_LONG = "token|secret|passw(?:or)?d|passphrase|passwd|credential|api-?_?key|access-?_?key|private-?_?key"
_SHORT = "key|keys|pwd|pass|auth|authorization|bearer|sig|signature|pat"
_NAME = rf"(?:[\w.-]*(?:{_LONG})[\w.-]*|(?:[\w.-]*[_.-])?(?:{_SHORT}))"
_OPTION = re.compile(rf"--?{_NAME}", re.IGNORECASE)  # its value is the next argument
_ASSIGNMENT = re.compile(rf"(?<![\w.-])(-{{0,2}}{_NAME}\s*[=:]\s*)(?:bearer\s+|basic\s+)?[^\s&;,]+", re.IGNORECASE)
_USER_OF_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_TOKEN = re.compile(
    r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|xox[abprs]-|AKIA|ASIA|eyJ)[\w.-]{8,}"
    r"|(?i:(?<=bearer )\S+)"
    r"|\b(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{32,}\b"
)


def command_line(arguments: Sequence[str] | None = None) -> tuple[str, ...]:
    """The arguments of a process, by default this one, with `***` in place of passwords, keys and tokens.

    These are the values of options and assignments with such a name, user names and passwords in URLs, and words that
    look like a token, by their prefix or because they are long and mix letters and digits. A worker of a suite on Ray
    has those of the suite.
    """
    shown: list[str] = []
    secret = False
    for argument in _own() if arguments is None else arguments:
        shown.append(HIDDEN if secret and not _OPTION.fullmatch(argument) else _without_secrets(argument))
        secret = _OPTION.fullmatch(argument) is not None
    return tuple(shown)


def is_worker(arguments: Sequence[str]) -> bool:
    """Whether a command line is that of a worker of Ray, which does not tell what it runs."""
    return bool(arguments) and PurePath(arguments[0]).name == _WORKER


def told_to_workers() -> dict[str, str]:
    """Variables of the environment by which the workers of a suite know its command line."""
    return {_OF_SUITE: json.dumps(command_line())}


def _own() -> list[str]:
    told = os.environ.get(_OF_SUITE)
    return json.loads(told) if told and is_worker(sys.argv) else sys.argv


def _without_secrets(text: str) -> str:
    text = _USER_OF_URL.sub(HIDDEN, text)
    text = _ASSIGNMENT.sub(rf"\g<1>{HIDDEN}", text)
    return _TOKEN.sub(HIDDEN, text)

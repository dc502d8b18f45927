"""What must be equal in two runs for a comparison of their strategies, and what is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

from albench.runs.store import Record

_BUYING = ("interval", "budget", "rounds")


def protocol_digest(config: Record, *, buying: bool = True) -> str:
    """Eight hexadecimal digits of data, protocol, training and network; not of strategy, seed or places.

    Args:
        config: the settings of a run.
        buying: count how labels are bought, which does not matter to the supervised reference.
    """
    text = json.dumps(_held_equal(config, buying=buying), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def differences(one: Record, other: Record) -> list[str]:
    """Settings that keep two runs from being compared, as `training.epochs is 5 and not 100`."""
    first, second = dict(_flat(_held_equal(one))), dict(_flat(_held_equal(other)))
    keys = sorted(first.keys() | second.keys(), key=lambda key: (key.endswith("_key"), key))  # a hash explains least
    return [f"{key} is {first.get(key)} and not {second.get(key)}" for key in keys if first.get(key) != second.get(key)]


def differing_options(choice: Record, rivals: Iterable[Record]) -> list[str]:
    """Options, as `name=value`, in which a strategy differs from some rival of the same name."""
    own = choice["options"] | ({"code": choice["code"]} if choice["code"] else {})
    others = [rival["options"] | ({"code": rival["code"]} if rival["code"] else {}) for rival in rivals]
    keys = dict.fromkeys(key for options in (own, *others) for key in options)
    return [f"{key}={own.get(key)}" for key in keys if any(other.get(key) != own.get(key) for other in others)]


def _held_equal(config: Record, *, buying: bool = True) -> Record:
    protocol = {key: value for key, value in config["protocol"].items() if buying or key not in _BUYING}
    network = {key: value for key, value in config["network"].items() if key != "weights"}
    dataset = {key: value for key, value in config["dataset"].items() if key != "spec"}
    return {
        "title": config["title"],
        "dataset": dataset,
        "data_key": config["data_key"],
        "protocol": protocol,
        "training": config["training"],
        "network": network,
        "weights_key": config.get("weights_key"),
    }


def _flat(settings: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

"""The protocol of a run: everything that must be equal in two runs so that their strategies can be compared.

From it follow the labels and groups of runs that no suite names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict

from albench.config import Choice, RunConfig
from albench.settings import as_setting

_LONGEST = 60  # characters of the settings that tell groups apart
_HASHES = ("_key", "code")
_QUERIES = ("interval", "start", "start_embeddings", "budget", "rounds")


def protocol_digest(config: RunConfig, *, queries: bool = True) -> str:
    """Eight hexadecimal digits of data, protocol, training and network; not of strategy, seed or paths.

    Runs of one protocol may have different seeds of their split if `protocol.splits` is not 1.

    Args:
        config: the settings of a run.
        queries: include how many labels are queried and when, which does not affect the supervised reference.
    """
    text = json.dumps(_protocol(config, queries=queries), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def differences(one: RunConfig, other: RunConfig) -> list[str]:
    """Settings that prevent a comparison of two runs, as `training.epochs is 5 and not 100`."""
    first, second = _flat(_protocol(one)), _flat(_protocol(other))
    keys = sorted(first.keys() | second.keys(), key=lambda key: (key.endswith("_key"), key))  # a hash explains least
    return [f"{key} is {first.get(key)} and not {second.get(key)}" for key in keys if first.get(key) != second.get(key)]


def differing_options(choice: Choice, rivals: Iterable[Choice]) -> list[str]:
    """Options, as `name=value`, in which a strategy differs from some rival of the same name."""
    own, others = _options(choice), [_options(rival) for rival in rivals]
    keys = dict.fromkeys(key for options in (own, *others) for key in options)
    foreign = {key for key in keys if "." in key and key not in own}  # options of another inner strategy
    differing = [key for key in keys if any(other.get(key) != own.get(key) for other in others)]
    return [f"{key}={own.get(key)}" for key in differing if key not in foreign]


def labels_and_groups(configs: Sequence[RunConfig]) -> list[tuple[str, str]]:
    """The label and the group of each run: different labels where options differ, and groups where protocols differ.

    A label is the name of the strategy, with the options in which runs of that strategy in the group differ. A group is
    the title of the dataset; if the title has several protocols, with the settings in which they differ, or with the
    digest of the protocol where these are too many, or a hash alone tells them apart.
    """
    protocols = [protocol_digest(config) for config in configs]
    groups = _group_names({digest: _protocol(config) for digest, config in zip(protocols, configs, strict=True)})
    rivals: dict[tuple[str, str], list[Choice]] = {}
    for config, digest in zip(configs, protocols, strict=True):
        rivals.setdefault((digest, config.strategy.name), []).append(config.strategy)
    found = []
    for config, digest in zip(configs, protocols, strict=True):
        options = differing_options(config.strategy, rivals[digest, config.strategy.name])
        label = f"{config.strategy.name} ({', '.join(options)})" if options else config.strategy.name
        found.append((label, groups[digest]))
    return found


def _group_names(protocols: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """{digest: name} of protocols {digest: settings}."""
    of_title: dict[str, dict[str, dict[str, object]]] = {}
    for digest, settings in protocols.items():
        of_title.setdefault(str(settings["title"]), {})[digest] = _flat(settings)
    names: dict[str, str] = {}
    for title, several in of_title.items():
        told = {digest: _told(own, several.values()) for digest, own in several.items()}
        files = {"".join(filter(str.isalnum, text)) for text in told.values()}  # what names of files keep
        clear = len(files) == len(several) and max(map(len, told.values())) <= _LONGEST
        for digest in several:
            more = told[digest] if clear else digest
            names[digest] = title if len(several) == 1 else f"{title} ({more})"
    return names


def _told(own: Mapping[str, object], several: Collection[Mapping[str, object]]) -> str:
    """The settings that all protocols have and that differ, with the names that `--set` takes; no hashes."""
    keys = [key for key in own if not key.endswith(_HASHES) and all(key in other for other in several)]
    differing = [key for key in keys if any(other[key] != own[key] for other in several)]
    return ", ".join(f"{_set_name(key)}={as_setting(own[key])}" for key in differing)


def _set_name(key: str) -> str:
    return key.replace("dataset.options.", "data.").replace("network.options.", "network.").removesuffix(".name")


def _options(choice: Choice) -> dict[str, object]:
    """The options of a strategy, those of a strategy among them too, and the hash of its code if it is a plugin.

    A strategy among them is its name, as `inner`, and its options are `inner.passes` and so on.
    """
    options = _flat(choice.options, plugins_only=True)
    named = {key.removesuffix(".name"): value for key, value in options.items()}
    return named | ({"code": choice.code} if choice.code else {})


def _flat(settings: Mapping[str, object], prefix: str = "", *, plugins_only: bool = False) -> dict[str, object]:
    """Settings by dotted name: those in mappings, or only those in a mapping that is a plugin and so has a name."""
    found: dict[str, object] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and ("name" in value or not plugins_only):
            found |= _flat(value, f"{prefix}{key}.", plugins_only=plugins_only)
        else:
            found[f"{prefix}{key}"] = value
    return found


def _protocol(config: RunConfig, *, queries: bool = True) -> dict[str, object]:
    left_out = (() if queries else _QUERIES) + (() if config.protocol.splits == 1 else ("split_seed",))
    left_out += config.idle()
    protocol = {key: value for key, value in asdict(config.protocol).items() if key not in left_out}
    dataset, network = (
        {key: value for key, value in asdict(choice).items() if key != "spec"}
        for choice in (config.dataset, config.network)
    )
    return {
        "title": config.title,
        "classes": config.classes,
        "dataset": dataset,
        "data_key": config.data_key,
        "protocol": protocol,
        "training": asdict(config.training),
        "network": network,
    }

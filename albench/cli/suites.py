"""Descriptions of suites, for `albench list suites`, `albench bench` without a name, and `albench show`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from albench.benchmarks.suite import SUITES, RunSpec, load_suite, suite_names
from albench.console import new_table
from albench.settings import as_setting


def is_suite(name: str) -> bool:
    """Whether a name is that of a suite of albench, or of a YAML file, which can only be one."""
    return name in suite_names() or Path(name).suffix in (".yaml", ".yml")


def suite_table() -> Table:
    """The suites of albench with their first sentences. Raises ConfigError: a suite is wrong."""
    table = new_table("name", "dataset", "methods", "runs", "description", numbers=("methods", "runs"))
    for suite in map(load_suite, suite_names()):
        counts = (str(len(_labels(suite.runs))), str(len(suite.runs)))
        table.add_row(suite.name, ", ".join(_datasets(suite.runs)), *counts, re.split(r"(?<=[.?]) ", suite.about)[0])
    return table


def describe_suite(name: str) -> str:
    """Purpose, data, methods and settings of a suite, by its name or the path of its file. Raises ConfigError."""
    suite = load_suite(name)
    runs = suite.runs
    shared = _shared([_all_settings(run) for run in runs])
    groups = list(dict.fromkeys(run.group for run in runs if run.group))
    facts = {
        "Datasets": ", ".join(_datasets(runs)),
        "Network": ", ".join(dict.fromkeys(run.network for run in runs)),
        "Seeds": ", ".join(map(str, dict.fromkeys(run.seed for run in runs))),
        "Groups": "; ".join(groups),
        "Runs": str(len(runs)),
        "Settings of all": _listed({name: value for name, value in shared.items() if name != "network"}),
        "File": str(SUITES / f"{name}.yaml" if name in suite_names() else name),
    }
    lines = [suite.name, "", *([suite.about, ""] if suite.about else [])]
    lines += [f"{title}: {value}" for title, value in facts.items() if value]
    lines += ["", "Methods:"]
    for label in _labels(runs):
        own = [run for run in runs if run.label == label]
        more = {k: v for k, v in _shared([run.settings for run in own]).items() if k not in shared}
        strategy = "" if own[0].strategy == label else f"{own[0].strategy}, "
        lines.append(f"  {label}  {strategy}{_listed(more)}".rstrip(" ,"))
    for group in groups:
        of_group = _shared([_all_settings(run) for run in runs if run.group == group])
        lines.append(
            f"  in group {group}:  {_listed({k: v for k, v in of_group.items() if k not in shared})}".rstrip(" :")
        )
    return "\n".join([*lines, "", f"albench bench {name} --plan estimates its time and disk space."])


def _labels(runs: Sequence[RunSpec]) -> list[str]:
    return list(dict.fromkeys(run.label for run in runs))


def _datasets(runs: Sequence[RunSpec]) -> list[str]:
    return list(dict.fromkeys(run.dataset_name or run.dataset for run in runs))


def _all_settings(run: RunSpec) -> dict[str, object]:
    """The network of a run, and its settings."""
    return {"network": run.network, **run.settings}


def _shared(settings: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """The settings that all have in common."""
    first, *others = settings
    return {name: value for name, value in first.items() if all(other.get(name, ...) == value for other in others)}


def _listed(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={as_setting(value)}" for name, value in settings.items())

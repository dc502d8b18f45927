"""The optimizer steps of a round that all methods of a group take, with `protocol.compute=matched`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from albench.benchmarks.suite import RunSpec
from albench.errors import ConfigError
from albench.resolve import Datasets, common_settings, make_strategy


def matched(specs: Sequence[RunSpec], datasets: Datasets) -> list[RunSpec]:
    """The runs, with `protocol.steps` set where their compute is matched and the user did not choose a number.

    The number is that of the longest method of the group: `training.steps` for every training between two evaluations.

    Args:
        specs: all runs of a suite.
        datasets: of these runs.

    Raises:
        ConfigError: a setting is wrong, or a method has no other one to match.
    """
    steps = {
        group: _longest(group, [spec for spec in specs if spec.group == group], datasets) for group in _groups(specs)
    }
    return [
        spec
        if steps[spec.group] is None
        else replace(spec, settings={**spec.settings, "protocol.steps": steps[spec.group]})
        for spec in specs
    ]


def _groups(specs: Iterable[RunSpec]) -> list[str]:
    return list(dict.fromkeys(spec.group for spec in specs))


def _longest(group: str, specs: Sequence[RunSpec], datasets: Datasets) -> int | None:
    """The steps of the longest method; None if nothing has to be matched."""
    methods = {spec.label: spec for spec in specs}
    found = []
    for spec in methods.values():
        protocol, training = common_settings(datasets.make(spec.dataset, spec.settings), spec.settings)
        if protocol.compute == "own" or protocol.steps is not None:
            return None
        found.append(training.steps * make_strategy(spec.strategy, spec.settings).trainings())
    if len(methods) < 2:
        where = f" of group '{group}'" if group else ""
        raise ConfigError(
            f"protocol.compute=matched needs at least two methods, '{next(iter(methods))}' is the only one{where}: add "
            "a method, or set protocol.steps"
        )
    return max(found)

"""What training and inference cost per slice on a device, mostly from the records of `make speed`.

A record has the cost of some strategies with networks of one or several sizes, as `albench.benchmarks.speed.unit_costs`
measures it. The size of a network is the arithmetic of its forward pass over a slice. The cost of a run is that of
`REFERENCE` at the size of its network, between two measured sizes by a power law, times the cost of its strategy
relative to `REFERENCE`, which is taken from the nearest size at which the strategy was measured.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from albench.benchmarks.estimate import Probe
from albench.benchmarks.network_size import NetworkSize
from albench.benchmarks.plan import PlannedRun
from albench.registry import is_own
from albench.resolve import make_strategy
from albench.strategy import Strategy

RECORDS = Path(__file__).parent / "speed" / "records"
FINDING = "unit_costs"
REFERENCE = "entropy"  # one training per round, one forward pass per unlabeled slice

_NAME = re.compile(r"(?P<gflop>[\d.e+-]+) GFLOP, (?P<method>.+), (?P<part>\w+)")
_UNITS = {"ms": 1e-3, "bytes": 1.0}
_BEYOND = 2.0  # a network may be smaller or larger than all that were measured by this factor


def row_name(gflop: float, method: str, part: str) -> str:
    """The name of a row of a record: arithmetic of a forward pass over a slice, strategy, and a field of `Probe`."""
    return f"{gflop:.4g} GFLOP, {method}, {part}"


@dataclass(frozen=True)
class UnitCosts:
    """What strategies cost on one device.

    Attributes:
        device: in words.
        source: where the numbers are from, in words.
        measured: by GFLOP of a forward pass over a slice and by strategy; weights are not known.
        others: costs of other devices, for strategies that were not measured on this one.
    """

    device: str
    source: str
    measured: Mapping[float, Mapping[str, Probe]]
    others: Sequence[UnitCosts] = ()

    def probe(self, run: PlannedRun, size: NetworkSize) -> Probe:
        """What a run costs on this device; seconds are NaN where nothing like it was measured."""
        method = make_strategy(run.spec.strategy, run.spec.settings)
        relative = next(filter(None, (costs.relative(method, size) for costs in (self, *self.others))), None)
        if relative is None or not min(self.measured) / _BEYOND <= size.gflop <= max(self.measured) * _BEYOND:
            return Probe(math.nan, math.nan, math.nan, math.nan)
        return Probe(
            fit=self._seconds(size, "fit") * relative.fit,
            evaluate=self._seconds(size, "evaluate") * relative.evaluate,
            query=self._seconds(size, "query") * relative.query,
            training=self._seconds(size, "fit") * relative.training,
        )

    def relative(self, method: Strategy, size: NetworkSize) -> Probe | None:
        """The cost of a strategy relative to `REFERENCE`, at the nearest size; None if it was not measured."""
        trained = method.trains_as()  # what a wrapper does beside is not measured
        known = [gflop for gflop, probes in self.measured.items() if trained.name in probes]
        if not known or not (is_own(type(method)) and is_own(type(trained))):
            return None
        nearest = self.measured[min(known, key=lambda gflop: abs(math.log(gflop / size.gflop)))]
        own, reference = nearest[trained.name], nearest[REFERENCE]
        return Probe(
            fit=own.fit / reference.fit,
            evaluate=own.evaluate / reference.evaluate,
            query=_with_predictions(own.query / reference.query, method, type(trained)()),
            training=own.training / reference.fit if method.trainings() > 1 else 0.0,
        )

    @property
    def all_probes(self) -> Iterator[tuple[str, Probe]]:
        """Every strategy with its cost, at every size."""
        return chain.from_iterable(probes.items() for probes in self.measured.values())

    def _seconds(self, size: NetworkSize, part: str) -> float:
        """Seconds per slice of `REFERENCE`; beyond the measured sizes proportional to the arithmetic."""
        sizes = sorted(self.measured)
        seconds = [getattr(self.measured[gflop][REFERENCE], part) for gflop in sizes]
        inside = min(max(size.gflop, sizes[0]), sizes[-1])
        return math.exp(np.interp(math.log(inside), np.log(sizes), np.log(seconds))) * size.gflop / inside


def _with_predictions(passes: float, method: Strategy, measured: Strategy) -> float:
    """The cost of a query in forward passes, if options or a wrapper predict more or less than what was measured."""
    own, before = method.predictions_per_slice(), measured.predictions_per_slice()
    if own is None or before is None:
        return passes
    return passes + (own - before) * (passes / before if before else 1.0)


def recorded_costs(folder: Path = RECORDS) -> list[UnitCosts]:
    """The newest record of every device, GPUs first."""
    newest: dict[str, UnitCosts] = {}
    for path in sorted(folder.glob("*.json")):  # their names begin with the date
        for finding in json.loads(path.read_text())["findings"]:
            if finding["name"] == FINDING:
                found = _read(finding, path)
                newest[found.device] = found
    return sorted(newest.values(), key=lambda costs: "thread" in costs.device)


def _read(finding: dict[str, Any], path: Path) -> UnitCosts:
    hardware, measured = finding["hardware"], dict[float, dict[str, dict[str, float]]]()
    for row in finding["rows"]:
        name = _NAME.fullmatch(row["name"])
        assert name, row["name"]
        strategies = measured.setdefault(float(name["gflop"]), {})
        strategies.setdefault(name["method"], {})[name["part"]] = row["value"]["median"] * _UNITS[row["unit"]]
    return UnitCosts(
        device=hardware["gpu"] or f"{hardware['cpu']} with 1 thread",
        source=finding.get("notes", {}).get("computed from", path.name),
        measured={size: _probes(strategies) for size, strategies in measured.items()},
    )


def _probes(parts: Mapping[str, Mapping[str, float]]) -> dict[str, Probe]:
    """The costs of all strategies with a network of one size; what was not measured of one is that of `REFERENCE`."""
    common = {"fit": parts[REFERENCE]["fit"], "evaluate": parts[REFERENCE]["evaluate"], "query": 0.0, "training": 0.0}
    return {method: Probe(**{**common, **own}) for method, own in parts.items()}

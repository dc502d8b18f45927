"""What training and inference cost on other machines, from the records of `albench.benchmarks.speed.unit_costs`.

A record has the cost per slice of some strategies on one device, with networks of several sizes. The size of a network
is the arithmetic of its forward pass over a slice. The cost of a run is that of `REFERENCE` at the size of its network,
between two measured sizes by a power law, times the cost of its strategy relative to `REFERENCE`, which is taken from
the nearest size at which the strategy was measured.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from albench.benchmarks.estimate import Probe
from albench.benchmarks.network_size import NetworkSize
from albench.benchmarks.plan import PlannedRun
from albench.registry import is_own
from albench.resolve import make_strategy

RECORDS = Path(__file__).parent / "speed" / "records"
FINDING = "unit_costs"
REFERENCE = "entropy"  # one training per round, one forward pass per unlabeled slice

_NAME = re.compile(r"(?P<gflop>[\d.e+-]+) GFLOP, (?P<method>.+), (?P<part>\w+)")
_TIMED = ("fit", "evaluate", "query", "training")
_BEYOND = 2.0  # a network may be smaller or larger than all that were measured by this factor


def row_name(gflop: float, method: str, part: str) -> str:
    """The name of a row of a record: the arithmetic of a forward pass over a slice, the strategy, a field of `Probe`."""
    return f"{gflop:.4g} GFLOP, {method}, {part}"


@dataclass(frozen=True)
class RecordedCosts:
    """What strategies cost on one device.

    Attributes:
        device: in words.
        source: name of the record.
        date: of the measurement.
        measured: by GFLOP of a forward pass over a slice and by strategy; weights are not known.
    """

    device: str
    source: str
    date: str
    measured: Mapping[float, Mapping[str, Probe]]

    def probe(self, run: PlannedRun, size: NetworkSize) -> Probe:
        """What a run costs on this device; seconds are NaN where nothing like it was measured."""
        unknown = Probe(math.nan, math.nan, math.nan, math.nan)
        method = make_strategy(run.spec.strategy, run.spec.settings)
        trained = method.trains_as()  # what a wrapper adds takes no prediction
        own = all(map(is_own, (type(method), type(trained))))
        nearest = self._nearest(trained.name, size.gflop) if own else None
        if nearest is None or not min(self._sizes) / _BEYOND <= size.gflop <= max(self._sizes) * _BEYOND:
            return unknown
        there, reference = self.measured[nearest][trained.name], self.measured[nearest][REFERENCE]
        more = _more_predictions(method.predictions_per_slice(), type(trained)().predictions_per_slice())
        return Probe(
            fit=self._at(size.gflop, "fit") * there.fit / reference.fit,
            evaluate=self._at(size.gflop, "evaluate") * there.evaluate / reference.evaluate,
            query=self._at(size.gflop, "query") * there.query / reference.query * more,
            training=self._at(size.gflop, "fit") * there.training / reference.fit,
        )

    def files_per_slice(self, method: str) -> float:
        """Bytes of the files of a round beside the weights, per slice of the pool; NaN if they were not measured."""
        found = [probes[method].masks for probes in self.measured.values() if method in probes]
        return max((size for size in found if size), default=math.nan)

    @cached_property
    def _sizes(self) -> list[float]:
        return sorted(size for size, probes in self.measured.items() if REFERENCE in probes)

    def _nearest(self, method: str, gflop: float) -> float | None:
        known = [size for size in self._sizes if method in self.measured[size]]
        return min(known, key=lambda size: abs(math.log(size / gflop)), default=None)

    def _at(self, gflop: float, part: str) -> float:
        """Seconds per slice of `REFERENCE`; beyond the measured sizes proportional to the arithmetic."""
        seconds = [getattr(self.measured[size][REFERENCE], part) for size in self._sizes]
        inside = min(max(gflop, self._sizes[0]), self._sizes[-1])
        found = math.exp(np.interp(math.log(inside), np.log(self._sizes), np.log(seconds)))
        return found * gflop / inside


def _more_predictions(own: float | None, default: float | None) -> float:
    """Predictions of a query relative to those with the default options, for which it was measured."""
    return own / default if own and default else 1.0


def recorded_costs(folder: Path = RECORDS) -> list[RecordedCosts]:
    """The newest record of every device, GPUs first."""
    newest: dict[str, RecordedCosts] = {}
    for path in sorted(folder.glob("*.json")):  # their names begin with the date
        for finding in json.loads(path.read_text())["findings"]:
            if finding["name"] == FINDING:
                found = _read(finding, path.name)
                newest[found.device] = found
    return sorted(newest.values(), key=lambda costs: "thread" in costs.device)


def _read(finding: Mapping[str, object], source: str) -> RecordedCosts:
    hardware, rows = finding["hardware"], finding["rows"]
    assert isinstance(hardware, dict)
    assert isinstance(rows, list)
    measured: dict[float, dict[str, dict[str, float]]] = {}
    for row in rows:
        parts = _NAME.fullmatch(row["name"])
        assert parts, row["name"]
        unit = {"ms": 1e-3, "bytes": 1.0}[row["unit"]]
        probes = measured.setdefault(float(parts["gflop"]), {})
        probes.setdefault(parts["method"], {})[parts["part"]] = row["value"]["median"] * unit
    missing = dict.fromkeys(_TIMED, 0.0)
    return RecordedCosts(
        device=hardware["gpu"] or f"{hardware['cpu']} with 1 thread",
        source=source,
        date=str(finding["date"]),
        measured={
            size: {method: Probe(**missing | parts) for method, parts in probes.items()}  # type: ignore[arg-type]
            for size, probes in measured.items()
        },
    )

"""Where the costs of a plan come from: records of some devices, or a probe on this machine with made-up slices."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import chain

from albench.benchmarks.estimate import Probe
from albench.benchmarks.network_size import NetworkSize
from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.quick_probe import batch_here, quick_probe
from albench.benchmarks.suite import RunSpec
from albench.benchmarks.unit_costs import REFERENCE, UnitCosts, recorded_costs
from albench.resolve import make_strategy
from albench.run_session import Execution
from albench.strategy import Strategy


class Records:
    """The records of all devices, and the sizes of the networks that they are asked for."""

    def __init__(self) -> None:
        self.devices = recorded_costs()
        self._sizes: dict[str, NetworkSize] = {}

    def size(self, run: PlannedRun) -> NetworkSize:
        """The size of the network of a run, found once for all that have the same."""
        strategy = make_strategy(run.spec.strategy, run.spec.settings).trains_as()
        usual = type(strategy).network is Strategy.network
        key = repr((run.config.network, run.shape, run.config.classes, None if usual else run.config.strategy))
        if key not in self._sizes:
            self._sizes[key] = NetworkSize.of(run)
        return self._sizes[key]

    def cost(self, run: PlannedRun, costs: UnitCosts) -> Probe:
        """What a run costs on a device, with the disk space of its rounds; seconds are NaN if they are not known."""
        size = self.size(run)
        return replace(costs.probe(run, size), weights=size.weights, masks=self._masks(run))

    def _masks(self, run: PlannedRun) -> float:
        """Bytes of other files per slice; a strategy whose files were not measured is taken to write as much as any."""
        name = make_strategy(run.spec.strategy, run.spec.settings).trains_as().name
        known: dict[str, float] = {}
        for method, probe in chain.from_iterable(costs.all_probes for costs in self.devices):
            if probe.masks:  # the larger the pool, the less does what every round has count
                known[method] = min(probe.masks, known.get(method, probe.masks))
        return known.get(name, max(known.values()))


class MadeUpProbe:
    """Times the networks of a suite on this machine, and strategies that no record has; no data are needed.

    Args:
        execution: how the runs are computed.
        records: what strategies cost relative to each other.
        on_probe: called with the name of what is timed.
    """

    def __init__(self, execution: Execution, records: Records, on_probe: Callable[[str], None]) -> None:
        self._execution, self._records, self._on_probe = execution, records, on_probe
        self._measured: dict[tuple[object, ...], UnitCosts] = {}

    def cost(self, run: PlannedRun) -> Probe:
        """What a run costs here, with the disk space of its rounds."""
        found = self._records.cost(run, self._network(run))
        if not math.isnan(found.fit):
            return found
        return replace(found, **_seconds(self._timed(run.spec, run)))

    def _network(self, run: PlannedRun) -> UnitCosts:
        gflop = self._records.size(run).gflop
        key = (gflop, run.shape, run.config.training.batch_size)
        if key not in self._measured:
            timed = self._timed(_reference(run.spec), run)
            self._measured[key] = UnitCosts("", "", {gflop: {REFERENCE: timed}}, self._records.devices)
        return self._measured[key]

    def _timed(self, spec: RunSpec, run: PlannedRun) -> Probe:
        self._on_probe(spec.label)
        return quick_probe(spec, run.shape, batch_here(run, self._execution), self._execution)


def _reference(spec: RunSpec) -> RunSpec:
    settings = {name: value for name, value in spec.settings.items() if not name.startswith("strategy.")}
    return replace(spec, strategy=REFERENCE, label=REFERENCE, settings=settings, tuned=None)


def _seconds(timed: Probe) -> dict[str, float]:
    return {part: getattr(timed, part) for part in ("fit", "evaluate", "query", "training")}

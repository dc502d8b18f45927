"""The cost of a strategy on this machine without data: its small version of a run, on a few made-up slices."""

from __future__ import annotations

from dataclasses import replace

from albench.benchmarks.estimate import Probe, probe
from albench.benchmarks.plan import PlannedRun, resolve_run
from albench.benchmarks.stand_in import MadeUpDatasets
from albench.benchmarks.suite import RunSpec
from albench.run_session import Execution

_CASES = 4
_PIXELS = 1 << 18  # of a batch on a CPU, where the time of a slice hardly depends on the batch


def quick_probe(spec: RunSpec, shape: tuple[int, int, int], batch: int, execution: Execution) -> Probe:
    """Time two rounds of two epochs. Raises AlbenchError, as the run itself would.

    Args:
        spec: the run; its data need not be there.
        shape: channels, height and width of a slice.
        batch: slices of an optimizer step.
        execution: how the runs are computed.
    """
    return probe(_small(spec, batch), execution, _datasets(shape, batch))


def made_up(spec: RunSpec, shape: tuple[int, int, int], batch: int) -> PlannedRun:
    """The run that is timed, as a suite plans it."""
    small = _small(spec, batch)
    return PlannedRun.of(small, resolve_run(small, datasets=_datasets(shape, batch)))


def batch_here(run: PlannedRun, execution: Execution) -> int:
    """The batch with which a run is timed: its own on a GPU, on a CPU a smaller one of large slices."""
    _, height, width = run.shape
    fits = run.config.training.batch_size
    return fits if execution.device.type == "cuda" else max(2, min(fits, _PIXELS // (height * width)))


def _small(spec: RunSpec, batch: int) -> RunSpec:
    protocol = {"protocol.interval": _interval(batch), "protocol.budget": 2, "protocol.start_embeddings": None}
    return replace(spec, settings={**spec.settings, **protocol, "training.batch_size": batch})


def _datasets(shape: tuple[int, int, int], batch: int) -> MadeUpDatasets:
    """Cases in which a batch or half of one is labeled first."""
    return MadeUpDatasets(_CASES, batch * _interval(batch) if batch > 4 else batch, shape)


def _interval(batch: int) -> int:
    return 4 if batch > 4 else 2

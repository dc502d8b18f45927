"""What does every strategy cost per slice, and the same network with other sizes? For `albench bench --plan`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from unittest.mock import patch

import torch

from albench.benchmarks.estimate import Probe, probe
from albench.benchmarks.network_size import NetworkSize
from albench.benchmarks.plan import PlannedRun, resolve_run
from albench.benchmarks.recorded_costs import REFERENCE, row_name
from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.record import Row, main
from albench.benchmarks.stand_in import MadeUpDatasets
from albench.benchmarks.suite import RunSpec
from albench.registry import STRATEGIES, available
from albench.resolve import make_strategy
from albench.run_session import Execution
from albench.strategy import Strategy

_GPU = synthetic.DEVICE.type == "cuda"
_SMALL: Mapping[str, object] = {
    **{"network.backbone": "resnet18", "network.decoder_width": 32, "network.stem_stride": 2},
}
_PAPER: Mapping[str, object] = {
    **{"network.backbone": "resnet50", "network.width": 1.0, "network.decoder_width": 256, "network.stem_stride": 4},
}


@dataclass(frozen=True)
class _Size:
    """What is measured: settings of the network, its slices, and how many it trains on in a batch.

    On a CPU the time of a slice does not depend on the batch, so batches of large slices are small there.
    """

    network: Mapping[str, object]
    side: int
    batch: int
    turns: int
    methods: tuple[str, ...] = (REFERENCE,)


_METHODS = tuple(
    entry.name
    for entry in available(STRATEGIES)
    if entry.cls is not None and entry.cls.kind != "wrapper"  # type: ignore[attr-defined]
)
_SIZES = (
    _Size(_SMALL | {"network.width": 0.125}, 32, 16, 3),
    _Size(_SMALL | {"network.width": 0.25}, 64, 16, 3, _METHODS),
    _Size(_SMALL | {"network.width": 0.5}, 96, 16, 3),
    _Size(_PAPER, 240, 32 if _GPU else 4, 1, _METHODS if _GPU else (REFERENCE, "star")),
    _Size(_PAPER, 512, 16 if _GPU else 2, 1, _METHODS if _GPU else (REFERENCE,)),
)


def measure() -> Iterator[Row]:
    """Milliseconds per slice, and bytes of the files of a round beside the weights, per slice of the pool.

    A round of every strategy on four made-up cases, as `albench bench --plan` times it. On a CPU with one thread; its
    seconds are those that the process computed, so that other programs on the machine hardly disturb them.
    """
    torch.set_num_threads(1)
    _timed(_SIZES[0], REFERENCE)  # libraries are loaded and have chosen their algorithms
    for size in _SIZES:
        for method in size.methods:
            gflop, probes = _timed(size, method)
            note = f"{size.side} x {size.side}, batches of {size.batch}"
            for part in _parts(method):
                spread = Spread.of([getattr(found, part) * 1e3 for found in probes])
                yield Row(row_name(gflop, method, part), spread, unit="ms", note=note)
            masks = Spread.of([found.masks for found in probes])
            yield Row(row_name(gflop, method, "masks"), masks, unit="bytes", note=note)


def _parts(method: str) -> list[str]:
    """What is measured of a strategy: of those that train like all, not what they have in common."""
    own = make_strategy(method, {})
    parts = ["query", *(["training"] if own.trainings() > 1 else [])]
    like_all = own.shares_round_zero and type(own).network is Strategy.network and method != REFERENCE
    return parts if like_all else ["fit", "evaluate", *parts]


def _timed(size: _Size, method: str) -> tuple[float, list[Probe]]:
    """GFLOP of a forward pass over a slice, and what a strategy cost in every turn."""
    settings = size.network | {
        "protocol.interval": 4 if size.batch > 4 else 2,
        "protocol.budget": 2,
        "training.batch_size": size.batch,
    }
    spec = RunSpec(method, "", method, "phantom", 0, settings)
    depth = size.batch * 4 if size.batch > 4 else size.batch
    datasets = MadeUpDatasets(4, depth, (1, size.side, size.side))
    gflop = NetworkSize.of(PlannedRun.of(spec, resolve_run(spec, datasets=datasets))).gflop
    execution = Execution(synthetic.DEVICE)
    return gflop, [_probe(spec, execution, datasets) for _ in range(size.turns)]


def _probe(spec: RunSpec, execution: Execution, datasets: MadeUpDatasets) -> Probe:
    """A probe; on a CPU with the clock of what this process computes, not of the time that passes."""
    if _GPU:
        return probe(spec, execution, datasets)
    with patch.object(time, "perf_counter", time.process_time):
        return probe(spec, execution, datasets)


if __name__ == "__main__":
    main("unit_costs", measure)

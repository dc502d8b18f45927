"""What does every strategy cost per slice, and the same network with other sizes? For `albench bench --plan`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from unittest.mock import patch

import torch

from albench.benchmarks.estimate import Probe
from albench.benchmarks.network_size import NetworkSize
from albench.benchmarks.quick_probe import made_up, quick_probe
from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.record import Row, main
from albench.benchmarks.suite import RunSpec
from albench.benchmarks.unit_costs import REFERENCE, row_name
from albench.registry import STRATEGIES, available, is_own, options_of
from albench.resolve import make_strategy
from albench.run_session import Execution
from albench.strategy import Strategy
from albench.wrapper import Wrapper

_GPU = synthetic.DEVICE.type == "cuda"
_SMALL: Mapping[str, object] = {
    **{"network.backbone": "resnet18", "network.decoder_width": 32, "network.stem_stride": 2},
}
_PAPER = {f"network.{name}": value for name, value in options_of(synthetic.PAPER).items()}


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


def _sizes() -> list[_Size]:
    """From the smallest network to that of the paper."""
    own = [entry for entry in available(STRATEGIES) if entry.cls is not None and is_own(entry.cls)]
    methods = tuple(entry.name for entry in own if not issubclass(entry.cls, Wrapper))  # type: ignore[arg-type]
    return [
        _Size({**_SMALL, "network.width": 0.125}, 32, 16, 3),
        _Size({**_SMALL, "network.width": 0.25}, 64, 16, 3, methods),
        _Size({**_SMALL, "network.width": 0.5}, 96, 16, 3),
        _Size(_PAPER, 240, 32 if _GPU else 4, 1, methods if _GPU else (REFERENCE,)),
        _Size(_PAPER, 512, 16 if _GPU else 2, 1, methods if _GPU else (REFERENCE,)),
    ]


def measure() -> Iterator[Row]:
    """Milliseconds per slice, and bytes of the files of a round beside the weights, per slice of the pool.

    A round of every strategy on four made-up cases, as `albench bench --plan` times it. On a CPU with one thread; its
    seconds are those that the process computed, so that other programs on the machine hardly disturb them.
    """
    torch.set_num_threads(1)
    sizes = _sizes()
    _timed(sizes[0], REFERENCE)  # libraries are loaded and have chosen their algorithms
    for size in sizes:
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
    spec, shape = RunSpec(method, "", method, "phantom", 0, size.network), (1, size.side, size.side)
    gflop = NetworkSize.of(made_up(spec, shape, size.batch)).gflop
    with _clock():
        return gflop, [quick_probe(spec, shape, size.batch, Execution(synthetic.DEVICE)) for _ in range(size.turns)]


def _clock() -> AbstractContextManager[object]:
    """On a CPU the clock of what this process computes, not of the time that passes."""
    return nullcontext() if _GPU else patch.object(time, "perf_counter", time.process_time)


if __name__ == "__main__":
    main("unit_costs", measure)

"""How do the time and memory of a query grow with the pool, with every strategy?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread
from albench.benchmarks.speed.peak_memory import unmapped, watching
from albench.benchmarks.speed.record import Row, main
from albench.registry import STRATEGIES, available
from albench.resolve import make_strategy
from albench.temporary import temporary_folder

_SIZES = (1000, 2000, 4000, 8000)
_LABELED = 300  # of the first slices every tenth is labeled, whatever the size of the pool
_SIDE = 64
TRAINING = replace(synthetic.TRAINING, batch_size=64)


def measure() -> Iterator[Row]:
    """Pools of 1,000 to 8,000 slices, the smallest network, 30 labeled slices, a budget of 16; STAR trains one epoch.

    The exponent is the slope of log time over log pool size, of the faster of two queries. The memory is the growth of
    the process with the largest pool, relative to the bytes of the pool and one batch.
    """
    names = [entry.name for entry in available(STRATEGIES) if entry.name != "full"]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    memory: dict[str, float] = {}
    for size in _SIZES:
        with temporary_folder() as folder:
            prepared = synthetic.made_up(size, _SIDE, folder)
            batch = bytes_of_a_batch()
            for name in names:
                took, grown = query(name, prepared)
                again, _ = query(name, prepared)
                seconds[name].append(min(took, again))
                memory[name] = grown / (prepared.images.nbytes + batch)
    for name in names:
        sizes = ", ".join(f"{size} slices {took:.3g} s" for size, took in zip(_SIZES, seconds[name], strict=True))
        yield Row(f"{name}, exponent", Spread.of([slope(seconds[name])]), "<= 1.1", note=sizes)
        yield Row(f"{name}, memory", Spread.of([memory[name]]), "<= 1")


def query(name: str, prepared: synthetic.Prepared) -> tuple[float, int]:
    """Seconds of one query, and its peak memory in bytes."""
    strategy = make_strategy(name, {})
    ctx = synthetic.make_round(strategy, prepared, synthetic.SMALLEST, labeled=_LABELED, training=TRAINING)
    for mapped in (prepared.images, prepared.masks):
        unmapped(mapped)
    with watching() as growth:
        start = time.perf_counter()
        strategy.query(ctx)
        took = time.perf_counter() - start
    return took, growth.bytes


def slope(seconds: list[float]) -> float:
    """Exponent of the power law in the size of the pool, by least squares."""
    return float(np.polyfit(np.log(_SIZES), np.log(seconds), 1)[0])


def bytes_of_a_batch() -> int:
    """Peak memory of a training step: gradients, activations and the state of the optimizer."""
    with temporary_folder() as folder:
        prepared = synthetic.made_up(TRAINING.batch_size, _SIDE, folder)
        strategy = make_strategy("random", {})
        ctx = synthetic.make_round(
            strategy, prepared, synthetic.SMALLEST, labeled=TRAINING.batch_size, training=TRAINING
        )
        masks = prepared.masks[: TRAINING.batch_size]
        with watching() as growth:
            ctx.learner.fit(dict(enumerate(masks)), strategy.loss)
    return growth.bytes


if __name__ == "__main__":
    main("scale", measure)

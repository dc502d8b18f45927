"""How long do the parts of a round take on a dataset as large as BraTS? Needs a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from albench.benchmarks.estimate import SMALL
from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.inference import bare_passes
from albench.benchmarks.speed.interleave import Spread, interleaved
from albench.benchmarks.speed.paper_round import Size, TimedRound, resolved, warm_up
from albench.benchmarks.speed.record import Row, main
from albench.benchmarks.speed.star_query import in_passes
from albench.benchmarks.suite import load_suite

_STRATEGIES = ("entropy", "star")
_TURNS = 3


def measure() -> Iterator[Row]:
    """Round 0 of two strategies of `paper-brats`: 76 cases of 155 slices of 240 x 240, ResNet-50.

    The data are made on the GPU. A training has two epochs, of which the second counts.
    """
    specs = {spec.label: spec for spec in load_suite("paper-brats", seeds=[0]).runs}
    size = Size.of(specs[_STRATEGIES[0]])
    prepared = synthetic.volumes(sum(size.cases), size.depth, size.side)
    warm_up(specs[_STRATEGIES[0]], prepared, SMALL)
    passes: list[float] = []
    for name in _STRATEGIES:
        timed = TimedRound(resolved(specs[name], prepared, size.cases, SMALL))
        ctx = timed.turn.given
        note = f"{len(ctx.pool.labeled)} labeled, {len(ctx.pool.unlabeled)} unlabeled slices"
        yield _seconds(f"{name}, an epoch of fit", timed.fit()[-1], note)
        cost = timed.evaluate_and_query()
        trained = cost.query_epoch_seconds
        yield _seconds(f"{name}, query without its training", cost.seconds.query - sum(trained), note)
        if trained:
            yield _seconds(f"{name}, an epoch of the training in the query", trained[-1], note)
        yield _seconds(f"{name}, evaluation", cost.seconds.evaluate, f"{sum(size.cases[1:])} cases")
        passes = passes or _passes(timed)
        evaluation = Spread.of([cost.seconds.evaluate / seconds for seconds in passes])
        yield Row(f"{name}, evaluation, in forward passes over its slices", evaluation, "<= 1.3")
        if trained:
            passed = in_passes(timed.session.strategy, ctx, _TURNS)
            yield Row(f"{name}, query without its training, in forward passes", passed, "<= 1.6")


def _seconds(name: str, seconds: float, note: str) -> Row:
    return Row(name, Spread.of([seconds]), unit="s", note=note)


def _passes(timed: TimedRound) -> list[float]:
    """Seconds of bare forward passes over the slices that a round evaluates."""
    learner = timed.turn.given.learner
    parts = [part.slices for part in (timed.session.val, timed.session.test) if part]
    images = [
        batch
        for slices in parts
        for batch in learner.stream(slices, np.arange(len(slices)), lambda _, batch: batch.images)
    ]
    forward, _ = bare_passes(learner, torch.cat(images))
    return interleaved({"pass": forward}, _TURNS, synthetic.DEVICE)["pass"]


if __name__ == "__main__":
    main("brats_size", measure, needs_gpu=True)

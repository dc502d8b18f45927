"""How long do the parts of a round take on a dataset as large as BraTS? Needs a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from albench.benchmarks.estimate import SMALL
from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.inference import bare_passes
from albench.benchmarks.speed.interleave import Spread, interleaved, ratio
from albench.benchmarks.speed.paper_round import Size, TimedRound, resolved, warm_up
from albench.benchmarks.speed.record import Row, main
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
            yield Row(f"{name}, query without its training, in forward passes", _query_in_passes(timed), "<= 1.6")


def _query_in_passes(timed: TimedRound) -> Spread:
    """Repeated queries that do not train, in bare forward passes over the unlabeled slices."""
    ctx, strategy = timed.turn.given, timed.session.strategy
    ctx.learner.optimize = lambda *arguments, **options: None
    slices, ids = ctx.pool.slices, ctx.pool.unlabeled
    images = torch.cat(list(ctx.learner.stream(slices, ids, lambda _, batch: batch.images)))
    variants = {"bare": bare_passes(ctx.learner, images)[0], "query": lambda: strategy.query(ctx)}
    seconds = interleaved(variants, _TURNS, synthetic.DEVICE)
    return ratio(seconds["query"], seconds["bare"])


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

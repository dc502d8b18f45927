"""How many forward passes over the pool does a query cost?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from albench.benchmarks.speed import scene
from albench.benchmarks.speed.interleave import Spread, Way, interleaved, ratio
from albench.benchmarks.speed.record import Finding, Row, main
from albench.resolve import make_strategy
from albench.strategy import Round

_UNLABELED = 144
_LIMITS = {"entropy": "<= 1.05", "margin": "<= 1.05", "mc-dropout": "", "bald": "", "bal": "", "k-center": ""}
_PASSES = 10


def measure() -> Finding:
    """Queries over bare forward passes on batches that are already there.

    The phantom's network at 64 x 64, whose pass is so short that all else shows; and the paper's at 240 x 240.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = scene.made_up(160, 64, Path(folder))
        ctx = scene.after_training(make_strategy("entropy", {}), prepared, scene.LAPTOP)  # all share its network
        forward, encode = bare_passes(ctx)
        ways: dict[str, Way] = {"forward": forward, "encode": encode} | {name: _query(name, ctx) for name in _LIMITS}
        seconds = interleaved(ways, 11, scene.DEVICE)
    share = ratio([f - e for f, e in zip(seconds["forward"], seconds["encode"], strict=True)], seconds["forward"])
    sampled = f"<= {1 + _PASSES * share.median:.3g}"
    limits = _LIMITS | {"mc-dropout": sampled, "bald": sampled}
    rows = [Row(name, ratio(seconds[name], seconds["forward"]), limit) for name, limit in limits.items()]
    rows.append(Row("decoder's share of a pass", share))
    rows.append(
        Row("a pass, time of a slice", Spread.of([s / _UNLABELED * 1e3 for s in seconds["forward"]]), unit="ms")
    )
    rows += _at_the_size_of_the_paper()
    return Finding("What does a query cost, in forward passes over the pool?", rows)


def _at_the_size_of_the_paper() -> list[Row]:
    """Queries of 45 slices with ResNet-50."""
    names = ["entropy", "margin"]
    with tempfile.TemporaryDirectory() as folder:
        prepared = scene.made_up(50, 240, Path(folder))
        ctx = scene.after_training(make_strategy("entropy", {}), prepared, scene.PAPER)
        forward, _ = bare_passes(ctx)
        ways: dict[str, Way] = {"forward": forward} | {name: _query(name, ctx) for name in names}
        seconds = interleaved(ways, 3, scene.DEVICE)
    return [
        Row(f"{name}, ResNet-50 at 240 x 240", ratio(seconds[name], seconds["forward"]), _LIMITS[name])
        for name in names
    ]


def bare_passes(ctx: Round) -> tuple[Callable[[], None], Callable[[], None]]:
    """A forward pass over as many slices as are unlabeled, and its encoder's part; images are on the device before."""
    learner = ctx.learner
    size = learner.training.batch_size
    batches = scene.images_of(ctx, len(ctx.pool.unlabeled)).split(size)
    network = learner.network

    def over(part: Callable[[torch.Tensor], object]) -> None:
        network.eval()
        with torch.no_grad(), learner.autocast():
            for batch in batches:
                part(batch)

    encode: nn.Module = network.encoder
    return lambda: over(network), lambda: over(encode)


def _query(name: str, ctx: Round) -> Way:
    strategy = make_strategy(name, {})
    return lambda: strategy.query(ctx)


if __name__ == "__main__":
    main("inference", measure)

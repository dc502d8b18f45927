"""How fast is training, compared with a bare loop on a fixed batch?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.floor import seconds_of_arithmetic
from albench.benchmarks.speed.interleave import Spread, interleaved, ratio
from albench.benchmarks.speed.record import Finding, Row, main
from albench.resolve import make_strategy
from albench.strategy import Round

_LABELED = 160


def measure() -> Finding:
    """An epoch of `Learner.fit` on 160 labeled slices; the bare loop takes as many steps on one fixed batch.

    `fit` also validates on 50 slices. In the first row, the bare loop includes as many bare forward passes; in the
    second, it does not. On a CPU with the network of the phantom at 64 x 64; on a GPU ResNet-50 at 240 x 240, batch 32.
    """
    size = synthetic.BATCH
    strategy = make_strategy("random", {})
    with tempfile.TemporaryDirectory() as folder:
        prepared = synthetic.made_up(_LABELED * 10, synthetic.SIDE, Path(folder))
        ctx = synthetic.make_round(strategy, prepared, synthetic.NETWORK, training=replace(synthetic.TRAINING, lr=1e-5))
        examples, learner = ctx.examples(), ctx.learner
        images, count = synthetic.images_of(ctx, size), len(learner.validation.slices)
        checked = min(learner.inference_batch, count)
        step, _ = bare(ctx, images)
        _, forward = bare(ctx, synthetic.images_of(ctx, checked))
        steps, checks = _LABELED // size, -(-count // checked)
        variants = {
            "fit": lambda: learner.fit(examples, strategy.loss),
            "steps": lambda: [step() for _ in range(steps)],
            "forwards": lambda: [forward() for _ in range(checks)],
        }
        seconds = interleaved(variants, 5, synthetic.DEVICE)
        with FlopCounterMode(display=False) as counter:
            step()
    whole = _LABELED / (steps * size)  # the last batch of fit may be smaller
    seen = count / (checks * checked)
    both = [whole * a + seen * b for a, b in zip(seconds["steps"], seconds["forwards"], strict=True)]
    floor = seconds_of_arithmetic(counter.get_total_flops() / size) * 1e3
    per_slice = Spread.of([s / _LABELED * 1e3 for s in seconds["fit"]])
    rows = [
        Row("speed of fit, relative to bare steps and validation", ratio(both, seconds["fit"]), limit()),
        Row("speed of fit, relative to bare steps", ratio([whole * s for s in seconds["steps"]], seconds["fit"])),
        Row("fit, time per slice", per_slice, unit="ms", floor=floor),
    ]
    return Finding(
        "How fast is training, compared with a bare loop?",
        rows,
        {"side": synthetic.SIDE, "batch": size, "steps": steps},
    )


def limit() -> str:
    """Limit of the first row."""
    return ">= 0.95" if synthetic.DEVICE.type == "cuda" else ">= 0.90"


def bare(ctx: Round, images: torch.Tensor) -> tuple[Callable[[], None], Callable[[], None]]:
    """A training step on fixed images, with the precision and optimizer of the learner, and a forward pass."""
    learner = ctx.learner
    network: nn.Module = learner.network
    masks = (images[:, :1] > 1).float()
    ones = torch.ones_like(masks)
    empty = np.zeros((1, *masks.shape[2:]), dtype=np.uint8)
    criterion = learner.batch(learner.slices, np.arange(1), empty).criterion
    fused = learner.device.type == "cuda" or None
    optimizer = torch.optim.Adam(network.parameters(), lr=learner.lr, fused=fused)

    def step() -> None:
        network.train()
        with learner.autocast():
            loss = criterion(network(images), masks, ones)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def forward() -> None:
        network.eval()
        with torch.no_grad(), learner.autocast():
            network(images)

    return step, forward


if __name__ == "__main__":
    main("training", measure)

"""How fast is training, compared with a bare loop on a fixed batch?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.floor import seconds_of_arithmetic
from albench.benchmarks.speed.interleave import Spread, Variant, interleaved, ratio
from albench.benchmarks.speed.record import Row, main
from albench.config import Training
from albench.data import Prepared
from albench.resolve import make_strategy
from albench.strategy import Round
from albench.temporary import temporary_folder

_LABELED, _TURNS = 160, 5
# On a GPU as many epochs as the shortest training of the paper has, whose patience is 5: a training on its own starts
# and ends with a GPU that waits
_EPOCHS = 6 if synthetic.DEVICE.type == "cuda" else 1
_SMALL_SIDE, _SMALL_BATCH, _SMALL_EPOCHS = 64, 16, 5  # of the phantom


def measure() -> Iterator[Row]:
    """`Learner.fit` on 160 labeled slices for an epoch, on a GPU six; the bare loop has as many steps on a fixed batch.

    `fit` also validates on 50 slices after every epoch. In the first row, the bare loop includes as many bare forward
    passes; in the second, it does not. On a CPU with the network of the phantom at 64 x 64; on a GPU ResNet-50 at
    240 x 240, batch 32, then with passes replayed as CUDA graphs, and these for the network of the phantom.
    """
    training = replace(synthetic.TRAINING, batch_size=synthetic.BATCH, lr=1e-5, epochs=_EPOCHS, patience=_EPOCHS)
    gpu = synthetic.DEVICE.type == "cuda"
    with temporary_folder() as folder:
        prepared = synthetic.made_up(_LABELED * 10, synthetic.SIDE, folder)
        yield from _beside_bare(prepared, training, "fit", ">= 0.95" if gpu else ">= 0.90", graphs=False)
        if gpu:
            yield from _beside_bare(prepared, training, "fit with graphs", ">= 0.95", graphs=True)
    if gpu:
        yield from _small_network()


def _beside_bare(prepared: Prepared, training: Training, name: str, limit: str, *, graphs: bool) -> Iterator[Row]:
    """The speed of `fit` relative to a bare loop."""
    size, strategy = training.batch_size, make_strategy("random", {})
    ctx = synthetic.make_round(strategy, prepared, synthetic.NETWORK, training=training, graphs=graphs)
    learner = ctx.learner
    assert learner.validation
    images, count = synthetic.images_of(ctx, size), len(learner.validation.slices)
    checked = min(learner.inference_batch, count)
    step, _ = bare(ctx, images)
    _, forward = bare(ctx, synthetic.images_of(ctx, checked))
    steps, checks = _EPOCHS * (_LABELED // size), _EPOCHS * -(-count // checked)
    variants = {
        "fit": _fit(ctx),
        "steps": lambda: [step() for _ in range(steps)],
        "forwards": lambda: [forward() for _ in range(checks)],
    }
    seconds = interleaved(variants, _TURNS, synthetic.DEVICE)
    with FlopCounterMode(display=False) as counter:
        step()
    whole = _EPOCHS * _LABELED / (steps * size)  # the last batch of fit may be smaller
    seen = _EPOCHS * count / (checks * checked)
    both = [whole * a + seen * b for a, b in zip(seconds["steps"], seconds["forwards"], strict=True)]
    note = f"{_EPOCHS} epochs, {steps} steps of {size} slices at {synthetic.SIDE} x {synthetic.SIDE}"
    yield Row(f"speed of {name}, relative to bare steps and validation", ratio(both, seconds["fit"]), limit, note=note)
    only_steps = ratio([whole * s for s in seconds["steps"]], seconds["fit"])
    yield Row(f"speed of {name}, relative to bare steps", only_steps, note=note)
    floor = seconds_of_arithmetic(counter.get_total_flops() / size) * 1e3
    per_slice = Spread.of([s / (_EPOCHS * _LABELED) * 1e3 for s in seconds["fit"]])
    yield Row(f"{name}, time per slice", per_slice, unit="ms", floor=floor)


def _small_network() -> Iterator[Row]:
    """What graphs gain where the CPU takes longer to launch kernels than a GPU to run them."""
    strategy = make_strategy("random", {})
    training = replace(
        synthetic.TRAINING, batch_size=_SMALL_BATCH, lr=1e-5, epochs=_SMALL_EPOCHS, patience=_SMALL_EPOCHS
    )
    with temporary_folder() as folder:
        prepared = synthetic.made_up(_LABELED * 10, _SMALL_SIDE, folder)
        eager, graphed = (
            synthetic.make_round(strategy, prepared, synthetic.LAPTOP, training=training, graphs=graphs)
            for graphs in (False, True)
        )
        seconds = interleaved({"eager": _fit(eager), "graphed": _fit(graphed)}, _TURNS, synthetic.DEVICE)
    note = f"{_SMALL_EPOCHS} epochs of {_LABELED // _SMALL_BATCH} steps of {_SMALL_BATCH} slices"
    name = f"speed of fit with graphs, relative to fit, network of the phantom at {_SMALL_SIDE} x {_SMALL_SIDE}"
    yield Row(name, ratio(seconds["eager"], seconds["graphed"]), ">= 2.5", note=note)


def _fit(ctx: Round) -> Variant:
    examples, loss = ctx.examples(), make_strategy("random", {}).loss
    return lambda: ctx.learner.fit(examples, loss)


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

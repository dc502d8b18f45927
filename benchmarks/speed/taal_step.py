"""What does a training step of TAAL cost, relative to bare steps and forward passes?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread, interleaved, ratio
from albench.benchmarks.speed.record import Row, main
from albench.benchmarks.speed.training import bare
from albench.resolve import make_strategy
from albench.temporary import temporary_folder
from albench.training.batches import Images


def measure() -> Iterator[Row]:
    """A step on b labeled and b unlabeled slices, relative to a bare step on 2 b slices and 3 bare passes over b."""
    strategy = make_strategy("taal", {})
    with temporary_folder() as folder:
        prepared = synthetic.made_up(160, synthetic.SIDE, folder)
        ctx = synthetic.make_round(strategy, prepared, synthetic.NETWORK)
        learner, size = ctx.learner, ctx.learner.training.batch_size
        images = synthetic.images_of(ctx, 2 * size)
        step, _ = bare(ctx, images)
        _, forward = bare(ctx, images[:size])
        batch = learner.batch(learner.slices, np.arange(size), prepared.masks[learner.slices.rows[:size]])
        seen: list[int] = []
        fused = learner.device.type == "cuda" or None  # as in a training
        optimizer = torch.optim.Adam(learner.network.parameters(), lr=learner.lr, fused=fused)

        def taal() -> None:
            learner.network.train()
            with learner.autocast():
                loss = strategy.loss(learner.network, batch, itertools.repeat(Images(batch.images, batch.valid)), 20)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        handle = learner.network.encoder.register_forward_hook(
            lambda module, inputs, output: seen.append(len(inputs[0]))
        )
        taal()
        handle.remove()
        yield Row("forward passes of a batch", Spread.of([sum(seen) / size]), "<= 5")
        seconds = interleaved({"taal": taal, "step": step, "forward": forward}, 7, synthetic.DEVICE)
    worth = [a + 3 * b for a, b in zip(seconds["step"], seconds["forward"], strict=True)]
    yield Row("step, relative to its bare parts", ratio(seconds["taal"], worth), note=f"batches of {size}")


if __name__ == "__main__":
    main("taal_step", measure)

"""Synthetic slices, and rounds on them, of the size and with the network and budget that a measurement needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from albench.config import PAPER_STOP, Training
from albench.data import Prepared, outlined
from albench.network import Network, Task
from albench.networks.residual import Residual
from albench.pool import Pool
from albench.strategy import Round, Strategy
from albench.streams import Streams
from albench.training.graphs import PassGraphs
from albench.training.learner import Learner

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DEPTH = 50  # slices of a case, at most

LAPTOP = Residual(backbone="resnet18", width=0.25, decoder_width=32, stem_stride=2)  # that of the phantom
SMALLEST = Residual(backbone="resnet18", width=0.125, decoder_width=4, stem_stride=4)
PAPER = Residual()  # ResNet-50

# With the network of the phantom, a GPU would be idle most of the time
SIDE, NETWORK, BATCH = (240, PAPER, 32) if DEVICE.type == "cuda" else (64, LAPTOP, 16)
BRIGHT = 1.0  # intensity between those of background and foreground of `volumes`
BY_EPOCHS: dict[str, Any] = {name.removeprefix("training."): value for name, value in PAPER_STOP.items()}
"""Options of a training that epochs end, not optimizer steps."""

TRAINING = Training(batch_size=BATCH, epochs=1, lr=1e-3, **BY_EPOCHS)


def made_up(slices: int, side: int, folder: Path) -> Prepared:
    """A prepared dataset on disk: smooth noise with a bright square. The last case is for validation."""
    depth = min(slices, DEPTH)
    count = -(-slices // depth) + 1
    total = count * depth
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(64, 1, side // 8, side // 8))
    texture = coarse.repeat(8, 2).repeat(8, 3) + 0.3 * rng.normal(size=(64, 1, side, side))
    shape = {"images.npy": (np.float16, (total, 1, side, side)), "masks.npy": (np.uint8, (total, side, side))}
    images, masks = (
        np.lib.format.open_memmap(folder / name, "w+", dtype=kind, shape=size) for name, (kind, size) in shape.items()
    )
    for start in range(0, total, 1000):
        part = np.arange(start, min(start + 1000, total))
        images[part] = texture[part % 64] * rng.uniform(0.5, 1.5, (len(part), 1, 1, 1))
        images[part, :, side // 4 : side // 2, side // 4 : side // 2] += 1.5
        masks[part, side // 4 : side // 2, side // 4 : side // 2] = 1
    del images, masks
    return replace(
        outline(count, depth, side),
        images=np.load(folder / "images.npy", mmap_mode="r"),
        masks=np.load(folder / "masks.npy", mmap_mode="r"),
    )


def volumes(cases: int, depth: int, side: int) -> Prepared:
    """A prepared dataset in memory, made on the device: smooth noise with an ellipsoid, brighter than `BRIGHT`.

    The foreground extends a little beyond it, so that what is bright is a good but not a perfect segmentation.
    """
    images = np.empty((cases * depth, 1, side, side), dtype=np.float16)
    masks = np.empty((cases * depth, side, side), dtype=np.uint8)
    rng = np.random.default_rng(0)
    z, y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, device=DEVICE) for n in (depth, side, side)), indexing="ij")
    coarse = (1, 1, max(2, depth // 5), max(2, side // 8), max(2, side // 8))
    with Streams(0, "speed").torch("volumes"):
        for case in range(cases):
            texture = interpolate(torch.randn(coarse, device=DEVICE), (depth, side, side), mode="trilinear")[0, 0]
            center, radius = rng.uniform(-0.4, 0.4, 3).tolist(), rng.uniform(0.15, 0.3, 3).tolist()
            squares = [((g - c) / r) ** 2 for g, c, r in zip((z, y, x), center, radius, strict=True)]
            distance = squares[0] + squares[1] + squares[2]
            rows = slice(case * depth, (case + 1) * depth)
            images[rows, 0] = (0.2 * texture + 2 * BRIGHT * (distance < 1)).half().cpu().numpy()
            masks[rows] = (distance < 1.2).to(torch.uint8).cpu().numpy()
    return replace(outline(cases, depth, side), images=images, masks=masks)


def outline(cases: int, depth: int, side: int) -> Prepared:
    """The shape of a prepared dataset, whose images and masks are all 0 and take no memory."""
    return outlined([f"s{index:05d}" for index in range(cases)], [depth] * cases, (1, side, side))


def make_round(
    strategy: Strategy,
    prepared: Prepared,
    network: Network,
    *,
    budget: int = 16,
    labeled: int | None = None,
    training: Training = TRAINING,
    graphs: bool = False,
) -> Round:
    """Round 1 with an untrained network, every tenth slice of the pool (or of its first `labeled` slices) labeled.

    Its training passes are replayed as CUDA graphs with `graphs`.
    """
    train, val = prepared.cases[:-1], prepared.labeled_stack(prepared.cases[-1:])
    slices = prepared.stack(train)
    streams = Streams(0, "speed")
    channels, height, width = slices.shape
    with streams.torch("weights"):
        model = strategy.network(Task(channels, (height, width), network))
    learner = Learner(
        model,
        slices,
        val,
        training,
        streams,
        round_index=1,
        lr=training.lr,
        device=DEVICE,
        graphs=PassGraphs(model, training.batch_size, refuse) if graphs else None,
    )
    ids = np.arange(0, labeled or len(slices), 10)
    masks = prepared.masks[slices.rows[ids]]
    pool = Pool(slices).with_masks(dict(zip(ids.tolist(), masks, strict=True)))
    return Round(1, budget, pool, learner, {}, learner.weights(), streams.numpy("query", 1), 10, 16)


def refuse(notice: str) -> None:
    """Raise a RuntimeError for a notice, after which passes would not be replayed and the rows would be wrong."""
    raise RuntimeError(notice)


def after_training(strategy: Strategy, prepared: Prepared, network: Network) -> Round:
    """A round after its training, as in a run: by then, malloc keeps the memory of a pass instead of returning it."""
    ctx = make_round(strategy, prepared, network)
    strategy.fit(ctx)
    return ctx


def images_of(ctx: Round, count: int) -> torch.Tensor:
    """(count, c, h, w) float32 images of the first slices, on the device in the memory format of the learner."""
    slices = ctx.pool.slices
    return torch.cat(list(ctx.learner.stream(slices, np.arange(count), lambda _, batch: batch.images)))

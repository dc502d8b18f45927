"""A generated dataset: volumes with one smooth organ among look-alikes, made from a seed in seconds, no download.

The cross-section of the organ turns, bends and changes shape from slice to slice; its size and contrast differ between
cases. Look-alikes have the same brightness but no dark core. A bias field, texture, blur and noise affect the whole
volume, and some slices at both ends are empty. The task is hard enough that additional labels improve the Dice over
many rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from scipy.ndimage import gaussian_filter

from albench.data import Dataset, Volume, check_memory, register

Values = NDArray[np.float64]

_CASE = 1000  # bytes: its names and numbers
_VOXEL = 80  # bytes: ten arrays in float64 at a time
_SPACING = (3.0, 1.5, 1.5)


@register("phantom")
@dataclass(frozen=True, kw_only=True)
class Phantom(Dataset):
    """Generated volumes.

    Attributes:
        count: number of cases.
        depth: mean number of slices of a case, which varies by up to a quarter; 1 gives every case one slice, through
            the middle of the organ. Cases of two slices, which 2 and 3 give, have no foreground.
        side: height and width in pixels.
        seed: of the volumes, independent of the seed of a run.
        noise: standard deviation of the noise, in units of the organ's mean contrast.
        lookalikes: largest number of look-alikes in a case; the smallest number is half of it.
        parts: 1 has the whole organ as foreground; 2 has two classes, the organ without its core, and the core.
    """

    count: PositiveInt = 24
    depth: PositiveInt = 32
    side: Annotated[int, Field(ge=2)] = 64
    seed: NonNegativeInt = 0
    noise: NonNegativeFloat = 0.3
    lookalikes: Annotated[int, Field(ge=0, le=1000)] = 8
    parts: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        """Raises DataError: the cases do not fit into memory."""
        check_memory(_CASE * self.count, f"the list of data.count={self.count} cases", "choose a smaller data.count")
        check_memory(
            _VOXEL * self.depth * self.side**2,
            f"a case of data.depth={self.depth} slices with data.side={self.side}",
            "choose smaller ones",
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """foreground, or organ and core."""
        return ("foreground",) if self.parts == 1 else ("organ", "core")

    def cases(self) -> Sequence[str]:
        """phantom-000, phantom-001, ..."""
        return [f"phantom-{index:03d}" for index in range(self.count)]

    def load(self, case: str) -> Volume:
        """Generate one case."""
        rng = np.random.default_rng([self.seed, int(case.removeprefix("phantom-"))])
        depth = max(1, int(rng.integers(3 * self.depth // 4, 5 * self.depth // 4 + 1)))
        shape = (depth, self.side, self.side)
        z, y, x = np.meshgrid(*[_positions(side) for side in shape], indexing="ij")
        body = _smooth_step(1 - np.hypot(x / rng.uniform(0.8, 0.95), y / rng.uniform(0.7, 0.9)), 0.03)
        inside, core = _organ(x, y, z, rng)
        contrast = rng.uniform(0.6, 1.4)
        tissue = body * (1 + 0.25 * _texture(shape, rng))
        tissue += contrast * (_smooth_step(inside, 0.08) - 0.8 * _smooth_step(core, 0.08))
        for _ in range(rng.integers((self.lookalikes + 1) // 2, self.lookalikes + 1)):
            tissue += contrast * _lookalike(x, y, z, inside, rng)
        blurred = gaussian_filter(tissue, (0.3, 0.7, 0.7)) * _bias(x, y, z, rng)
        image = rng.uniform(50, 500) * (blurred + self.noise * rng.standard_normal(shape))
        mask = (inside > 0).astype(np.uint8)
        if self.parts > 1:
            mask[core > 0] = 2
        return Volume(image[None].astype(np.float32), mask, _SPACING)

    def defaults(self) -> Mapping[str, object]:
        """A network and a budget for a laptop."""
        return {
            "protocol.budget": 16,
            "protocol.rounds": 5,
            "network.backbone": "resnet18",
            "network.width": 0.25,
            "network.decoder_width": 32,
            "network.stem_stride": 2,
            "training.batch_size": 16,
            "training.lr": 2e-3,
            "training.lr_incremental": 1e-3,
            "training.epochs": 20,
        }


def _positions(count: int) -> Values:
    """(count,) coordinates from -1 to 1, 0 of a single one."""
    return np.linspace(-1, 1, count) if count > 1 else np.zeros(1)


def _organ(x: Values, y: Values, z: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    """Two functions that are positive inside the organ and inside its core, each (d, h, w)."""
    start, end = rng.uniform(-0.85, -0.55), rng.uniform(0.55, 0.85)
    t = (2 * z - start - end) / (end - start)  # -1 to 1 along the organ
    profile = np.sqrt(np.clip(1 - t**2, 0, None)) * (1 + 0.25 * np.sin(3 * t + rng.uniform(0, 2 * np.pi)))
    radius = rng.uniform(0.2, 0.36) * profile
    phase = rng.uniform(0, 2 * np.pi, 5)
    dx = x - (rng.uniform(-0.25, 0.05) + 0.15 * np.sin(2 * t + phase[0]))
    dy = y - (rng.uniform(-0.15, 0.15) + 0.15 * np.sin(2 * t + phase[1]))
    angle, distance = np.arctan2(dy, dx), np.hypot(dx, dy)
    waves = [rng.uniform(0.08, 0.2) * np.cos(k * angle + phase[k] + 2.0 * t) for k in (2, 3, 4)]
    edge = radius * (1 + np.sum(waves, axis=0))
    return np.where(radius > 0, edge - distance, -1.0), np.where(radius > 0, 0.45 * edge - distance, -1.0)


def _lookalike(x: Values, y: Values, z: Values, organ: Values, rng: np.random.Generator) -> Values:
    """An ellipsoid as bright as the organ, without a core and without contact to it."""
    center, angle = rng.uniform(-0.6, 0.6, 3), rng.uniform(0, np.pi)
    dx, dy = x - center[0], y - center[1]
    u, v = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    size = rng.uniform(0.1, 0.22, 2)
    distance = np.sqrt((u / size[0]) ** 2 + (v / size[1]) ** 2 + ((z - center[2]) / rng.uniform(0.2, 0.6)) ** 2)
    return _smooth_step((1 - distance) * size.min(), 0.08) * _smooth_step(-organ - 0.03, 0.03)


def _bias(x: Values, y: Values, z: Values, rng: np.random.Generator) -> Values:
    a = rng.uniform(-0.3, 0.3, 6)
    return np.exp(a[0] * x + a[1] * y + a[2] * z + a[3] * x * y + a[4] * x**2 + a[5] * y**2)


def _texture(shape: tuple[int, ...], rng: np.random.Generator) -> Values:
    """Smooth noise of unit standard deviation."""
    smooth = gaussian_filter(rng.standard_normal(shape), (1, 3, 3))
    return smooth / smooth.std()


def _smooth_step(signed: Values, width: float) -> Values:
    """0 outside, 1 inside, over `width` around the edge."""
    return np.clip(signed / width + 0.5, 0, 1)

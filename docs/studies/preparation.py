"""The numbers of docs/data.md, "Intensities" and "Scaled slices": what preparing does to intensities and small objects.

    python docs/studies/preparation.py FOLDER_OF_THE_HIPPOCAMPUS

The MR head, the CT and the balls are generated; the hippocampi are the only real data here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import label

from albench.data import ClippedTarget, Intensities, Rule, Volume
from albench.data.preprocessing import standardized
from albench.data.scaled_masks import interpolated, scale_mask
from albench.masks import Mask
from albench.registry import DATASETS, find

RULES: dict[str, tuple[Rule, ...]] = {"generated MR": ("volume", "mr"), "generated CT": ("volume", "ct")}
FACTORS = (0.75, 0.5, 0.375, 0.25)


def generated_mr() -> Volume:
    """A head in zeros with a bright lesion."""
    rng, (z, y, x) = np.random.default_rng(0), _grid(32, 128, 128)
    brain = (x / 0.55) ** 2 + (y / 0.65) ** 2 + (z / 0.9) ** 2 < 1
    lesion = ((x - 0.2) / 0.12) ** 2 + ((y + 0.1) / 0.13) ** 2 + (z / 0.2) ** 2 < 1
    image = np.where(brain, rng.normal(300, 40, brain.shape) + 250 * lesion, 0).clip(0)
    return Volume(image[None].astype(np.float32), lesion.astype(np.uint8), (1.0, 1.0, 1.0))


def generated_ct() -> Volume:
    """A body in air with bone and an organ, and -2000 outside of the field of view."""
    rng, (z, y, x) = np.random.default_rng(0), _grid(24, 128, 128)
    organ = ((x - 0.3) / 0.15) ** 2 + (y / 0.15) ** 2 + (z / 0.5) ** 2 < 1
    image = np.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, 40.0, -1000.0) + rng.normal(0, 15, organ.shape)
    image[x**2 + (y - 0.4) ** 2 < 0.01] += 600
    image[organ] += 60
    image[x**2 + y**2 >= 1] = -2000
    return Volume(image[None].astype(np.float32), organ.astype(np.uint8), (1.0, 1.0, 1.0))


def contrast(prepared: Volume, raw: Volume) -> float:
    """Between the target and the median of other tissue, which is above all padding and air."""
    target, tissue = raw.mask > 0, raw.image[0] > (0 if raw.image.min() >= 0 else -500)
    values = prepared.image[0]
    return float(values[target].mean() - np.median(values[tissue & ~target]))


def balls(seed: int) -> Mask:
    """60 of random radius."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((20, 256, 256), np.uint8)
    z, y, x = np.ogrid[:20, :256, :256]
    for _ in range(60):
        center, radius = rng.uniform([1, 3, 3], [19, 253, 253]), rng.uniform(0.8, 5)
        squares = ((z - center[0]) * 2) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2
        mask |= (squares <= radius**2).astype(np.uint8)
    return mask


def at_least_half(mask: Mask, shape: tuple[int, int]) -> Mask:
    """A threshold at half of a pixel."""
    return (interpolated(mask[None].astype(np.float32), shape)[0] >= 0.5).astype(np.uint8)


def nearest(mask: Mask, shape: tuple[int, int]) -> Mask:
    """The voxel at the center of every pixel."""
    made = torch.nn.functional.interpolate(torch.from_numpy(mask)[:, None].float(), shape, mode="nearest-exact")
    return made[:, 0].byte().numpy()


def main(root: str) -> None:
    """Print all numbers."""
    data = find(DATASETS, "hippocampus")(root=root)  # type: ignore[call-arg]
    volumes = [data.load(case) for case in data.cases()]  # type: ignore[attr-defined]
    both = [[standardized(volume, "", Intensities(rule=rule)) for volume in volumes] for rule in ("volume", "mr")]
    equal = all(np.array_equal(one[0].image, other[0].image) for one, other in zip(*both, strict=True))
    print("hippocampus, volume and mr equal:", equal, ClippedTarget.sum(clipped for _, clipped in both[0]).in_words())
    for name, volume in (("generated MR", generated_mr()), ("generated CT", generated_ct())):
        for rule in RULES[name]:
            prepared, clipped = standardized(volume, name, Intensities(rule=rule))
            print(f"{name}, {rule}: target clipped {clipped.in_words()}, contrast {contrast(prepared, volume):.2f}")
    masks = [balls(seed) for seed in range(3)]
    for factor in FACTORS:
        side = round(256 * factor)
        for rule_of_masks in (at_least_half, nearest, scale_mask):
            made = [rule_of_masks(mask, (side, side)) for mask in masks]
            change = _volume(made) * (256 / side) ** 2 / _volume(masks) - 1
            print(f"{side} x {side}, {rule_of_masks.__name__}: {change:+.1%}, {_objects(made)} of {_objects(masks)}")


def _grid(*shape: int) -> list[NDArray[np.float64]]:
    return np.meshgrid(*[np.linspace(-1, 1, side) for side in shape], indexing="ij")


def _volume(masks: Sequence[Mask]) -> int:
    return sum(int(mask.sum(dtype=int)) for mask in masks)


def _objects(masks: Sequence[Mask]) -> int:
    return sum(int(label(mask, np.ones((3, 3, 3)))[1]) for mask in masks)


if __name__ == "__main__":
    main(sys.argv[1])

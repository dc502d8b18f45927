"""Vectors of all slices of a dataset from DINOv2 [1], for `--set strategy.embeddings=FILE`.

    python docs/embed_with_dinov2.py hippocampus vectors.npz data.root=Task04_Hippocampus
    albench run --strategy k-center --dataset hippocampus --data-root Task04_Hippocampus \\
        --set strategy.embeddings=vectors.npz

The options of the dataset are those of the run. torch.hub downloads the model at the first call. Another model is
another function from (b, 3, 224, 224) images with the statistics of ImageNet to (b, d) vectors.

[1] Oquab et al. DINOv2: Learning Robust Visual Features without Supervision. TMLR 2024.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from albench.data import Prepared, prepare
from albench.errors import AlbenchError, ConfigError
from albench.resolve import make_dataset
from albench.settings import parse_settings

MEAN, DEVIATION = (torch.tensor(values)[:, None, None] for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
SIDE = 224


def embed(prepared: Prepared, model: Callable[[Tensor], Tensor], batch_size: int = 32) -> dict[str, np.ndarray]:
    """The arrays of the file: case, position and vector of every slice.

    Args:
        model: maps (b, 3, 224, 224) images to (b, d) vectors.
    """
    slices = prepared.stack(prepared.cases)
    vectors = []
    with torch.no_grad():
        for start in range(0, len(slices), batch_size):
            ids = np.arange(start, min(start + batch_size, len(slices)))
            sizes = slices.valid[ids].tolist()
            images = [_as_picture(image[0], *size) for image, size in zip(slices.read(ids), sizes, strict=True)]
            vectors.append(model(torch.stack(images)).float().cpu().numpy())
    names = np.array(slices.cases)[slices.case]
    return {"case": names, "position": slices.position, "vector": np.concatenate(vectors)}


def _as_picture(image: np.ndarray, height: int, width: int) -> Tensor:
    """The first channel of a slice without padding, as a (3, 224, 224) gray picture."""
    inside = torch.from_numpy(image[:height, :width].astype(np.float32)).clamp(-3, 3) / 6 + 0.5
    gray = interpolate(inside[None, None], (SIDE, SIDE), mode="bilinear", align_corners=False)[0]
    return (gray.expand(3, -1, -1) - MEAN) / DEVIATION


def arguments(given: Sequence[str]) -> tuple[str, Path, dict[str, object]]:
    """Dataset, file to write, and options of the dataset. Raises ConfigError."""
    name, target, *options = [*given, "", ""] if len(given) < 2 else given
    if not target.endswith(".npz") or not all(option.startswith("data.") and "=" in option for option in options):
        raise ConfigError(
            "usage: python docs/embed_with_dinov2.py DATASET TARGET.npz [data.option=value ...], "
            f"got '{' '.join(given)}'"
        )
    return name, Path(target), parse_settings(options)


def main(given: Sequence[str]) -> None:
    """Write the file."""
    name, target, settings = arguments(given)
    prepared = prepare(make_dataset(name, settings))
    np.savez(target, **embed(prepared, torch.hub.load("facebookresearch/dinov2", "dinov2_vits14").eval()))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AlbenchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)

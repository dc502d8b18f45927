"""Small data, and settings of runs that take about a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from albench.data import Prepared, SliceStack
from albench.pool import Pool

TINY: dict[str, object] = {
    "data.count": 6,
    "data.depth": 8,
    "data.side": 32,
    "protocol.interval": 4,
    "protocol.budget": 3,
    "protocol.rounds": 2,
    "protocol.split": [4, 1, 1],
    "network.width": 0.125,
    "network.decoder_width": 4,
    "training.epochs": 2,
    "training.stop": "val_loss",
    "training.patience_steps": 0,
    "training.min_steps": 0,
    "training.val_steps": 0,
    "training.steps": 4,
    "training.batch_size": 8,
}

TINY_TRAINING = {name: value for name, value in TINY.items() if not name.startswith("data.")} | {
    "network.backbone": "resnet18",
    "training.batch_size": 8,
    "protocol.rounds": 1,
    "training.epochs": 1,
}


def tiny_arguments(*more: str) -> list[str]:
    """TINY as arguments of the command line, with `more` after them, whose settings replace those of TINY."""
    given = {argument.partition("=")[0] for argument in more}
    settings = [f"{name}={str(value).replace(' ', '')}" for name, value in TINY.items() if name not in given]
    return [*(part for setting in settings for part in ("--set", setting)), "--threads", "1", *more]


def write_pair(
    root: Path, name: str, image: np.ndarray, mask: np.ndarray, affine: np.ndarray | None = None
) -> tuple[Path, Path]:
    """Write an image and its mask as .nii.gz and return their paths."""
    paths = root / "imagesTr" / f"{name}.nii.gz", root / "labelsTr" / f"{name}.nii.gz"
    for path, values in zip(paths, (image, mask), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0]) if affine is None else affine), path)
    return paths


def write_volumes(root: Path, *names: str, numbered: bool = False) -> None:
    """Write files with 1, or their number from 1, in a corner of 8 x 8 x 2 voxels and 0 elsewhere."""
    for number, name in enumerate(names, 1):
        values = np.zeros((16, 16, 4), np.uint8)
        values[:8, :8, :2] = number if numbered else 1
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(path.name.lower())  # nibabel changes the case of suffixes
        nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 3.0, 1.0])), written)
        written.rename(path)


def invoke(*arguments: object) -> tuple[int, str]:
    """Call the command line in this process; return the exit code and the whole output in one line."""
    from typer.testing import CliRunner

    from albench.cli.main import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, " ".join(result.output.split())


def tiny_training_arguments(**others: object) -> list[str]:
    """Arguments of the command line for a run of two rounds on any data; `data__size` sets data.size."""
    settings = TINY_TRAINING | {name.replace("__", "."): value for name, value in others.items()}
    arguments = [f"{name}={str(value).replace(' ', '')}" for name, value in settings.items()]
    return [*(part for argument in arguments for part in ("--set", argument)), "--threads", "1"]


def slices_without_images(*depths: int) -> SliceStack:
    """Slices of cases of some depths, called a, b, ..."""
    case = np.repeat(np.arange(len(depths)), depths)
    position = np.concatenate([np.arange(depth) for depth in depths])
    nothing = np.empty((0, 1, 16, 16), np.float16)
    valid, spacing = np.full((len(case), 2), 16), np.ones((len(depths), 3))
    return SliceStack(nothing, np.arange(len(case)), case, position, valid, tuple("abcdefgh"[: len(depths)]), spacing)


def line_of_slices(count: int, labeled: Sequence[int]) -> Pool:
    """A pool of one case without images, with some labeled slices."""
    return Pool(slices_without_images(count)).with_masks({i: np.zeros((16, 16), np.uint8) for i in labeled})


def vectors_of(prepared: Prepared, dimension: int = 5) -> dict[str, NDArray[np.generic]]:
    """A random vector of every slice of all cases, in another order than that of the slices."""
    rng = np.random.default_rng(0)
    case = np.repeat(prepared.cases, prepared.counts)
    position = np.concatenate([np.arange(count) for count in prepared.counts])
    order = rng.permutation(len(case))
    return {"case": case[order], "position": position[order], "vector": rng.normal(size=(len(case), dimension))}

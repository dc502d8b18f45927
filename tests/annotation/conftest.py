"""Volumes that people draw in, and what they would draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.people import TEST, VALIDATION
from support.samples import write_pair

from albench.data import prepare
from albench.masks import Mask
from albench.resolve import make_dataset


@pytest.fixture
def truth() -> dict[str, Mask]:
    """The masks of a phantom whose cases differ in size."""
    rng, masks = np.random.default_rng(0), {}
    for index in range(6):
        mask = np.zeros((30 + index % 2, 32, 8), np.uint8)
        low, size = rng.integers(3, 10, 2), rng.integers(6, 12, 2)
        mask[low[0] : low[0] + size[0], low[1] : low[1] + size[1], 1:6] = 1
        masks[f"phantom_{index}"] = mask
    return masks


@pytest.fixture
def files(tmp_path, truth) -> Path:
    """Folder `phantom` of pairs of images and masks, as a run reads it."""
    rng = np.random.default_rng(1)
    for name, mask in truth.items():
        image = (rng.normal(100, 10, mask.shape) + 20 * mask).astype(np.float32)
        write_pair(tmp_path / "phantom", name, image, mask)
    return tmp_path / "phantom"


@pytest.fixture
def drawn(files) -> dict[str, Mask]:
    """The truth as albench sees it: {case: (d, h, w) mask}."""
    prepared = prepare(make_dataset("folder", {"data.root": str(files)}))
    ends = np.cumsum(prepared.counts)
    return {
        case: np.array(prepared.masks[end - count : end, :height, :width])
        for case, count, end, (height, width) in zip(prepared.cases, prepared.counts, ends, prepared.valid, strict=True)
    }


@pytest.fixture
def labels(files, tmp_path) -> Path:
    """A folder with the masks of the cases for validation and test only."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for name in (VALIDATION, TEST):
        (folder / f"{name}.nii.gz").write_bytes((files / "labelsTr" / f"{name}.nii.gz").read_bytes())
    return folder

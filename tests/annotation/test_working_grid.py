"""Masks that people have drawn, on the grid of prepared data."""

from pathlib import Path

import numpy as np
import pytest

from albench.annotation import on_working_grid
from albench.data import AXES, Axis, FileGrid, Volume
from albench.data.preprocessing import fit_to
from albench.masks import UNKNOWN


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("size", [None, (16, 16), (32, 48), (64, 64)])
def test_a_slice_is_that_of_the_prepared_volume(axis: Axis, size):
    grid = FileGrid(Path("a.nii.gz"), (40, 50, 30), np.diag([0.7, -1.1, 2.5, 1]), axis)
    mask = np.zeros(grid.slices, np.uint8)
    mask[3, 4:20, 5:25] = 1
    mask[3, 8:12, 9:14] = 2
    mask[3, 1, 1] = 1
    mask[3, 20:, 30:] = UNKNOWN
    volume = Volume(np.zeros((1, *grid.slices), np.float32), mask, grid.spacing)
    made = on_working_grid(mask[3], grid, size)
    np.testing.assert_array_equal(made, fit_to(volume, size).mask[3])
    assert made.dtype == np.uint8
    assert set(np.unique(made)) >= {0, 1, 2}

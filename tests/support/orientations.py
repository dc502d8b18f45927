"""All 48 orientations of the voxels of a file."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
from nibabel.orientations import inv_ornt_aff, ornt2axcodes

ORIENTATIONS = [
    np.array([*zip(order, signs, strict=True)], float)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
CODES = ["".join(ornt2axcodes(orientation)) for orientation in ORIENTATIONS]
RAS = np.array([[0.7, 0, 0, -31.0], [0, 1.1, 0, 12.5], [0, 0, 2.5, 7.25], [0, 0, 0, 1]])


def saved_as(values: np.ndarray, orientation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values on the grid RAS, x to the right, y to the front and z up, as a file of this orientation has them, and its
    affine.
    """
    turn = nib.orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), orientation)
    return nib.orientations.apply_orientation(values, turn), RAS @ inv_ornt_aff(turn, values.shape)

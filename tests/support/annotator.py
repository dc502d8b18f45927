"""An annotator: opens every file of a worklist, draws the true slices, and saves it as tools do."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

Save = Callable[[Path, NDArray[np.generic], NDArray[np.float64]], None]


def _sform_only(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    image = nib.Nifti1Image(values.astype(np.int16), affine)
    image.set_qform(None, 0)
    image.set_sform(affine, 1)
    nib.save(image, path)


def _qform_only(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    image = nib.Nifti1Image(values.astype(np.uint16), affine)
    image.set_qform(affine, 1)
    image.set_sform(None, 0)
    nib.save(image, path)


def _as_floats(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    nib.save(nib.Nifti1Image(values.astype(np.float32), affine), path)


def _uncompressed(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    path.unlink()
    nib.save(nib.Nifti1Image(values.astype(np.uint8), affine), path.with_name(path.name.removesuffix(".gz")))


def _turned(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    image = nib.Nifti1Image(values.astype(np.int32), affine)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(("L", "S", "A")))
    nib.save(image.as_reoriented(turn), path)


WAYS: Sequence[Save] = (_sform_only, _qform_only, _as_floats, _uncompressed, _turned)


def draw_worklist(folder: Path, truth: Mapping[str, NDArray[np.uint8]], cases: Sequence[str] | None = None) -> None:
    """Draw what `worklist.csv` asks for, in the volumes of some cases or of all.

    Args:
        truth: {case: (i, j, k) labels} in the voxels of the images.
    """
    rows = [*csv.DictReader((folder / "worklist.csv").open())]
    for number, case in enumerate(sorted({row["volume"] for row in rows})):
        if cases is None or case in cases:
            path = folder / next(row["label_file"] for row in rows if row["volume"] == case)
            image = nib.nifti1.Nifti1Image.from_filename(path)
            values, affine = np.asarray(image.dataobj).copy(), image.affine
            for row in rows:
                if row["volume"] == case:
                    drawn: list[slice | int] = [slice(None)] * 3
                    drawn["ijk".index(row["dimension"])] = int(row["index_3d_slicer"])
                    values[tuple(drawn)] = truth[case][tuple(drawn)]
            WAYS[number % len(WAYS)](path, values, affine)

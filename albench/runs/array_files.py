"""Masks and arrays of a run as .npz files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.errors import StoreError
from albench.files import atomic_write
from albench.masks import Mask, PackedMasks

Arrays = dict[str, NDArray[np.generic]]


def write_masks(path: Path, masks: Mapping[int, Mask]) -> None:
    """Write {slice id: (h, w) mask} in packed form."""
    ids = np.array(sorted(masks), dtype=np.int64)
    stacked = np.stack([masks[i] for i in ids.tolist()]) if len(ids) else np.zeros((0, 0, 0), dtype=np.uint8)
    packed = PackedMasks.of(ids, stacked)
    with atomic_write(path) as file:
        np.savez_compressed(file, ids=packed.ids, masks=packed.packed, width=packed.width)


def read_masks(path: Path, remedy: str = "restore it from a copy") -> PackedMasks:
    """{slice id: (h, w) mask} of a file that `write_masks` wrote. Raises StoreError if it cannot be read."""
    stored = read_arrays(path, remedy)
    try:
        ids, packed, width = stored["ids"], stored["masks"], int(stored["width"])
        sound = ids.shape == packed.shape[:1] and packed.ndim == 4 and packed.shape[3] == -(-width // 8)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise StoreError(f"'{path}' must hold packed masks (ids, masks, width), it holds something else: {remedy}")
    return PackedMasks(ids.astype(np.int64), packed.astype(np.uint8), width)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write arrays by name. Raises StoreError if one holds Python objects, which only pickle could read back."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise StoreError(f"an array must hold numbers or text, '{name}' holds Python objects: convert it")
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # NumPy < 2.1 stores allow_pickle as an array


def read_arrays(path: Path, remedy: str = "restore it from a copy") -> Arrays:
    """Arrays by name. Raises StoreError if the file is missing or damaged."""
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise StoreError(f"'{path}' is missing: {remedy}") from error
    except Exception as error:  # a damaged .npz raises whatever zipfile, zlib and NumPy raise
        raise StoreError(f"'{path}' must be a readable .npz file, it is damaged: {remedy}") from error

"""A prepared set on disk: two arrays, and `meta.json` with the facts about its volumes and their checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albench.data.checksums import Checksum
from albench.errors import StoreError
from albench.files import write_json

IMAGES, MASKS, META = "images.npy", "masks.npy", "meta.json"
_SAMPLES = 16  # volumes of which a sample is compared at an opening


@dataclass(frozen=True)
class StoredSet:
    """A prepared set whose sizes, facts and samples are as they were when it was made.

    Attributes:
        meta: facts about the volumes, as `albench.data.preparation` wrote them.
        images: (N, c, H, W), a memory map.
        masks: (N, H, W), a memory map.
    """

    meta: Mapping[str, Any]
    images: NDArray[np.float16]
    masks: NDArray[np.uint8]

    def changed_cases(self) -> Iterator[str]:
        """Every case of which a byte is not what was prepared; reads everything."""
        for index, case in enumerate(self.meta["cases"]):
            images, masks, checksum = self._volume(index)
            if not checksum.fits(images, masks, tuple(self.meta["valid"][index])):
                yield case

    def _volume(self, index: int) -> tuple[NDArray[np.float16], NDArray[np.uint8], Checksum]:
        start = sum(self.meta["counts"][:index])
        rows = slice(start, start + self.meta["counts"][index])
        return self.images[rows], self.masks[rows], Checksum(**self.meta["checksums"][index])

    def sampled_cases_changed(self) -> Iterator[str]:
        """Every case of up to 16, evenly spaced, whose sample is not what was prepared."""
        cases = self.meta["cases"]
        for index in sorted(set(np.linspace(0, len(cases) - 1, _SAMPLES).round().astype(int).tolist())):
            images, masks, checksum = self._volume(index)
            if not checksum.sample_fits(images, masks, self.meta["valid"][index][1]):
                yield cases[index]


def write_meta(folder: Path, meta: Mapping[str, object]) -> None:
    """Write the facts about a set with their hash. Raises StoreError: the folder cannot be written."""
    as_read = json.loads(json.dumps(meta))  # keys become strings, tuples lists
    write_json(folder / META, as_read | {"sha256": _hash(as_read)})


def read_set(folder: Path) -> StoredSet:
    """Open a set and compare sizes, headers, facts and samples. Raises StoreError: it is missing or damaged."""
    try:
        meta = json.loads((folder / META).read_text())
        if not isinstance(meta, dict) or meta.pop("sha256", None) != _hash(meta):
            raise ValueError(f"{META} is cut, edited or of an earlier version")
        images, masks = (_array(folder / name) for name in (IMAGES, MASKS))
        if not images.shape[:1] == masks.shape[:1] == (sum(meta["counts"]),) or images.shape[2:] != masks.shape[1:]:
            raise ValueError(f"{IMAGES} and {MASKS} have {len(images)} and {len(masks)} slices")
        stored = StoredSet(meta, images, masks)
        changed = next(stored.sampled_cases_changed(), None)
    except (OSError, EOFError, ValueError, LookupError) as error:
        raise StoreError(
            f"'{folder}' must be a whole prepared set, it is not ({error}): remove it, and it is prepared again"
        ) from error
    if changed is not None:
        raise StoreError(changed_since(folder, changed))
    return stored


def changed_since(folder: Path, case: str) -> str:
    """The sentence about a case that was changed."""
    return (
        f"'{folder}' must hold what was prepared, case '{case}' was changed since: remove it, and it is prepared again"
    )


def _array(path: Path) -> np.memmap[Any, Any]:
    """A memory map of an array whose file has the size that its header demands."""
    array = np.lib.format.open_memmap(path, mode="r")
    if path.stat().st_size != array.offset + array.nbytes:
        raise ValueError(f"{path.name} has bytes after its end")
    return array


def _hash(meta: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()

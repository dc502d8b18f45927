"""The prepared set: every volume read once, normalized, scaled, padded and stored as memory-mapped arrays.

`albench.data.preparation` builds it under a temporary name, one process at a time, and renames it when it is complete.
The folder's name is a hash of the dataset's options and of the content of its files, so a changed file or option
gives a new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.config import options_of
from albench.data.dataset import GRID, Dataset, LabeledStack, SliceStack
from albench.data.paths import cache_folder
from albench.data.preparation import FORMAT, Progress, build_set
from albench.data.workers import default_workers
from albench.errors import ConfigError
from albench.files import locked, write_json
from albench.masks import PackedMasks
from albench.registry import source_digest

__all__ = ["Prepared", "Progress", "cache_folder", "content_key", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A prepared set on disk, opened by memory map.

    Attributes:
        key: the hash of options and content.
        images: (N, c, H, W) float16, zero mean and unit variance per volume; padding has the volume's minimum.
        masks: (N, H, W) uint8.
        cases: names, sorted.
        counts: (s,) slices of each case.
        valid: (s, 2) height and width that are not padding.
        spacing: (s, 3) millimeters along z, y, x on the working grid.
        patients: (s,) whose volume each case is; the split keeps a patient's volumes together.
        intensity: (s, c, 2) lowest and highest value as read, before clipping; None if it was not recorded.
    """

    key: str
    images: NDArray[np.float16]
    masks: NDArray[np.uint8]
    cases: tuple[str, ...]
    counts: NDArray[np.int64]
    valid: NDArray[np.int64]
    spacing: NDArray[np.float64]
    patients: tuple[str, ...]
    intensity: NDArray[np.float64] | None = None

    def stack(self, cases: Sequence[str]) -> SliceStack:
        """The slices of the named cases."""
        chosen = np.array([self.cases.index(name) for name in cases])
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        counts = self.counts[chosen]
        return SliceStack(
            images=self.images,
            rows=np.concatenate([np.arange(starts[i], starts[i + 1]) for i in chosen]),
            case=np.repeat(np.arange(len(chosen)), counts),
            position=np.concatenate([np.arange(count) for count in counts]),
            valid=np.repeat(self.valid[chosen], counts, axis=0),
            cases=tuple(cases),
            spacing=self.spacing[chosen],
        )

    def labeled_stack(self, cases: Sequence[str]) -> LabeledStack:
        """The slices of the named cases together with their masks."""
        stack = self.stack(cases)
        case_masks = ((ids, self.masks[stack.rows[ids]]) for ids in map(stack.of, range(len(cases))))
        return LabeledStack(stack, PackedMasks.collect(np.arange(len(stack)), stack.shape[1:], case_masks))


def prepare(dataset: Dataset, progress: Progress | None = None, workers: int | None = 1) -> Prepared:
    """Open the prepared set, building it first if it is not there. Safe when several processes call it at once.

    Args:
        workers: processes that read volumes, None for as many as suit the data and the machine; a script that asks
            for more than one must be importable, its own work under `if __name__ == "__main__":`.

    Raises:
        ConfigError: the working size does not fit the network's grid, or the window is none.
        DataError: a file of the dataset cannot be used.
        StoreError: the cache cannot be written.
    """
    if dataset.size and any(side < GRID or side % GRID for side in dataset.size):
        raise ConfigError(
            f"data.size must be two multiples of {GRID}, got {list(dataset.size)}: write for example "
            "--set data.size=[96,128]"
        )
    if dataset.window and not dataset.window[0] < dataset.window[1]:
        raise ConfigError(
            f"data.window must be two numbers, the lower first, got {list(dataset.window)}: write for example "
            "--set data.window=[-57,164]"
        )
    key = content_key(dataset)
    folder = cache_folder() / f"{dataset.title}-{key}"
    if not (folder / "meta.json").exists():
        with locked(folder.with_name(f"{folder.name}.lock"), wait=True, leave=False):
            if not (folder / "meta.json").exists():
                show = progress or (lambda done, total, case: None)
                build_set(dataset, folder, show, default_workers(dataset) if workers is None else workers)
    meta = json.loads((folder / "meta.json").read_text())
    return Prepared(
        key=key,
        images=np.load(folder / "images.npy", mmap_mode="r"),
        masks=np.load(folder / "masks.npy", mmap_mode="r"),
        cases=tuple(meta["cases"]),
        counts=np.array(meta["counts"]),
        valid=np.array(meta["valid"]),
        spacing=np.array(meta["spacing"]),
        patients=tuple(meta["patients"]),
        intensity=np.array(meta["intensity"]),
    )


def content_key(dataset: Dataset) -> str:
    """A hash of what the dataset will load: its options, its code if it is a plugin, the content of its files."""
    options = {k: v for k, v in options_of(dataset).items() if k not in dataset.locations}
    digests = _file_digests(dataset.inputs())
    content = [FORMAT, dataset.name, source_digest(type(dataset)), options, digests]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _file_digests(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Name and SHA-256 of each file. A file of unchanged size and time is not read again."""
    if not paths:
        return []
    where = hashlib.sha256(str(paths[0].resolve().parent).encode()).hexdigest()[:16]
    memo_path = cache_folder() / "digests" / f"{where}.json"
    try:
        memo = json.loads(memo_path.read_text())
    except (OSError, ValueError):
        memo = {}
    digests = {}
    for path in paths:
        stat = path.stat()
        name = str(path.resolve())
        known = memo.get(name)
        if known is None or known[:2] != [stat.st_size, stat.st_mtime_ns]:
            known = [stat.st_size, stat.st_mtime_ns, _sha256(path)]
        digests[name] = known
    if digests != memo:
        write_json(memo_path, digests)
    return [(path.name, digests[str(path.resolve())][2]) for path in paths]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

"""The prepared set: every volume read once, normalized, scaled, padded and stored as memory-mapped arrays.

The folder's name is a hash of the dataset's options and of the content of its files, so a changed file or option
gives a new one. It is built under a temporary name by one process at a time and renamed when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from albench.config import options_of
from albench.data import GRID, Dataset, LabeledStack, SliceStack, Volume, check_volume
from albench.errors import ConfigError, DataError
from albench.files import locked, refusing_disk_errors, replacing, write_json
from albench.masks import PackedMasks
from albench.registry import source_digest

FORMAT = 1

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Prepared:
    """A prepared set on disk, opened by memory map.

    Attributes:
        key: the hash of options and content.
        images: (N, c, H, W) float16, zero mean and unit variance per volume; padding has the volume's minimum.
        masks: (N, H, W) uint8.
        subjects: names, sorted.
        counts: (s,) slices of each subject.
        valid: (s, 2) height and width that are not padding.
        spacing: (s, 3) millimeters along z, y, x on the working grid.
    """

    key: str
    images: NDArray[np.float16]
    masks: NDArray[np.uint8]
    subjects: tuple[str, ...]
    counts: NDArray[np.int64]
    valid: NDArray[np.int64]
    spacing: NDArray[np.float64]

    def stack(self, subjects: Sequence[str]) -> SliceStack:
        """The slices of the named subjects."""
        chosen = np.array([self.subjects.index(name) for name in subjects])
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        counts = self.counts[chosen]
        return SliceStack(
            images=self.images,
            rows=np.concatenate([np.arange(starts[i], starts[i + 1]) for i in chosen]),
            subject=np.repeat(np.arange(len(chosen)), counts),
            position=np.concatenate([np.arange(count) for count in counts]),
            valid=np.repeat(self.valid[chosen], counts, axis=0),
            subjects=tuple(subjects),
            spacing=self.spacing[chosen],
        )

    def labeled_stack(self, subjects: Sequence[str]) -> LabeledStack:
        """The slices of the named subjects together with their masks."""
        stack = self.stack(subjects)
        by_subject = (stack.of(index) for index in range(len(subjects)))
        return LabeledStack(stack, PackedMasks.collect((ids, self.masks[stack.rows[ids]]) for ids in by_subject))


def cache_folder() -> Path:
    """`$ALBENCH_CACHE`, or the platform's folder for caches."""
    if "ALBENCH_CACHE" in os.environ:
        return Path(os.environ["ALBENCH_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "albench"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "albench"


def prepare(dataset: Dataset, progress: Progress | None = None) -> Prepared:
    """Open the prepared set, building it first if it is not there. Safe when several processes call it at once.

    Raises:
        ConfigError: the working size does not fit the network's grid.
        DataError: a file of the dataset cannot be used.
        StoreError: the cache cannot be written.
    """
    if dataset.size and any(side < GRID or side % GRID for side in dataset.size):
        raise ConfigError(
            f"data.size must be two multiples of {GRID}, got {list(dataset.size)}: write for example "
            "--set data.size=[96,128]"
        )
    key = content_key(dataset)
    folder = cache_folder() / f"{dataset.title}-{key}"
    if not (folder / "meta.json").exists():
        with locked(folder.with_name(f"{folder.name}.lock"), wait=True):
            if not (folder / "meta.json").exists():
                _build(dataset, folder, progress or (lambda done, total, subject: None))
    meta = json.loads((folder / "meta.json").read_text())
    return Prepared(
        key=key,
        images=np.load(folder / "images.npy", mmap_mode="r"),
        masks=np.load(folder / "masks.npy", mmap_mode="r"),
        subjects=tuple(meta["subjects"]),
        counts=np.array(meta["counts"]),
        valid=np.array(meta["valid"]),
        spacing=np.array(meta["spacing"]),
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
            known = [stat.st_size, stat.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()]
        digests[name] = known
    if digests != memo:
        write_json(memo_path, digests)
    return [(path.name, digests[str(path.resolve())][2]) for path in paths]


def _build(dataset: Dataset, folder: Path, progress: Progress) -> None:
    subjects = list(dataset.subjects())
    if not subjects:
        raise DataError(f"dataset '{dataset.title}' must have subjects, it has none: check where its images lie")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with refusing_disk_errors(partial):
        (partial / "subjects").mkdir(parents=True)
    counts, valid, spacing, foreground = [], [], [], 0
    for done, subject in enumerate(subjects):
        progress(done, len(subjects), subject)
        volume = dataset.load(subject)
        check_volume(volume, subject)
        volume = fit_to(_standardized(volume, dataset.window), dataset.size)
        _, depth, height, width = volume.image.shape
        counts.append(depth)
        valid.append((height, width))
        spacing.append(volume.spacing)
        foreground += int(volume.mask.sum())
        with replacing(partial / "subjects" / f"{done}.npz") as file:
            np.savez(file, image=volume.image.astype(np.float16), mask=volume.mask)
    if foreground == 0:
        raise DataError(
            f"dataset '{dataset.title}' must have foreground in at least one mask, all {len(subjects)} masks are "
            "empty: check the labels asked for"
        )
    _join(partial, len(subjects), np.array(valid), dataset.size)
    meta = {"subjects": subjects, "counts": counts, "valid": valid, "spacing": spacing}
    write_json(partial / "meta.json", meta | {"options": options_of(dataset), "format": FORMAT})
    shutil.rmtree(partial / "subjects")
    partial.rename(folder)
    progress(len(subjects), len(subjects), "")


def _join(partial: Path, subjects: int, valid: NDArray[np.int64], size: tuple[int, int] | None) -> None:
    """Write all slices, padded to one shape, into two files. Plain writes: a full disk is an error, not a crash."""
    # A memory map would end in SIGBUS when the disk is full.
    height, width = size or [-(-int(side) // GRID) * GRID for side in valid.max(0)]
    volumes = [np.load(partial / "subjects" / f"{i}.npz") for i in range(subjects)]
    total = sum(len(volume["mask"]) for volume in volumes)
    channels = volumes[0]["image"].shape[0]
    with replacing(partial / "images.npy") as images, replacing(partial / "masks.npy") as masks:
        for file, dtype, shape in (
            (images, np.float16, (total, channels, height, width)),
            (masks, np.uint8, (total, height, width)),
        ):
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                "fortran_order": False,
                "shape": shape,
            }
            np.lib.format.write_array_header_1_0(file, header)
        for volume in volumes:
            image, mask = volume["image"].swapaxes(0, 1), volume["mask"]
            pad = ((0, 0), (0, height - mask.shape[1]), (0, width - mask.shape[2]))
            padded = np.pad(image, (pad[0], (0, 0), *pad[1:]), constant_values=image.min())
            images.write(padded.tobytes())
            masks.write(np.pad(mask, pad).tobytes())


def _standardized(volume: Volume, window: tuple[float, float] | None) -> Volume:
    """Clip each channel, then give it mean 0 and standard deviation 1 (a constant one becomes 0)."""
    channels = []
    for channel in volume.image:
        low, high = window or np.percentile(channel, (0.5, 99.5))
        clipped = np.clip(channel, low, high).astype(np.float64)
        spread = clipped.std()
        channels.append((clipped - clipped.mean()) / (spread if spread > 0 else 1.0))
    return Volume(np.stack(channels).astype(np.float32), volume.mask, volume.spacing)


def fit_to(volume: Volume, size: tuple[int, int] | None) -> Volume:
    """Scale slices in their plane to the largest that fits `size`, square pixels in millimeters.

    Images are interpolated linearly (with an anti-aliasing filter when they shrink); a mask pixel is foreground
    where the interpolated mask reaches one half. The spacing follows. Slices that fit already are left alone.
    """
    if size is None:
        return volume
    height, width = volume.mask.shape[1:]
    dz, dy, dx = volume.spacing
    scale = min(size[0] / (height * dy), size[1] / (width * dx))
    new = tuple(
        max(1, min(limit, round(extent * scale))) for limit, extent in zip(size, (height * dy, width * dx), strict=True)
    )
    if new == (height, width):
        return volume
    both = np.concatenate([volume.image, volume.mask[None].astype(np.float32)]).swapaxes(0, 1)
    scaled = interpolate(torch.from_numpy(both), new, mode="bilinear", antialias=True).numpy().swapaxes(0, 1)
    spacing = (dz, dy * height / new[0], dx * width / new[1])
    return Volume(scaled[:-1], (scaled[-1] >= 0.5).astype(np.uint8), spacing)

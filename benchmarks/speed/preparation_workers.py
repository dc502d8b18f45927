"""How much faster is the preparation with two workers than with one, and how much memory does a worker need?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from albench.benchmarks.speed.interleave import Spread, ratio
from albench.benchmarks.speed.record import Row, main
from albench.temporary import temporary_folder

_VOLUMES, _WORKERS, _REPEATS = 100, 2, 2
_SHAPE = (240, 240, 155)
_DISTINCT = 8  # volumes; the others are copies, which take as long to read
_BYTES = int(np.prod(_SHAPE)) * 4  # of a volume in float32

_PREPARE = """
import json, resource, sys, time
from albench.data import prepare
from albench.registry import DATASETS, find
if __name__ == "__main__":
    data = find(DATASETS, "folder")(root=sys.argv[1])
    begin = time.perf_counter()
    prepare(data, workers=int(sys.argv[2]))
    seconds = time.perf_counter() - begin
    # The workers have ended and were waited for, so this is the largest of them.
    who = resource.RUSAGE_SELF if sys.argv[2] == "1" else resource.RUSAGE_CHILDREN
    scale = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"seconds": seconds, "peak": resource.getrusage(who).ru_maxrss * scale}))
"""


def measure() -> Iterator[Row]:
    """100 compressed NIfTI volumes of the size of BraTS, each time in a new process with an empty cache.

    Times include writing to the disk. The unit of memory is a volume in float32; the memory of a worker is its peak
    minus that of a worker that reads two tiny volumes.
    """
    with temporary_folder() as place:
        _write_volumes(place / "tiny", 2, (32, 32, 8))
        _write_volumes(place / "volumes", _VOLUMES, _SHAPE)
        empty = _prepare(place / "tiny", _WORKERS, place / "cache")["peak"]
        turns = [
            [_prepare(place / "volumes", workers, place / "cache") for workers in (1, _WORKERS)]
            for _ in range(_REPEATS)
        ]
    one, two = ([turn[variant]["seconds"] for turn in turns] for variant in (0, 1))
    memory = [(turn[1]["peak"] - empty) / _BYTES for turn in turns]
    note = f"{_VOLUMES} volumes of {' x '.join(map(str, _SHAPE))}"
    yield Row("speedup of two workers over one", ratio(one, two), ">= 1.7", note=note)
    yield Row("memory of a worker", Spread.of(memory), "<= 3", "volumes", note=note)
    yield Row("one worker", Spread.of(one), unit="s", note=note)


def _write_volumes(root: Path, count: int, shape: tuple[int, int, int]) -> None:
    """Write a folder of smooth heads with a bright ball, compressed to about 2.5 MB each like those of BraTS."""
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij")
    head = (x / 0.6) ** 2 + (y / 0.72) ** 2 + (z / 0.85) ** 2 < 1
    ball = ((x - 0.2) ** 2 + (y + 0.1) ** 2 + z**2 < 0.04).astype(np.uint8)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    for index in range(count):
        image, mask = (root / name / f"{index:04d}.nii.gz" for name in ("imagesTr", "labelsTr"))
        if index < _DISTINCT:
            rng = np.random.default_rng(index)
            texture = 500 * gaussian_filter(rng.standard_normal(shape, np.float32), 2)
            values = (300 + texture + 20 * rng.standard_normal(shape, np.float32) + 100 * ball) * head
            nib.save(nib.Nifti1Image(np.clip(values, 0, None).astype(np.int16), affine), image)
            nib.save(nib.Nifti1Image(ball, affine), mask)
        else:
            for path in (image, mask):
                shutil.copyfile(path.with_name(f"{index % _DISTINCT:04d}.nii.gz"), path)


def _prepare(root: Path, workers: int, cache: Path) -> dict[str, float]:
    """Seconds of the preparation, and peak bytes of the largest worker."""
    os.sync()  # so that earlier writes are not part of the time
    script = root.with_name("prepare.py")
    script.write_text(_PREPARE)
    environment = {**os.environ, "ALBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(root), str(workers)]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    shutil.rmtree(cache)
    measured: dict[str, float] = json.loads(printed)
    return measured


if __name__ == "__main__":
    main("preparation_workers", measure)

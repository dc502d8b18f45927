"""How much faster are volumes prepared with two workers than with one, and how much memory does a worker need?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from albench.benchmarks.speed.interleave import Spread, ratio
from albench.benchmarks.speed.record import Finding, Row, main

_VOLUMES, _WORKERS, _REPEATS = 100, 2, 2
_SHAPE = (240, 240, 155)
_DISTINCT = 8  # volumes; the others are copies, which are read just as well
_BYTES = int(np.prod(_SHAPE)) * 4  # bytes

_PREPARE = """
import json, resource, sys, time
from albench.data import prepare
from albench.registry import DATASETS, find
if __name__ == "__main__":
    data = find(DATASETS, "folder")(root=sys.argv[1])
    begin = time.perf_counter()
    prepare(data, workers=int(sys.argv[2]))
    seconds = time.perf_counter() - begin
    # The workers are gone and were waited for: this is the largest of them.
    who = resource.RUSAGE_SELF if sys.argv[2] == "1" else resource.RUSAGE_CHILDREN
    scale = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"seconds": seconds, "peak": resource.getrusage(who).ru_maxrss * scale}))
"""


def measure() -> Finding:
    """100 compressed NIfTI volumes of BraTS's size, each time in a fresh process with an empty cache.

    Times end when all is written down to the disk. A volume is what it takes in float32; the memory of a worker is its
    peak less that of a worker with two tiny volumes.
    """
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        _write_volumes(place / "tiny", 2, (32, 32, 8))
        _write_volumes(place / "volumes", _VOLUMES, _SHAPE)
        empty = _prepare(place / "tiny", _WORKERS, place / "cache")["peak"]
        turns = [
            [_prepare(place / "volumes", workers, place / "cache") for workers in (1, _WORKERS)]
            for _ in range(_REPEATS)
        ]
    one, two = ([turn[variant]["seconds"] for turn in turns] for variant in (0, 1))
    memory = [(turn[1]["peak"] - empty) / _BYTES for turn in turns]
    rows = [
        Row("two workers, times as fast as one", ratio(one, two), ">= 1.7"),
        Row("memory of a worker", Spread.of(memory), "<= 3", "volumes"),
        Row("one worker", Spread.of(one), unit="s"),
    ]
    return Finding("What do two workers save?", rows, {"volumes": _VOLUMES, "shape": _SHAPE})


def _write_volumes(root: Path, count: int, shape: tuple[int, int, int]) -> None:
    """Write a folder of smooth heads with a bright ball, compressed to about 2.5 MB each as BraTS."""
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
    """Seconds and the bytes of the largest worker."""
    os.sync()  # what was written before is not charged to this
    script = root.with_name("prepare.py")
    script.write_text(_PREPARE)
    environment = {**os.environ, "ALBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(root), str(workers)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    shutil.rmtree(cache)
    measured: dict[str, float] = json.loads(told)
    return measured


if __name__ == "__main__":
    main("preparation", measure)

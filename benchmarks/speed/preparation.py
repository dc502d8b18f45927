"""How much faster volumes are prepared with several workers, and how much memory a worker needs.

    python benchmarks/speed/preparation.py --out preparation.json

It writes compressed NIfTI volumes of the size of BraTS, prepares them with one worker and with several, each time in a
fresh process with an empty cache and written down to the disk, and says the ratio of the times. A volume is what it
takes in float32; the memory of a worker is its peak less that of a worker with two tiny volumes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

SHAPE = (240, 240, 155)
DISTINCT = 8  # volumes; the others are copies, which are read just as well
VOLUME = int(np.prod(SHAPE)) * 4  # bytes

_PREPARE = """
import json, resource, sys, time
from albench.cache import prepare
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


def write_volumes(root: Path, count: int, shape: tuple[int, int, int]) -> None:
    """Write a folder of smooth heads with a bright ball, compressed to about 2.5 MB each as BraTS."""
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in shape), indexing="ij")
    head = (x / 0.6) ** 2 + (y / 0.72) ** 2 + (z / 0.85) ** 2 < 1
    ball = ((x - 0.2) ** 2 + (y + 0.1) ** 2 + z**2 < 0.04).astype(np.uint8)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    for index in range(count):
        image, mask = (root / name / f"{index:04d}.nii.gz" for name in ("imagesTr", "labelsTr"))
        if index < DISTINCT:
            rng = np.random.default_rng(index)
            texture = 500 * gaussian_filter(rng.standard_normal(shape, np.float32), 2)
            values = (300 + texture + 20 * rng.standard_normal(shape, np.float32) + 100 * ball) * head
            nib.save(nib.Nifti1Image(np.clip(values, 0, None).astype(np.int16), affine), image)
            nib.save(nib.Nifti1Image(ball, affine), mask)
        else:
            for path in (image, mask):
                shutil.copyfile(path.with_name(f"{index % DISTINCT:04d}.nii.gz"), path)


def measure(root: Path, workers: int, cache: Path) -> dict[str, float]:
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


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--volumes", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1, help="of each, in turn; the fastest is reported")
    parser.add_argument("--folder", type=Path, help="where there are some 5 GB; a temporary folder if not given")
    parser.add_argument("--out", type=Path, default=Path("preparation.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        place = Path(name)
        write_volumes(place / "tiny", 2, (32, 32, 8))
        write_volumes(place / "volumes", args.volumes, SHAPE)
        runs: dict[int, list[dict[str, float]]] = {1: [], args.workers: []}
        for _ in range(args.repeats):
            for workers, timed in runs.items():
                timed.append(measure(place / "volumes", workers, place / "cache"))
        empty = measure(place / "tiny", args.workers, place / "cache")["peak"]
    seconds = {workers: min(run["seconds"] for run in timed) for workers, timed in runs.items()}
    ratio = seconds[1] / seconds[args.workers]
    memory = (max(run["peak"] for run in runs[args.workers]) - empty) / VOLUME
    args.out.write_text(
        json.dumps(
            {
                "volumes": args.volumes,
                "shape": SHAPE,
                "seconds": seconds,
                "ratio": ratio,
                "volumes_of_memory_per_worker": memory,
                "runs": runs,
                "cores": os.cpu_count(),
                "machine": platform.platform(),
            },
            indent=1,
        )
    )
    print(
        f"{args.volumes} volumes of 240 x 240 x 155: {seconds[1]:.1f} s with 1 worker, "
        f"{seconds[args.workers]:.1f} s with {args.workers}: {ratio:.2f} times as fast, "
        f"{memory:.1f} volumes of memory per worker"
    )


if __name__ == "__main__":
    main()

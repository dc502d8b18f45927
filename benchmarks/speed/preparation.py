"""How much faster volumes are prepared with several workers, and how much memory a worker needs.

    python benchmarks/speed/preparation.py --json preparation.json

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
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

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


@dataclass(frozen=True)
class Row:
    """One figure: the median of repeats, with the lowest and the highest."""

    name: str
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, name: str, values: list[float]) -> Row:
        """The figure of at least one value."""
        return cls(name, median(values), min(values), max(values))


def main() -> None:
    """Measure in turns, print one line, and write JSON if `--json PATH` was given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--volumes", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where there are some 5 GB; a temporary folder if not given")
    parser.add_argument("--json", type=Path, help="where to write the record")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        place = Path(name)
        write_volumes(place / "tiny", 2, (32, 32, 8))
        write_volumes(place / "volumes", args.volumes, SHAPE)
        empty = measure(place / "tiny", args.workers, place / "cache")["peak"]
        turns = [
            [measure(place / "volumes", workers, place / "cache") for workers in (1, args.workers)]
            for _ in range(args.repeats)
        ]
    rows = [
        Row.of(f"times as fast with {args.workers} workers", [one["seconds"] / many["seconds"] for one, many in turns]),
        Row.of("volumes of memory per worker", [(many["peak"] - empty) / VOLUME for _, many in turns]),
        Row.of("s with 1 worker", [one["seconds"] for one, _ in turns]),
        Row.of(f"s with {args.workers} workers", [many["seconds"] for _, many in turns]),
    ]
    print("preparation: " + "; ".join(f"{f.median:.3g} ({f.low:.3g} to {f.high:.3g}) {f.name}" for f in rows))
    if args.json:
        listed = [asdict(figure) for figure in rows]
        notes = {"volumes": args.volumes, "shape": SHAPE, "load_before": load}
        hardware = {"machine": platform.platform(), "cores": os.cpu_count()}
        args.json.write_text(json.dumps({"name": "preparation", "rows": listed, "notes": notes, "hardware": hardware}))


if __name__ == "__main__":
    main()

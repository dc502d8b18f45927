"""Five worklists of a project on the hippocampus, drawn by a script that copies the true masks, and what they give.

    python docs/studies/annotate_hippocampus.py Task04_Hippocampus FOLDER > annotate-hippocampus.csv

The project gets 24 volumes without masks and 4 with masks for validation. After every round all volumes are segmented,
and the 24 are compared with their masks, whatever part of these was drawn. About ten minutes on two cores.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from albench.metrics import dice

POOL, VALIDATION, ROUNDS, BUDGET = 24, 4, 4, 48
CLASSES = "data.classes={anterior: 1, posterior: 2}"


def main() -> None:
    """Make the project, draw what it asks for, and print a row per round."""
    data, folder = map(Path, sys.argv[1:])
    images = sorted((data / "imagesTr").glob("hippocampus_*.nii.gz"))[: POOL + VALIDATION]
    pool, held = images[:POOL], images[POOL:]
    for path in images:
        _link(path, folder / "scans" / path.name)
    for path in held:
        _link(data / "labelsTr" / path.name, folder / "masks" / path.name)
    project = folder / "project"
    named = [part for path in held for part in ("--validation", path.name.removesuffix(".nii.gz"))]
    options = ["--images", folder / "scans", "--labels", folder / "masks", *named, "--set", CLASSES]
    _albench("new", project, *options, "--strategy", "star", "--budget", BUDGET)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["round", "slices drawn", "of slices", "mean volume Dice of 24 volumes"])
    total = sum(nib.load(path).shape[2] for path in pool)
    drawn = 0
    for index in range(ROUNDS + 1):
        drawn += _draw(project / "worklists" / f"{index:02d}", data / "labelsTr")
        _albench("next", project, "--empty-is-done", "--prefill")
        out = folder / f"segmented-{index}"
        _albench("segment", project, "--out", out)
        scores = [_dice(data / "labelsTr" / path.name, out / "segmentations" / path.name) for path in pool]
        writer.writerow([index, drawn, total, f"{np.mean(scores):.4f}"])
        sys.stdout.flush()


def _albench(*arguments: object) -> None:
    command = [sys.executable, "-m", "albench", "annotate", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())


def _draw(folder: Path, masks: Path) -> int:
    """Copy the true slices into the label files of a worklist, as a person would draw them; return their number."""
    rows = [*csv.DictReader((folder / "worklist.csv").open())]
    for name in sorted({row["label_file"] for row in rows}):
        file, truth = nib.load(folder / name), _labels(masks / name)
        values = np.asarray(file.dataobj).astype(np.int16)
        for row in rows:
            if row["label_file"] == name:
                plane = [slice(None)] * 3
                plane["ijk".index(row["dimension"])] = int(row["index_3d_slicer"])
                values[tuple(plane)] = truth[tuple(plane)]
        nib.save(nib.Nifti1Image(values, file.affine), folder / name)
    return len(rows)


def _labels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(nib.load(path).dataobj).astype(np.uint8)


def _dice(truth: Path, segmented: Path) -> float:
    """Of both classes together."""
    return dice(_labels(segmented) > 0, _labels(truth) > 0)


if __name__ == "__main__":
    main()

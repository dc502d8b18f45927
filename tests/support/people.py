"""People who draw what is true, with files of arrays in the place of label files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from albench.annotation.drawings import AskedSlice, Drawn, Suggestions, by_volume
from albench.annotation.rounds import Computing
from albench.data import Prepared, Problem, split_volumes
from albench.loop import Execution
from albench.masks import UNKNOWN, Mask
from albench.runs.records import SliceName
from support.samples import TINY

CASES = [f"phantom_{index}" for index in range(6)]
VALIDATION, TEST = CASES[4:]
SETTINGS = {name: value for name, value in TINY.items() if not name.startswith("data.") and name != "protocol.split"}


class ArrayFiles:
    """An array for each case, UNKNOWN where nothing is drawn."""

    def __init__(self, prepared: Prepared) -> None:
        sizes = zip(prepared.counts.tolist(), prepared.valid.tolist(), strict=True)
        self.shapes = {case: (count, *valid) for case, (count, valid) in zip(prepared.cases, sizes, strict=True)}

    def write(self, folder: Path, asked: Sequence[AskedSlice], suggestions: Suggestions, title: str) -> None:
        """Arrays without labels, and what is asked."""
        for case, own in by_volume(asked).items():
            positions = [one.name.position for one in own]
            np.savez(folder / f"{case}.npz", mask=np.full(self.shapes[case], UNKNOWN, np.uint8), asked=positions)

    def read(self, folder: Path, asked: Sequence[AskedSlice], suggestions: Suggestions) -> Drawn:
        """Every slice with a label; a file that is missing is a problem."""
        masks: dict[SliceName, Mask] = {}
        problems = []
        for case in sorted({one.name.case for one in asked}):
            path = folder / f"{case}.npz"
            if path.exists():
                stored = enumerate(np.load(path)["mask"])
                masks |= {SliceName(case, z): plane for z, plane in stored if (plane != UNKNOWN).any()}
            else:
                problems.append(Problem(str(path), f"'{path}' must be there, it is missing: restore it"))
        return Drawn(masks, tuple(problems))


COMPUTING = Computing(Execution(torch.device("cpu")), lambda dataset, prepared: ArrayFiles(prepared))


def draw(
    folder: Path, truth: dict[str, Mask], *, cases: Sequence[str] | None = None, extra: Sequence[int] = ()
) -> None:
    """Copy true slices into the files of a worklist: those asked for, and on request others of the same cases."""
    for path in sorted(folder.glob("*.npz")):
        if cases is None or path.stem in cases:
            stored = dict(np.load(path))
            chosen = [*stored["asked"].tolist(), *extra]
            stored["mask"][chosen] = truth[path.stem][chosen]
            np.savez(path, **stored)


def split_seed(cases: Sequence[str] = CASES, val: str = VALIDATION, test: str = TEST) -> int:
    """The seed by which a run splits the cases as the project does, with one case for validation and one for tests."""
    for seed in range(1000):
        split = split_volumes(cases, cases, (len(cases) - 2, 1, 1), seed)
        if (split.val, split.test) == ((val,), (test,)):
            return seed
    raise AssertionError


def visible(results: dict[str, Any]) -> dict[str, Any]:
    """Results without the quality of masks against a truth that nobody knows in a project."""
    results = dict(results)
    for quality in (results["pseudo"], *results["predictions"].values()):
        for name in ("dice", "dice_foreground"):
            quality.pop(name)
    return results

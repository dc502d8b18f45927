"""The files of a worklist that people draw in: label files of the volumes, the list and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.annotation.drawings import AskedSlice, Drawn, Suggestions, by_volume
from albench.annotation.label_files import Asked, write_label_file
from albench.annotation.returned import Rules
from albench.annotation.returned_folder import SUFFIX, read_folder
from albench.annotation.working_grid import on_working_grid
from albench.annotation.worklist import Reason, Task, write_worklist
from albench.annotation.worklist_page import write_worklist_page
from albench.data import Dataset, Prepared
from albench.runs.records import SliceName


@dataclass(frozen=True)
class LabelDrawings:
    """Label files in the voxels of the images (`albench.annotation.drawings.Drawings`).

    Attributes:
        dataset: of the volumes.
        prepared: its prepared set.
        rules: how label files are read.
    """

    dataset: Dataset
    prepared: Prepared
    rules: Rules

    def write(self, folder: Path, asked: Sequence[AskedSlice], suggestions: Suggestions, title: str) -> None:
        """Write all files of a worklist into an empty folder."""
        reasons = {
            case: {one.name.position: Reason(one.rank, one.score) for one in own}
            for case, own in by_volume(asked).items()
        }
        tasks = [Task(one, f"{one.case}{SUFFIX}", reasons[one.case]) for one in self._asked(asked, suggestions)]
        for task in tasks:
            write_label_file(folder / task.label_file, task.asked)
        classes = self.dataset.class_names
        write_worklist(folder, tasks, classes)
        images = {task.asked.case: self._images(task.asked) for task in tasks}
        write_worklist_page(folder / "worklist.html", tasks, images, classes, title=title)

    def read(self, folder: Path, asked: Sequence[AskedSlice], suggestions: Suggestions) -> Drawn:
        """What was drawn in the label files of a folder."""
        by_case = {one.case: one for one in self._asked(asked, suggestions)}
        returned, findings = read_folder(folder, [*by_case.values()], self.dataset.read_labels, self.rules)
        masks = {
            SliceName(case, position): on_working_grid(mask, by_case[case].grid, self.dataset.size)
            for case, one in returned.items()
            for position, mask in one.masks.items()
        }
        return Drawn(masks, tuple(findings))

    def _asked(self, asked: Sequence[AskedSlice], suggestions: Suggestions) -> list[Asked]:
        """The slices by volume, in the order in which volumes are wanted."""
        return [
            asked_of(self.dataset, case, [one.name.position for one in own], suggestions)
            for case, own in by_volume(asked).items()
        ]

    def _images(self, asked: Asked) -> dict[int, NDArray[np.float16]]:
        """{position: (h, w)} the first channel of the slices that are asked for."""
        slices = self.prepared.stack([asked.case])
        height, width = slices.valid[0]
        return {i: np.array(self.prepared.images[slices.rows[i], 0, :height, :width]) for i in asked.positions}


def asked_of(dataset: Dataset, case: str, positions: Sequence[int], suggestions: Suggestions) -> Asked:
    """Slices of a volume, with their suggestions among all."""
    own = {name.position: mask for name, mask in suggestions.items() if name.case == case}
    return Asked(case, dataset.file_grid(case), tuple(sorted(positions)), own)

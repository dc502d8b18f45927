"""A project of albench as MONAI Label needs it: volumes, label files, what is still to draw, rounds and predictions.

Nothing here needs MONAI Label.
"""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np

from albench.annotation import Asked, CaseCertainty, Rules, read_returned, rounds
from albench.annotation.label_drawings import LabelDrawings, asked_of
from albench.annotation.project import Project
from albench.annotation.returned_folder import SUFFIX
from albench.annotation.rounds import Computing, Worklist
from albench.data import Dataset, StoredLabels
from albench.errors import DataError, StoreError, counted, few
from albench.files import atomic_write, is_locked, translate_os_errors
from albench.loop import Execution
from albench.masks import UNKNOWN, Mask
from albench.resolve import make_dataset
from albench.training.device import choose_device
from albench_monai_label.options import Options

UNKNOWN_NAME = "unknown"  # of the segment that stands for what nobody has to draw
_SAVED = b"saved by MONAI Label"
_UPLOADS = ".uploads"  # hidden, so that albench does not read what is in it


@dataclass(frozen=True)
class AskedSlice:
    """A slice of the worklist.

    Attributes:
        position: as albench counts it, which no tool shows.
        dimension: of the file across which the slice lies, `i`, `j` or `k`.
        index: its index there, as 3D Slicer counts it.
        offset: millimeters that the slice view of 3D Slicer shows.
        rank: from 1, the slice that is wanted most.
        score: of the strategy; None if it gives none.
        drawn: whether it is done.
    """

    position: int
    dimension: str
    index: int
    offset: float
    rank: int
    score: float | None
    drawn: bool

    def info(self) -> dict[str, object]:
        """As MONAI Label hands it on to clients."""
        return {
            "dimension": self.dimension,
            "index_3d_slicer": self.index,
            "index_itk_snap": self.index + 1,
            "offset_3d_slicer_mm": self.offset,
            "rank": self.rank,
            "score": self.score,
            "drawn": self.drawn,
        }


@dataclass(frozen=True)
class AskedVolume:
    """A volume of the worklist.

    Attributes:
        slices: that are asked for, the one most wanted first.
        handed_out: its label file in the worklist.
        saved: what clients have drawn of it, where albench reads it; None before they save.
    """

    slices: tuple[AskedSlice, ...]
    handed_out: Path
    saved: Path | None

    @property
    def drawn(self) -> bool:
        """Whether nothing is left to draw."""
        return all(one.drawn for one in self.slices)

    @property
    def to_draw_in(self) -> Path:
        """The file with which a client begins, so that what was saved is not drawn again."""
        return self.saved or self.handed_out


class OpenProject:
    """A project that a server has open. What is on disk is read again when it has changed.

    Every method raises AlbenchError, in one sentence, for what a user can fix.

    Args:
        folder: of the project.
        options: of the app.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder, self.options = folder, options
        self._read: tuple[object, Worklist] | None = None
        Project.open(folder)  # which says what is missing

    @property
    def project(self) -> Project:
        """As it is on disk now."""
        return Project.open(self.folder)

    @cached_property
    def dataset(self) -> Dataset:
        """The volumes."""
        project = self.project
        return make_dataset("folder", project.stage.settings | {"data.root": str(project.listing)})

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes 1 to K."""
        return self.dataset.class_names

    @cached_property
    def images(self) -> dict[str, Path]:
        """The image of every volume, by case; the first channel of several."""
        return {case: self.dataset.file_grid(case).path.resolve() for case in self.dataset.cases()}

    @property
    def worklist(self) -> Worklist:
        """What is to be drawn now."""
        project = self.project
        files = sorted(path for path in project.worklist(project.rounds).rglob("*") if path.is_file())
        state = project.rounds, [(path, (stat := path.stat()).st_mtime_ns, stat.st_size) for path in files]
        if self._read is None or self._read[0] != state:
            self._read = state, rounds.status(self.folder, self._computing(self.options.empty_is_done))
        return self._read[1]

    def asked(self) -> dict[str, AskedVolume]:
        """The volumes of the worklist, in the order in which they are wanted."""
        worklist = self.worklist
        path = worklist.folder / "worklist.csv"
        if worklist.finished or not path.exists():
            return {}
        missing = {(name.case, name.position) for name in worklist.missing}
        slices: dict[str, list[AskedSlice]] = {}
        rows = [*csv.DictReader(path.read_text().splitlines())]
        indices = {case: self.dataset.file_grid(case).indices.tolist() for case in {row["volume"] for row in rows}}
        for row in rows:
            case, index = row["volume"], int(row["index_3d_slicer"])
            position = indices[case].index(index)
            slices.setdefault(case, []).append(
                AskedSlice(
                    position=position,
                    dimension=row["dimension"],
                    index=index,
                    offset=float(row["offset_3d_slicer_mm"]),
                    rank=int(row["rank"]),
                    score=float(row["score"]) if row["score"] else None,
                    drawn=(case, position) not in missing,
                )
            )
        return {
            case: AskedVolume(
                tuple(sorted(of_case, key=lambda one: one.rank)),
                worklist.folder / f"{case}{SUFFIX}",
                saved if (saved := self._saved(worklist.folder, case)).is_file() else None,
            )
            for case, of_case in slices.items()
        }

    def wanted(self) -> str | None:
        """The volume to draw next: that of the slice most wanted among those that are not drawn; None if all are.

        Volumes that were saved without being finished come last, so that one with slices that are left empty does not
        come back while others wait.
        """
        open_slices = [
            (volume.saved is not None, one.rank, case)
            for case, volume in self.asked().items()
            for one in volume.slices
            if not one.drawn
        ]
        return min(open_slices)[2] if open_slices else None

    def save(self, case: str, file: Path, names: Mapping[int, str] | None = None) -> tuple[str, ...]:
        """Save what a client has drawn in a volume of the worklist, where albench reads it.

        The file is kept as it is in a hidden folder of the worklist, whatever is wrong with it. What albench reads has
        the voxels and the labels of the handed-out file, and what is drawn on the slices that are asked for; on request
        on others too (`Options.extra_slices`).

        Args:
            file: that the client has sent, in any format that albench reads, on the grid of the image.
            names: of the labels in it, where the client has numbered them anew: classes, or `unknown`.

        Returns:
            What deserves a look, a sentence for each.
        """
        if is_locked(self.folder / ".lock"):
            raise StoreError(
                f"labels must be saved between rounds, one is computed in '{self.folder}' now: save again when it is "
                "finished"
            )
        folder, asked = self.worklist.folder, self._asked(case)
        kept = _keep(folder, case, file)
        returned = read_returned(
            kept, asked, lambda path: self._renumbered(self.dataset.read_labels(path), path, names), Rules(self.classes)
        )
        wrong = [finding.sentence for finding in returned.findings if finding.serious]
        if wrong:
            raise DataError("; ".join(wrong))
        slices = asked.slices()
        for position, mask in returned.masks.items():
            if self.options.extra_slices or position in asked.positions:
                slices[position] = mask
        self._replace(folder, slices, asked)
        looks = [finding.sentence for finding in returned.findings]
        if returned.extra and not self.options.extra_slices:
            looks = [sentence for sentence in looks if not sentence.startswith("slices that nobody asked for count")]
            looks.append(
                f"slices count if they are asked for, {counted(len(returned.extra), 'other slice')} of '{case}' with "
                "labels did not: start the server with --conf extra_slices true to keep those that you draw"
            )
        return tuple(looks)

    def remove_saved(self, case: str) -> None:
        """Take back what was saved of a volume; a hidden copy stays."""
        volume = self.asked().get(case)
        if volume is None or volume.saved is None:
            raise DataError(f"only a saved label can be removed, none of '{case}' is saved: leave it")
        _keep(self.worklist.folder, case, volume.saved)
        volume.saved.unlink()

    def label_names(self, path: Path) -> dict[str, int]:
        """{name: label} of what a label file has, in the order of labels, which is that of segments in 3D Slicer."""
        return _names(path, path.stat().st_mtime_ns, self.classes)

    def begin_round(
        self,
        *,
        strategy: str | None = None,
        empty_is_done: bool | None = None,
        leave_open: bool = False,
        prefill: bool = False,
    ) -> Worklist:
        """Read what was drawn, train, and write the next worklist, as `albench annotate next`.

        Raises AlbenchError while slices are missing or files cannot be used.
        """
        before = self.project.rounds
        done = self.options.empty_is_done if empty_is_done is None else empty_is_done
        worklist = rounds.next_round(
            self.folder, self._computing(done), strategy=strategy, leave_open=leave_open, prefill=prefill
        )
        if worklist.finished or worklist.round > before:
            return worklist
        wrong = [problem.sentence for problem in worklist.problems if problem.serious]
        if wrong:
            raise DataError("; ".join(wrong))
        cases = few(sorted({f"'{name.case}'" for name in worklist.missing}))
        raise DataError(
            f"a round begins when its slices are drawn, {counted(len(worklist.missing), 'slice')} of {cases} are "
            "missing: draw them, or train with empty_is_done or leave_open"
        )

    def segment(self, case: str) -> tuple[Path, CaseCertainty]:
        """Segment a volume with the network of the last finished round, into a temporary file that the caller owns."""
        with tempfile.TemporaryDirectory() as folder:
            (certainty,) = rounds.segment(self.folder, Path(folder), self._computing(), cases=[case])
            handle, name = tempfile.mkstemp(suffix=SUFFIX)
            os.close(handle)
            shutil.move(certainty.segmentation, name)
        return Path(name), certainty

    def case_of(self, image: str) -> str:
        """The volume whose image a file is."""
        path = Path(image).resolve()
        for case, own in self.images.items():
            if own == path:
                return case
        raise DataError(
            f"a project segments its own volumes, '{image}' is none of those in '{self.project.listing}': choose one "
            "of them"
        )

    def check_case(self, case: str) -> None:
        """Raise DataError if there is no such volume."""
        if case not in self.images:
            raise DataError(
                f"an image must be a volume of the project, '{case}' is none of {few(list(self.images))}: correct it"
            )

    def _computing(self, empty_is_done: bool = False) -> Computing:
        return Computing(
            Execution(choose_device(self.options.device)),
            lambda dataset, prepared: LabelDrawings(dataset, prepared, Rules(dataset.class_names, empty_is_done)),
            workers=None,
        )

    def _saved(self, folder: Path, case: str) -> Path:
        return folder / self.options.annotator / f"{case}{SUFFIX}"

    def _asked(self, case: str) -> Asked:
        self.check_case(case)
        by_case = self.asked()
        if case not in by_case:
            on_it = f", which holds {few(list(by_case))}" if by_case else ", which is empty"
            raise DataError(
                f"a label must be of a volume on the worklist, '{case}' is not on that of round {self.worklist.round}"
                f"{on_it}: fetch the next sample"
            )
        positions = [one.position for one in by_case[case].slices]
        return asked_of(self.dataset, case, positions, self.project.suggestions)

    def _replace(self, folder: Path, slices: Mask, asked: Asked) -> None:
        """Write the label file that albench reads, and keep the one that was there."""
        path = self._saved(folder, asked.case)
        image = nib.load(folder / f"{asked.case}{SUFFIX}")
        header = image.header.copy()
        header["descrip"] = _SAVED  # so that it is not taken for one that nobody has saved
        if path.exists():
            _keep(folder, asked.case, path)
        with atomic_write(path) as file:
            file.write(gzip.compress(nib.Nifti1Image(asked.grid.from_slices(slices), None, header).to_bytes()))

    def _renumbered(self, labels: StoredLabels, path: Path, names: Mapping[int, str] | None) -> StoredLabels:
        """Labels of a client as albench numbers them."""
        if not names:
            return labels
        own = {UNKNOWN_NAME: UNKNOWN} | {name: number for number, name in enumerate(self.classes, 1)}
        values = np.array(labels.values, dtype=np.int64)
        for value in np.unique(labels.values).tolist():
            name = names.get(value)
            if name is not None and name not in own:
                raise DataError(
                    f"segments must be named after classes, which are {', '.join(self.classes)}, or {UNKNOWN_NAME}, "
                    f"'{path}' has '{name}': rename or remove it"
                )
            if name is not None:
                values[labels.values == value] = own[name]
        return replace(labels, values=values)


@lru_cache(maxsize=1000)
def _names(path: Path, _changed: int, classes: tuple[str, ...]) -> dict[str, int]:
    own = dict(enumerate(classes, 1)) | {UNKNOWN: UNKNOWN_NAME}
    values = np.unique(np.asarray(nib.load(path).dataobj)).tolist()
    return {own.get(value, str(value)): int(value) for value in values if value}


def _keep(worklist: Path, case: str, file: Path) -> Path:
    """A copy of a file in the hidden folder of a worklist, under a number of its own."""
    folder = worklist / _UPLOADS
    with translate_os_errors(folder):
        folder.mkdir(exist_ok=True)
        kept = folder / f"{case}-{len([*folder.iterdir()]) + 1}{_suffix(file)}"
        with kept.open("xb") as copy:
            copy.write(file.read_bytes())
    return kept


def _suffix(file: Path) -> str:
    """All suffixes of a format, such as `.seg.nrrd`."""
    known = (".nii.gz", ".seg.nrrd")
    return next((suffix for suffix in known if file.name.endswith(suffix)), file.suffix)

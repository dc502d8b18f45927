"""Gliomas in MRI: the training data of BraTS [1] 2019, 2020, 2021 or 2023, which require a registration.

There is one folder per case, at any depth in `data.root`:

    HGG/BraTS19_X_1/BraTS19_X_1_flair.nii.gz, _t1, _t1ce, _t2, _seg             2019, with LGG/ beside HGG/
    BraTS20_Training_001/BraTS20_Training_001_flair.nii.gz, ...                 2020, grades in name_mapping.csv
    BraTS2021_00000/BraTS2021_00000_flair.nii.gz, ...                           2021
    BraTS-GLI-00000-000/BraTS-GLI-00000-000-t2f.nii.gz, -t1n, -t1c, -t2w, -seg  2023

Defaults are those of the STAR paper [2]: FLAIR, 240 x 240 pixels, 50, 14 and 12 patients, every 10th slice labeled
initially, then 100 per round, batches of 32. Its cases are the 76 low-grade gliomas of 2019, `data.grade=LGG`; without
this option, 76 of all patients are drawn. `protocol.split=[0.7,0.15,0.15]` uses all patients.

The split is inferred. The paper counts slices, of which every volume has 155: 7,750 for training and 2,170 for
validation are those of 50 and 14 patients. The other 12 patients have 12 x 155 = 1,860, but the paper prints 644 test
slices, which is not a multiple of 155, and 1,860 validation slices of Spleen: the two may have been exchanged.

Differences from the paper: its text names the tumor core as target, but the authors' code makes every label foreground,
which is the whole tumor; here `whole-tumor` is the default and `tumor-core` an option. The authors' code normalizes by
mean and standard deviation over all voxels of all training volumes, background included; here each volume is clipped to
its 0.5th and 99.5th percentiles and gets mean 0 and standard deviation 1, background included, because MRI has no
common unit of intensity and the prepared data should not depend on the split. `data.intensity=mr` leaves the background
out and does not clip.

[1] Baid et al. The RSNA-ASNR-MICCAI BraTS 2021 benchmark on brain tumor segmentation. arXiv:2107.02314, 2021.
[2] Ma et al. STAR. MICCAI 2025.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from albench.config import PAPER_STOP
from albench.data import Archive, Problem, PublishedSize, downloads_folder, register
from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import SUFFIXES, has_suffix
from albench.datasets._labels import FOREGROUND, Labels, Values
from albench.datasets._layout import Layout
from albench.datasets._slice_axis import AxisChoice
from albench.datasets._volumes import NiftiVolumes
from albench.errors import DataError, MissingDataError
from albench.files import is_folder

Scan = Literal["flair", "t1", "t1ce", "t2"]

_ENDINGS: Mapping[Scan, tuple[str, ...]] = {
    "flair": ("_flair", "-t2f"),
    "t1": ("_t1", "-t1n"),
    "t1ce": ("_t1ce", "-t1c"),
    "t2": ("_t2", "-t2w"),
}
_MASK = ("_seg", "-seg")
_CASES = {"any": 335, "LGG": 76, "HGG": 259}  # of BraTS 2019, by grade
_ENHANCING = (3, 4)  # 4 until 2021, 3 since 2023
_TARGETS: Mapping[str, tuple[tuple[str, Values], ...]] = {
    "whole-tumor": ((FOREGROUND, (1, 2, *_ENHANCING)),),
    "tumor-core": ((FOREGROUND, (1, *_ENHANCING)),),
    "enhancing": ((FOREGROUND, _ENHANCING),),
    "classes": (("necrosis", (1,)), ("edema", (2,)), ("enhancing", _ENHANCING)),
}


@register("brats")
@dataclass(frozen=True, kw_only=True)
class Brats(NiftiVolumes):
    """Gliomas in MRI: BraTS 2019, 2020, 2021 or 2023, with the protocol of the STAR paper.

    Attributes:
        root: a folder with the folders of the cases, at any depth; None takes the folder BraTS of the downloads.
        sequences: the MRI sequences that are the channels.
        target: the region that is foreground; `classes` are necrosis, edema and enhancing tumor.
        grade: the grade of the gliomas, known for 2019 and 2020 only.
    """

    root: str | None = None
    sequences: tuple[Scan, ...] = ("flair",)
    target: Literal["whole-tumor", "tumor-core", "enhancing", "classes"] = "whole-tumor"
    grade: Literal["any", "LGG", "HGG"] = "any"
    axis: AxisChoice = "axial"
    size: tuple[int, int] | None = (240, 240)

    def defaults(self) -> Mapping[str, object]:
        """The protocol of the STAR paper."""
        return {
            "protocol.interval": 10,
            "protocol.budget": 100,
            "protocol.split": [50, 14, 12],
            "training.batch_size": 32,
            "network.backbone": "resnet50",
        } | PAPER_STOP

    def archive(self) -> Archive | None:
        """None if the data are present. Raises DataError otherwise, because their license forbids redistribution."""
        if is_folder(self._root):
            return None
        raise MissingDataError(_registration(self._root))

    def published_size(self) -> PublishedSize | None:
        """That of 2019, whose volumes have 155 axial slices."""
        if self.axis != "axial":
            return None
        cases, depth = _CASES[self.grade], 155
        height, width = self.size or (240, 240)
        return PublishedSize(
            cases, cases * depth, (len(self.sequences), height, width), "of BraTS 2019, with 155 slices each"
        )

    @property
    def _root(self) -> Path:
        return downloads_folder() / "BraTS" if self.root is None else Path(self.root)

    def _find(self) -> Layout:
        problems: list[Problem] = []
        folders = _case_folders(self._root, problems) if is_folder(self._root) else {}
        if not folders:
            raise MissingDataError(_registration(self._root))
        if self.grade != "any":
            grades = _grades(self._root, folders)
            folders = {name: folder for name, folder in folders.items() if grades.get(name) == self.grade}
            if not folders:
                raise DataError(
                    f"data.grade must be known from folders LGG and HGG or from name_mapping.csv, '{self._root}' has "
                    f"no {self.grade} case: leave data.grade out to use all cases"
                )
        volumes: dict[str, Files] = {}
        for name, folder in folders.items():
            try:
                images = tuple(_file(folder, name, _ENDINGS[sequence]) for sequence in self.sequences)
                volumes[name] = Files(images, _masks(folder, name))
            except DataError as error:
                problems.append(Problem(str(folder), str(error)))
        patients = {name: _patient(name) for name in volumes}
        return Layout(volumes=volumes, patients=patients, rule="by their folder", problems=tuple(problems))

    def _target(self) -> Labels:
        return Labels(_TARGETS[self.target])


def _registration(root: Path) -> str:
    return (
        f"BraTS must be requested from its organizers, '{root}' does not contain it: register at "
        "https://www.synapse.org/brats and give the folder of the training data with --data-root, one folder per case "
        "with files such as "
        "BraTS19_X_1_flair.nii.gz and BraTS19_X_1_seg.nii.gz, or BraTS-GLI-00000-000-t2f.nii.gz and "
        "BraTS-GLI-00000-000-seg.nii.gz"
    )


def _case_folders(root: Path, problems: list[Problem]) -> dict[str, Path]:
    """Folders whose name begins with BraTS and that contain NIfTI files named after them, by name."""
    found: dict[str, Path] = {}
    for path in sorted(path for path in root.rglob("BraTS*") if path.is_dir() and not path.name.startswith(".")):
        if not any(path.glob(f"{path.name}[_-]*.nii*")):
            continue
        if path.name in found:
            sentence = (
                f"a case of BraTS must be stored once, '{path}' is also stored as '{found[path.name]}': remove one"
            )
            problems.append(Problem(str(path), sentence))
        found[path.name] = path
    return found


def _file(folder: Path, name: str, endings: tuple[str, ...]) -> Path:
    path = _existing(folder, name, endings)
    if path is not None:
        return path
    wanted = " or ".join(f"{name}{ending}.nii.gz" for ending in endings)
    raise DataError(f"'{folder}' must contain {wanted}, it does not: download the case again or remove its folder")


def _existing(folder: Path, name: str, endings: tuple[str, ...]) -> Path | None:
    paths = (folder / f"{name}{ending}{suffix}" for ending in endings for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _masks(folder: Path, name: str) -> tuple[MaskFile, ...]:
    """The file _seg if it exists; one case of 2020 has its mask under another name, which contains `Segm`."""
    others = sorted(path for path in folder.glob("*Segm*") if has_suffix(path))
    path = others[0] if len(others) == 1 else _existing(folder, name, _MASK)
    return () if path is None else (MaskFile(path),)


def _grades(root: Path, folders: Mapping[str, Path]) -> dict[str, str]:
    """LGG or HGG by case, from the folder above it or from name_mapping.csv."""
    grades = {name: folder.parent.name for name, folder in folders.items() if folder.parent.name in ("LGG", "HGG")}
    for table in sorted(root.rglob("name_mapping.csv")):
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                grades |= {value: row["Grade"] for value in row.values() if value in folders and row.get("Grade")}
    return grades


def _patient(name: str) -> str:
    """The patient of a case: names of 2019 and 2023 end in the number of the visit."""
    visit = re.fullmatch(r"(BraTS19_.+)_\d+|(BraTS-[A-Za-z]+-\d+)-\d+", name)
    return (visit[1] or visit[2]) if visit else name

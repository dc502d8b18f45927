"""JSON files that list images and masks: of the Decathlon, of nnU-Net 1 and 2, and datalists of MONAI.

    {"training": [{"image": "imagesTr/c0.nii.gz", "label": "labelsTr/c0.nii.gz"}]}   the Decathlon
    {"training": [{"image": ["a.nii.gz", "b.nii.gz"], "label": "seg.nii.gz"}]}       MONAI: channels in this order
    [{"image": "a.nii.gz", "label": {"liver": "l.nii.gz", "spleen": "s.nii.gz"}}]    one mask per organ
    {"dataset": {"c0": {"images": ["a.nii.gz"], "label": "seg.nii.gz"}}}             nnU-Net 2

Where there is no `c0.nii.gz` but `c0_0000.nii.gz`, `c0_0001.nii.gz`, ..., these are its channels, as in nnU-Net 1.
Paths are relative to the file. Other keys of a case, such as `fold`, mean nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import has_suffix, stem
from albench.files import is_file, is_folder

_SECTIONS = ("training", "train")
_IMAGE, _LABEL = ("image", "images"), ("label", "labels", "mask", "seg", "segmentation")
_PATIENT = ("patient", "subject", "patient_id", "subject_id")


@dataclass(frozen=True)
class ListedCase:
    """A case of a list.

    Attributes:
        name: of the case, or of its first image as the list has it.
        files: that may not exist.
        patient: empty if the list names none.
    """

    name: str
    files: Files
    patient: str


@dataclass(frozen=True)
class Datalist:
    """What a list holds.

    Attributes:
        cases: those to read.
        others: number of labeled cases in other sections, by section.
        test_images: number of images without labels in the section `test`.
    """

    cases: tuple[ListedCase, ...]
    others: Mapping[str, int]
    test_images: int


def lists_cases(content: object) -> bool:
    """Whether the content of a JSON file has one of the forms above."""
    return isinstance(content, list) or (
        isinstance(content, dict) and any(name in content for name in (*_SECTIONS, "dataset"))
    )


def datalist(path: Path, content: object) -> Datalist | None:
    """The cases of a list; None if one of them has no image, or another form.

    Args:
        path: of the list.
        content: of which `lists_cases` is true.
    """
    sections = content if isinstance(content, dict) else {"training": content}
    name = next((name for name in _SECTIONS if name in sections), "dataset")
    listed = sections[name]
    entries = list(listed.items()) if isinstance(listed, dict) else [("", entry) for entry in _as_list(listed)]
    cases = [_case(path.parent, case, entry) for case, entry in entries]
    made = tuple(case for case in cases if case is not None)
    if len(made) < len(cases) or not isinstance(listed, list | dict):
        return None
    test = _as_list(sections.get("test"))
    labeled = {
        other: sum(isinstance(entry, dict) and bool(_first(entry, _LABEL)) for entry in _as_list(entries))
        for other, entries in sections.items()
        if other != name
    }
    others = {other: count for other, count in labeled.items() if count}
    return Datalist(made, others, len(test) if "test" not in others else 0)


def _case(folder: Path, name: str, entry: object) -> ListedCase | None:
    if not isinstance(entry, dict):
        return None
    label, patient = _first(entry, _LABEL), _first(entry, _PATIENT)
    by_organ = label if isinstance(label, dict) else {None: label} if label else {}
    images = _paths(folder, _first(entry, _IMAGE))
    masks = {None if organ is None else str(organ): _paths(folder, value) for organ, value in by_organ.items()}
    if not images or not all(masks.values()):
        return None
    return ListedCase(
        name or stem(images[0]),
        Files(
            tuple(channel for image in images for channel in _channels(image)),
            tuple(MaskFile(path, organ) for organ, paths in masks.items() for path in paths),
        ),
        "" if patient is None else str(patient),
    )


def _paths(folder: Path, value: object) -> list[Path]:
    """One path or several; none if the value is something else."""
    values = value if isinstance(value, list) else [value]
    return [folder / one for one in values if isinstance(one, str) and one] if all(values) else []


def _channels(image: Path) -> Sequence[Path]:
    """The file itself, or `c0_0000`, `c0_0001`, ... if the list says `c0` as in nnU-Net 1 and there is no such file."""
    if is_file(image) or not is_folder(image.parent):
        return [image]
    numbered = re.compile(rf"{re.escape(stem(image))}_\d{{4}}")
    found = [path for path in image.parent.glob("*") if has_suffix(path) and numbered.fullmatch(stem(path))]
    return sorted(found) or [image]


def _first(entry: Mapping[object, object], names: Sequence[str]) -> object:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []

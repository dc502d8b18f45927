"""A CSV or YAML file that lists images, masks and patients, and may set options of the dataset.

    image,mask,patient                    axis: coronal
    a/before.nii.gz,a/m1.nii.gz,a         labels: [1]
    a/after.nii.gz,a/m2.nii.gz,a          volumes:
    b/scan.nii.gz,b/mask.nii.gz,b           - {image: a/before.nii.gz, mask: a/m1.nii.gz, patient: a}

Paths are relative to the file. Several images of one volume are its channels: a list, or in CSV separated by `;`. The
mask may be left empty, see `data.unlabeled`; that of all volumes only if the file itself sets `unlabeled: pool`.
Several masks are those of raters, see `data.raters`. With one mask per organ, the columns are `mask:liver`,
`mask:spleen`, ..., or in YAML `mask: {liver: l.nii.gz, spleen: s.nii.gz}`. `subject` is another name for `patient`.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from albench.data import Problem
from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import stem
from albench.datasets._layout import Layout, missing
from albench.datasets._names import told_apart
from albench.errors import DataError
from albench.spreadsheet import read_cell
from albench.yaml_loader import load_yaml

SUFFIXES = (".csv", ".yaml", ".yml")
OPTIONS = (
    *("axis", "labels", "classes", "unknown", "unlabeled", "window", "clip", "intensity", "size", "channels"),
    *("organs", "overlap", "raters", "patients"),
)
_COLUMNS = ("image", "mask", "patient")
_ORGAN = "mask:"  # before the organ in the name of a column
_ALIAS = "subject"  # of patient


def read_listing(path: Path) -> Layout:
    """Read a listing. Raises DataError if it does not have the form above."""
    rows, options = _csv(path) if path.suffix.lower() == ".csv" else _yaml(path)
    rows = _with_masks(path, _with_patients(path, rows))
    unknown = sorted({str(key) for row in rows for key in row} - set(_COLUMNS)) + sorted(set(options) - set(OPTIONS))
    if unknown:
        raise _rejected(path, f"'{unknown[0]}' is not one of {', '.join((*_COLUMNS, *OPTIONS))}")
    if not rows:
        raise _rejected(path, "it lists none")
    volumes: dict[str, Files] = {}
    patients: dict[str, str] = {}
    problems: list[Problem] = []
    if options.get("unlabeled") != "pool" and not any(_masks(row) for row in rows):
        raise _rejected(path, "no volume has a mask")
    names = _names(path, rows)
    for name, row in zip(names, rows, strict=True):
        files = Files(
            tuple(path.parent / image for image in _paths(row["image"])),
            tuple(MaskFile(path.parent / mask, organ) for organ, mask in _masks(row)),
        )
        absent = missing(files, path.name)
        problems += absent
        if not absent:
            volumes[name] = files
            patients[name] = _cell(row, "patient")
    return Layout(
        volumes=dict(sorted(volumes.items())),
        patients={name: patient or name for name, patient in patients.items()} if any(patients.values()) else {},
        options=options,
        listings=(path,),
        rule=f"as {path.name} lists them",
        problems=tuple(problems),
    )


def _with_patients(path: Path, rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Rows in which the alias of `patient` is replaced. Raises DataError if a file uses both names."""
    keys = {key for row in rows for key in row}
    if {"patient", _ALIAS} <= keys:
        raise DataError(
            f"'{path}' must name the patient once, it has both 'patient' and '{_ALIAS}', which mean the same: remove "
            f"'{_ALIAS}'"
        )
    return [{"patient" if key == _ALIAS else str(key): value for key, value in row.items()} for row in rows]


def _with_masks(path: Path, rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Rows in which the columns of organs are one mask by organ. Raises DataError if a row has a mask beside them."""
    made = []
    for number, row in enumerate(rows, 1):
        organs = {key.removeprefix(_ORGAN).strip(): value for key, value in row.items() if key.startswith(_ORGAN)}
        others = {key: value for key, value in row.items() if not key.startswith(_ORGAN)}
        if organs and others.get("mask"):
            raise _rejected(path, f"volume {number} has 'mask' and '{_ORGAN}{next(iter(organs))}', not one of them")
        made.append(others | {"mask": organs} if organs else others)
    return made


def _masks(row: Mapping[str, object]) -> list[tuple[str | None, str]]:
    """The masks of a row with their organs, if it gives some."""
    given = row.get("mask")
    by_organ = given if isinstance(given, dict) else {None: given}
    return [
        (None if organ is None else str(organ), mask)
        for organ, value in by_organ.items()
        for mask in ([] if value is None else _paths(value))
    ]


def _paths(value: object) -> list[str]:
    """One path or several: a list, or in CSV separated by `;`."""
    paths = value if isinstance(value, list) else str(value).split(";")
    return [str(path).strip() for path in paths if str(path).strip()]


def _cell(row: Mapping[str, object], column: str) -> str:
    """The text of a cell; empty if the row has none."""
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _names(path: Path, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """A case is named after its patient, and after its mask or else its first image too if the patient has several.

    Equal names are told apart by the folders of these files. Several masks name no case.
    """
    for number, row in enumerate(rows, 1):
        if not row.get("image") or not _paths(row["image"]):
            raise _rejected(path, f"volume {number} has no image")
    per_patient = Counter(_cell(row, "patient") for row in rows)
    names, files = [], []
    for row in rows:
        masks = _masks(row)
        patient, file = _cell(row, "patient"), Path(masks[0][1] if len(masks) == 1 else _paths(row["image"])[0])
        several = f"{patient}-{stem(file)}" if patient else stem(file)
        names.append(patient if per_patient[patient] == 1 and patient else several)
        files.append(file)
    names = told_apart(names, files)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise _rejected(path, f"two cases would be named '{repeated[0]}'")
    return names


def _csv(path: Path) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Rows, and the options from columns that have the same value in every row."""
    table = list(csv.DictReader(io.StringIO(_text(path), newline="")))
    for number, row in enumerate(table, 1):
        if None in row:
            raise _rejected(path, f"row {number} has more cells than the header")
    options: dict[str, object] = {}
    for name in OPTIONS:
        values = {row[name] for row in table if row.get(name)}
        if len(values) > 1:
            raise _rejected(path, f"column '{name}' has {' and '.join(sorted(values)[:2])}, not one value in all rows")
        if values:
            options[name] = _value(path, values.pop())
    rows = [{key: value and read_cell(value) for key, value in row.items() if key not in OPTIONS} for row in table]
    return rows, options


def _yaml(path: Path) -> tuple[list[dict[str, object]], dict[str, object]]:
    content = _value(path, _text(path))
    rows = content.get("volumes") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _rejected(path, "it has no list 'volumes'")
    return rows, {key: value for key, value in content.items() if key != "volumes"}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _rejected(path, f"it is not text in UTF-8 ({error})") from error


def _value(path: Path, text: str) -> object:
    try:
        return load_yaml(text)
    except yaml.YAMLError as error:
        raise _rejected(path, f"it has a value that is not YAML ({' '.join(str(error).split())})") from error


def _rejected(path: Path, reason: str) -> DataError:
    return DataError(f"'{path}' must list volumes, each with image, mask and optionally patient, {reason}: correct it")

"""A CSV or YAML file that names images, masks and whose they are, and may set options of the dataset.

    image,mask,subject                    axis: coronal
    a/before.nii.gz,a/m1.nii.gz,a         labels: [1]
    a/after.nii.gz,a/m2.nii.gz,a          volumes:
    b/scan.nii.gz,b/mask.nii.gz,b           - {image: a/before.nii.gz, mask: a/m1.nii.gz, subject: a}

Paths are relative to the file. Several images of one volume are its channels: a list, or in CSV separated by `;`.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from albench.data import Problem
from albench.datasets._layout import Layout, missing
from albench.datasets._nifti import Files, stem
from albench.errors import DataError

SUFFIXES = (".csv", ".yaml", ".yml")
OPTIONS = ("axis", "labels", "window", "size", "channels")
_COLUMNS = ("image", "mask", "subject")


def read_listing(path: Path) -> Layout:
    """Read a listing. Raises DataError if it does not have the form above."""
    rows, options = _csv(path) if path.suffix == ".csv" else _yaml(path)
    unknown = sorted({str(key) for row in rows for key in row} - set(_COLUMNS)) + sorted(set(options) - set(OPTIONS))
    if unknown:
        raise _refused(path, f"'{unknown[0]}' is not one of {', '.join((*_COLUMNS, *OPTIONS))}")
    volumes: dict[str, Files] = {}
    patients: dict[str, str] = {}
    problems: list[Problem] = []
    names = _names(path, rows)
    for name, row in zip(names, rows, strict=True):
        images = row["image"] if isinstance(row["image"], list) else str(row["image"]).split(";")
        place = path.parent
        files = Files(tuple(place / str(image).strip() for image in images), place / str(row["mask"]).strip())
        gone = missing(files, path.name)
        problems += gone
        if not gone:
            volumes[name] = files
            patients[name] = str(row.get("subject") or name)
    return Layout(
        volumes=dict(sorted(volumes.items())),
        patients=patients,
        options=options,
        listings=(path,),
        problems=tuple(problems),
    )


def _names(path: Path, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """A volume is called by its subject, and by its mask's name too if the subject has several."""
    for number, row in enumerate(rows, 1):
        if not row.get("image") or not row.get("mask"):
            raise _refused(path, f"volume {number} has no image or no mask")
    per_subject = Counter(str(row.get("subject") or "") for row in rows)
    names = []
    for row in rows:
        subject, mask = str(row.get("subject") or ""), stem(Path(str(row["mask"])))
        names.append(mask if not subject else subject if per_subject[subject] == 1 else f"{subject}-{mask}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise _refused(path, f"two volumes would be called '{twice[0]}'")
    return names


def _csv(path: Path) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Rows, and the options from columns that say the same in every row."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    options: dict[str, object] = {}
    for name in OPTIONS:
        values = {row[name] for row in table if row.get(name)}
        if len(values) > 1:
            raise _refused(path, f"column '{name}' says {' and '.join(sorted(values)[:2])}, not the same in every row")
        if values:
            options[name] = yaml.safe_load(values.pop())
    return [{key: value for key, value in row.items() if key not in OPTIONS} for row in table], options


def _yaml(path: Path) -> tuple[list[dict[str, object]], dict[str, object]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise _refused(path, f"it is no YAML ({error})") from error
    rows = content.get("volumes") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _refused(path, "it has no list 'volumes'")
    return rows, {key: value for key, value in content.items() if key != "volumes"}


def _refused(path: Path, why: str) -> DataError:
    return DataError(f"'{path}' must list volumes, each with image, mask and, if you like, subject, {why}: mend it")

"""Folders of DICOM as archives and PACS give them: masks say which series they are of, files which patient."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from albench.data import Problem
from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import holds_only_dicom, parts_of
from albench.datasets._formats.archive import Archive, MaskObject, Series, read_archive
from albench.datasets._formats.dicom_header import NO_DESCRIPTION
from albench.datasets._layout import Layout, by_case, has_both_folders
from albench.errors import ConfigError, few

_SHOWN = 5  # series and masks in a sentence
_BY_LIST = "pair files in a list, which `albench data list-files` begins"


def dicom_archive(root: Path, chosen: str | None) -> Layout | None:
    """The series of a folder and the masks that reference them; None if names decide.

    That is if the folder has a dataset.json or a folder of images beside one of masks, files of other formats, or no
    mask that is DICOM-SEG or RTSTRUCT.

    Args:
        chosen: pattern of the modality or the series description of the masks to take; None takes all.

    Raises:
        ConfigError: the pattern matches no mask.
        DataError: pydicom is not installed.
    """
    if has_both_folders(root) or (root / "dataset.json").exists() or not holds_only_dicom(root):
        return None
    archive = read_archive(root)
    if not archive.masks:
        return None
    masks = _chosen(archive.masks, chosen)
    known: defaultdict[str, list[MaskObject]] = defaultdict(list)
    for mask in masks:
        if len(mask.images) == 1:
            known[mask.images[0].header.series].append(mask)
    kept = [of for of in archive.series if of.header.series in known or not _is_aside(of)]
    problems = [Problem(str(file), sentence) for file, sentence in archive.unreadable.items()]
    problems += [_unpaired(root, mask) for mask in masks if len(mask.images) != 1]
    named = _names(kept)
    masks_of, doubts = _masks_of(known)
    listed = [Files((of.path,), masks_of.get(of.header.series, ())) for of in kept]
    volumes = by_case([named[of.header.series] for of in kept], listed, root, problems)
    return Layout(
        dict(sorted(volumes.items())),
        rule="by what the header of the mask refers to",
        patients={case: _patient(of) for case, of in zip(volumes, kept, strict=False)},
        told=tuple(_told(archive, kept, masks)),
        problems=tuple(problems),
        unpaired=tuple(mask.file for mask in masks if len(mask.images) != 1),
        doubt=_several(doubts, len(known), named) if doubts else None,
    )


def _chosen(masks: Sequence[MaskObject], pattern: str | None) -> Sequence[MaskObject]:
    if pattern is None:
        return masks
    wanted = pattern.lower()
    names = {mask.file: (mask.header.modality.lower(), mask.header.description.lower()) for mask in masks}
    found = [mask for mask in masks if any(of == wanted or fnmatch(of, wanted) for of in names[mask.file])]
    if not found:
        there = few(list(dict.fromkeys(map(str, masks))), _SHOWN)
        raise ConfigError(
            f"data.dicom_masks must match the modality or the series description of masks, '{pattern}' matches none of "
            f"{there}: write for example --set data.dicom_masks={masks[0].header.modality}"
        )
    return found


def _is_aside(series: Series) -> bool:
    """Whether a series without mask is a scout, a screenshot or another image of one slice."""
    return series.header.localizer or series.slices == 1


def _patient(series: Series) -> str:
    return series.header.patient or series.header.study


def _unpaired(root: Path, mask: MaskObject) -> Problem:
    """The sentence about a mask that is of no series below the folder, or of one of several."""
    of = few(sorted(mask.referenced)) or "none"
    if not mask.images:
        sentence = (
            f"every mask must have an image, '{mask.file}' is of series {of}, which is not below '{root}': add it or "
            f"remove the mask, or {_BY_LIST}"
        )
    else:
        several = few([f"'{series.header.description}' ({series.header.series})" for series in mask.images], _SHOWN)
        why = "has the frame of reference of" if mask.by_frame else "references"
        sentence = f"a mask must be of one series, '{mask.file}' {why} {several}: {_BY_LIST}"
    return Problem(str(mask.file), sentence)


def _names(series: Sequence[Series]) -> dict[str, str]:
    """A name of every series by its UID: its patient, and what tells the series of a patient apart."""
    by_patient: defaultdict[str, list[Series]] = defaultdict(list)
    for of in series:
        by_patient[_patient(of)].append(of)
    tellings: tuple[Callable[[Series], tuple[str, ...]], ...] = (
        lambda of: (),
        lambda of: (_description(of),),
        lambda of: (of.header.date,),
        lambda of: (_description(of), of.header.date),
        lambda of: (_description(of), of.header.series),
    )
    names = {}
    for patient, group in by_patient.items():
        apart = next((tell for tell in tellings if len({tell(of) for of in group}) == len(group)), tellings[-1])
        names.update({of.header.series: _plain("-".join(filter(None, (patient, *apart(of))))) for of in group})
    return names


def _description(series: Series) -> str:
    return "" if series.header.description == NO_DESCRIPTION else series.header.description


def _plain(name: str) -> str:
    """A name of letters, digits and what stands in names of files."""
    return re.sub(r"[^\w.+=-]+", "_", name).strip("_") or "case"


@dataclass(frozen=True)
class _Doubt:
    """A structure that several masks of one series have."""

    series: str
    masks: Sequence[MaskObject]
    name: str


def _masks_of(known: Mapping[str, Sequence[MaskObject]]) -> tuple[dict[str, tuple[MaskFile, ...]], list[_Doubt]]:
    """The masks of every series: one file, or the parts of several files, of which each is an organ.

    In doubt are files with one structure, or a segmentation beside a structure set.
    """
    if all(len(of) == 1 for of in known.values()):
        return {series: (MaskFile(of[0].file),) for series, of in known.items()}, []
    masks: dict[str, tuple[MaskFile, ...]] = {}
    doubts = []
    for series, of in known.items():
        parts = [MaskFile(mask.file, name) for mask in of for name in _part_names(mask)]
        name, count = Counter(str(part.organ) for part in parts).most_common(1)[0] if parts else ("", 0)
        if count > 1 or len({mask.header.modality for mask in of}) > 1:
            doubts.append(_Doubt(series, of, name if count > 1 else ""))
        masks[series] = tuple(parts) or tuple(MaskFile(mask.file) for mask in of)
    return masks, doubts


def _part_names(mask: MaskObject) -> list[str]:
    parts = parts_of(mask.file)
    return list(dict.fromkeys(parts.names.values())) if parts else []


def _several(doubts: Sequence[_Doubt], count: int, named: Mapping[str, str]) -> Problem:
    first = doubts[0]
    shown = few([str(mask) for mask in first.masks], _SHOWN)
    twice = f", several of which have '{first.name}'" if first.name else ""
    modalities = [mask.header.modality for mask in first.masks]
    descriptions = [mask.header.description for mask in first.masks]
    option = modalities[0] if len({*modalities}) > 1 else f"'{descriptions[0]}'"
    by_option = f"choose by modality or series description, such as --set data.dicom_masks={option}"
    alike = len({*modalities}) == len({*descriptions}) == 1
    return Problem(
        str(first.masks[0].file),
        f"a series must have one mask of every structure, {len(doubts)} of {count} have more, '{named[first.series]}' "
        f"has {shown}{twice}: {_BY_LIST if alike else by_option}, or, if they are of several raters, set data.raters "
        "to majority, any, all or first",
    )


def _told(archive: Archive, kept: Sequence[Series], masks: Sequence[MaskObject]) -> list[str]:
    told = []
    aside = [f"'{of.header.description}'" for of in archive.series if of not in kept]
    if aside:
        told.append(
            f"{len(aside)} series without masks are left out, because they are scouts or have one slice: "
            f"{few(list(dict.fromkeys(aside)), _SHOWN)}"
        )
    framed = [mask for mask in masks if mask.by_frame and len(mask.images) == 1]
    if framed:
        told.append(
            "masks that name no series that is here are paired by their frame of reference, "
            f"{len(framed)} in all, such as '{framed[0].file}' with '{framed[0].images[0].path}': check this pair"
        )
    return told

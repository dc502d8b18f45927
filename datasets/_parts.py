"""Masks of DICOM whose parts have names: the regions of a structure set and the segments of a DICOM-SEG are organs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from albench.data import Problem
from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import Parts, parts_of
from albench.datasets._labels import Values
from albench.datasets._layout import Layout
from albench.errors import counted, few

_SHOWN = 8  # names in a sentence


def with_parts(found: Layout, *, by_name: bool, by_number: bool) -> Layout:
    """The layout in which the regions of structure sets are masks of one organ each.

    Segments are so with `by_name`; otherwise their numbers are the values of one mask, and the layout has their names.

    Args:
        by_name: whether organs are chosen by their names.
        by_number: whether classes are chosen by their values.
    """
    paths = {mask.path for files in found.volumes.values() for mask in files.masks if mask.organ is None}
    parts = {path: of for path in sorted(paths) if (of := parts_of(path)) is not None}
    segments = {path: of for path, of in parts.items() if not (of.contours or by_name)}
    organs = {path: of for path, of in parts.items() if path not in segments}
    problems = [
        Problem(
            str(path),
            f"'{path}' must have a ROI with closed contours, it has none: draw one, or leave the structure set out",
        )
        for path, of in organs.items()
        if not of.names
    ]
    told = _left_out(organs.values())
    doubt = _doubt(segments)
    if doubt is not None and by_number:
        told.append(f"{doubt}: data.labels and data.classes choose by number, data.organs by name")
    elif doubt is not None:
        example = next(iter(next(iter(segments.values())).names.values()))
        problems.append(
            Problem(
                str(next(iter(segments))),
                f"the number of a segment must mean the same in all files, {doubt}: choose segments by name, such as "
                f"--set 'data.organs=[{example}]', or by number with data.labels or data.classes",
            )
        )
    return replace(
        found,
        volumes={case: _expanded(files, organs) for case, files in found.volumes.items()},
        problems=(*found.problems, *problems),
        told=(*found.told, *told),
        segments={} if doubt else _numbers(segments.values()),
    )


def _doubt(segments: Mapping[Path, Parts]) -> str | None:
    """In which two files a number has two names; None if there are none."""
    known: dict[int, tuple[str, Path]] = {}
    for path, of in segments.items():
        for number, name in of.names.items():
            other, before = known.setdefault(number, (name, path))
            if other != name:
                return f"{number} is '{other}' in '{before}' and '{name}' in '{path}'"
    return None


def _numbers(segments: Iterable[Parts]) -> dict[str, Values]:
    """All numbers of every name."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for of in segments:
        for number, name in of.names.items():
            found[name].add(number)
    return {name: tuple(sorted(numbers)) for name, numbers in sorted(found.items(), key=lambda item: min(item[1]))}


def _expanded(files: Files, parts: Mapping[Path, Parts]) -> Files:
    masks: list[MaskFile] = []
    for mask in files.masks:
        of = parts.get(mask.path) if mask.organ is None else None
        names = dict.fromkeys(of.names.values()) if of else ()
        masks += [MaskFile(mask.path, name) for name in names] if names else [mask]
    return replace(files, masks=tuple(masks))


def _left_out(parts: Iterable[Parts]) -> list[str]:
    """A sentence about what is no closed contour."""
    files: Counter[str] = Counter()
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for of in parts:
        files.update(of.left_out.keys())
        for name, others in of.left_out.items():
            kinds[name] |= others.keys()
    if not files:
        return []
    named = [
        f"'{name}' ({', '.join(sorted(kinds[name])) or 'no contours'}, in {counted(count, 'file')})"
        for name, count in files.items()
    ]
    return [f"ROIs and contours that enclose nothing are left out: {few(named, _SHOWN)}"]

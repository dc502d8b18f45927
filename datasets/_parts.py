"""Masks of DICOM whose parts have names: the regions of a structure set and the segments of a DICOM-SEG are organs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from albench.data import Problem
from albench.datasets._files import Files, MaskFile
from albench.datasets._formats import Parts, parts_of
from albench.datasets._layout import Layout
from albench.errors import few

_SHOWN = 8  # names in a sentence


def with_parts(found: Layout, *, by_name: bool) -> Layout:
    """The layout in which the regions of structure sets are masks of one organ each.

    Args:
        by_name: whether segments are too; otherwise their numbers are the values of one mask.
    """
    parts: dict[Path, Parts] = {}
    for path in {mask.path for files in found.volumes.values() for mask in files.masks if mask.organ is None}:
        of = parts_of(path)
        if of is not None and (of.contours or by_name):
            parts[path] = of
    if not parts:
        return found
    without = [
        Problem(
            str(path),
            f"'{path}' must have a ROI with closed contours, it has none: draw one, or leave the structure set out",
        )
        for path, of in sorted(parts.items())
        if not of.names
    ]
    volumes = {case: _expanded(files, parts) for case, files in found.volumes.items()}
    return replace(
        found, volumes=volumes, problems=(*found.problems, *without), told=(*found.told, *_left_out(parts.values()))
    )


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
        f"'{name}' ({', '.join(sorted(kinds[name])) or 'no contours'}, in {count} file{'s' if count > 1 else ''})"
        for name, count in files.items()
    ]
    return [f"ROIs and contours that enclose nothing are left out: {few(named, _SHOWN)}"]

"""What options choose of the files of a dataset: organs, raters and patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from albench.data import Problem, Raters
from albench.datasets._files import Files
from albench.datasets._layout import Layout
from albench.datasets._patients import by_bids, by_pattern, suspicion
from albench.errors import ConfigError, few
from albench.masks import MOST_CLASSES


def called_organs(found: Layout, chosen: Sequence[str] | None) -> Layout:
    """The layout in which masks whose names differ in a number are organs, if one of them is chosen by its name."""
    every = [mask for files in found.volumes.values() for mask in files.masks]
    if not {*(chosen or ())} & {mask.called for mask in every}:
        return found
    volumes = {
        case: replace(files, masks=tuple(replace(mask, organ=mask.called or None) for mask in files.masks))
        for case, files in found.volumes.items()
    }
    return replace(found, volumes=volumes)


def with_organs(found: Layout, chosen: Sequence[str] | None) -> Layout:
    """The layout with the masks of the chosen organs, in this order; of those that all cases have if none are chosen.

    Raises:
        ConfigError: no case has masks of an organ, a chosen one has none, or there are none or too many to choose.
    """
    found = called_organs(found, chosen)
    masked = {case: files for case, files in found.volumes.items() if files.masks}
    there = list(dict.fromkeys(organ for files in masked.values() for organ in files.organs))
    if not there:
        if chosen is not None:
            raise ConfigError(
                f"data.organs must choose among masks of one organ each, got {list(chosen)} and there are none: leave "
                "it out, data.labels and data.classes choose among the values of masks"
            )
        return found
    common = [organ for organ in there if all(organ in files.organs for files in masked.values())]
    names = _checked(chosen, there, common)
    problems = [
        Problem(
            str(files.images[0]),
            f"every case must have a mask of each organ, '{case}' has none of '{organ}': add it, or choose others with "
            "data.organs",
        )
        for case, files in masked.items()
        for organ in names
        if organ not in files.organs
    ]
    volumes = {
        case: replace(files, masks=tuple(mask for organ in names for mask in files.masks if mask.organ == organ))
        for case, files in found.volumes.items()
        if not files.masks or {*names} <= {*files.organs}
    }
    rare = [organ for organ in there if organ not in common]
    told = () if chosen or not rare else (_left_out(rare, len(masked)),)
    return replace(
        found,
        volumes=volumes,
        organs=tuple(names),
        problems=(*found.problems, *problems),
        told=(*found.told, *told),
    )


def with_raters(found: Layout, rule: Raters | None) -> Layout:
    """The layout in which several masks of one organ are a problem without a rule, and one remains with `first`."""
    if rule == "first":
        return replace(found, volumes={case: _first_rater(files) for case, files in found.volumes.items()})
    if rule is None and found.doubt is not None:
        return replace(found, problems=(*found.problems, found.doubt))
    several = [(case, files) for case, files in found.volumes.items() if files.raters > 1]
    if rule is not None or not several:
        return found
    case, files = several[0]
    called = list(dict.fromkeys(mask.called for mask in files.masks if mask.called))[:MOST_CLASSES]
    by_name = f"choose them with data.organs=[{','.join(called)}]" if called else ""
    sentence = (
        f"a case must have one mask, {len(several)} of {len(found.volumes)} have more, '{case}' has {files.raters} "
        f"such as '{files.masks[0].path.name}': if they are of several raters, set data.raters to majority, any, all "
        f"or first; if of several organs, {by_name or 'list them in columns such as mask:liver and mask:spleen'}"
    )
    return replace(found, problems=(*found.problems, Problem(str(files.masks[0].path), sentence)))


def with_patients(found: Layout, pattern: str | None) -> Layout:
    """The layout with the patients that a pattern finds, or names of BIDS if no list says them.

    A sentence tells if names look like several cases of one patient and nothing says it.
    """
    cases = sorted(found.volumes)
    if pattern is not None:
        return replace(found, patients=by_pattern(cases, pattern))
    if found.patients:
        return found
    named = by_bids({case: found.volumes[case].images[0] for case in cases})
    if named:
        return replace(found, patients=named)
    doubt = suspicion(cases)
    return replace(found, told=(*found.told, doubt)) if doubt else found


def _checked(chosen: Sequence[str] | None, there: Sequence[str], common: Sequence[str]) -> Sequence[str]:
    """The organs to read."""
    first = ", ".join(there[:MOST_CLASSES])
    if chosen is None and len(common) > MOST_CLASSES:
        raise ConfigError(
            f"data.organs must choose 1 to {MOST_CLASSES} organs, there are masks of {len(common)}: write for example "
            f"--set 'data.organs=[{common[0]},{common[1]}]'; the first are {first}"
        )
    if chosen is None and not common:
        raise ConfigError(
            f"data.organs must choose organs, no organ has a mask in every case: choose from {first}, and leave "
            "out the cases without them"
        )
    unknown = [organ for organ in chosen or () if organ not in there]
    if unknown:
        raise ConfigError(f"data.organs must be organs with masks, '{unknown[0]}' has none: choose from {first}")
    return common if chosen is None else list(dict.fromkeys(chosen))


def _left_out(organs: Sequence[str], cases: int) -> str:
    return f"masks of {few(organs)} are left out, because not all {cases} cases have them: data.organs chooses organs"


def _first_rater(files: Files) -> Files:
    """The files with the first mask of each organ."""
    first = {mask.organ: mask for mask in reversed(files.masks)}
    return replace(files, masks=tuple(mask for mask in files.masks if first[mask.organ] is mask))

"""A folder of label files that came back: which file is of which volume and of whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from albench.annotation.label_files import Asked, is_untouched
from albench.annotation.returned import ReadLabels, Returned, Rules, combine_returned, read_returned
from albench.data import Problem
from albench.errors import DataError, few
from albench.files import is_folder
from albench.masks import foreground

SUFFIX = ".nii.gz"  # of label files that albench writes
_SUFFIXES = (SUFFIX, ".nii", ".seg.nrrd", ".nrrd", ".mha", ".mhd")  # in which tools save labels
_APART = "-_. "  # between the name of a volume and that of an annotator


def read_folder(
    folder: Path, asked: Sequence[Asked], read_labels: ReadLabels, rules: Rules
) -> tuple[dict[str, Returned], list[Problem]]:
    """What came back of every volume, by case, and all findings, those about files without volumes last.

    A file is of the volume that its name is or begins with: `CASE.nii.gz`. What follows, as in `CASE-anna.nii.gz`, or
    the folder that it is in, as `anna/CASE.nii.gz`, tells the annotators of a volume apart. `Rules.untouched_is_done`
    holds if any file was saved since it was written, so that a new worklist is not taken for a finished one.

    Raises:
        DataError: the folder does not exist.
    """
    if not is_folder(folder):
        raise DataError(f"label files must be in a folder, '{folder}' is none: name the folder where they were saved")
    files, findings = find_files(folder, [one.case for one in asked])
    if rules.untouched_is_done and not _any_saved(files, asked):
        rules = replace(rules, untouched_is_done=False)
        sentence = (
            f"--empty-is-done needs a worklist that somebody has worked on, no file in '{folder}' was saved since it "
            "was written: draw its slices, or save one of the files if there is nothing to draw"
        )
        findings.append(Problem(str(folder), sentence, serious=False))
    returned: dict[str, Returned] = {}
    for one in asked:
        of_case = files.get(one.case, {})
        if len(of_case) > 1:  # the file that was handed out, beside those that are named after annotators
            of_case = {name: path for name, path in of_case.items() if not is_untouched(path, one)}
        read = {name: read_returned(path, one, read_labels, rules) for name, path in of_case.items()}
        if read:
            returned[one.case] = combine_returned(one, read, rules)
            continue
        missing = Problem(
            str(folder),
            f"a volume must come back as {one.case}{SUFFIX}, it is not in '{folder}', and its slices stay open: copy "
            "it there, or name the folder where it was saved",
            serious=False,
        )
        returned[one.case] = Returned({}, (), one.positions, (missing,))
    findings += _equal_drawings(returned)
    return returned, [*(finding for one in returned.values() for finding in one.findings), *findings]


def _equal_drawings(returned: Mapping[str, Returned]) -> Iterator[Problem]:
    """Volumes with the same drawing, of which one was saved under the name of another."""
    seen: dict[tuple[tuple[int, bytes], ...], str] = {}
    for case, one in returned.items():
        drawn = tuple((position, mask.tobytes()) for position, mask in one.masks.items() if foreground(mask).any())
        other = seen.setdefault(drawn, case)
        if drawn and other != case:
            yield Problem(
                case,
                f"every volume should have a drawing of its own, those of '{other}' and '{case}' are equal: look which "
                "of them was saved under the name of the other",
                serious=False,
            )


def find_files(folder: Path, cases: Sequence[str]) -> tuple[dict[str, dict[str, Path]], list[Problem]]:
    """The label files in a folder at any depth, by case and annotator, and the files that are of no case.

    Files that are hidden, and those of other formats, are not looked at.
    """
    found: dict[str, dict[str, Path]] = {}
    findings, nameless = [], []
    for path, name in _labels(folder):
        case = _case_of(name, cases)
        if case is None:
            nameless.append(path)
            continue
        parts = [*path.relative_to(folder).parent.parts, name[len(case) :].strip(_APART)]
        annotator = "/".join(part for part in parts if part) or "the annotator"
        other = found.setdefault(case, {}).setdefault(annotator, path)
        if other != path:
            findings.append(
                Problem(
                    str(path),
                    f"a label file must be there once, '{path}' and '{other}' are both of '{case}', and only the "
                    "latter was read: remove one of them, or put those of each annotator into a folder",
                )
            )
    missing = [case for case in cases if case not in found]
    remedy = f"rename it, such as to {missing[0]}{SUFFIX}" if missing else "remove it"
    known = few([f"'{case}'" for case in cases])
    for path in nameless:
        sentence = f"a label file must be named after its volume, '{path}' is of none of {known}: {remedy}"
        findings.append(Problem(str(path), sentence, serious=False))
    return found, findings


def _any_saved(files: Mapping[str, Mapping[str, Path]], asked: Sequence[Asked]) -> bool:
    """Whether somebody has saved any of the files since they were written."""
    of_cases = ((path, one) for one in asked for path in files.get(one.case, {}).values())
    return not all(is_untouched(path, one) for path, one in of_cases)


def _labels(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files that may hold labels, and their names without suffix."""
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts) or path.is_dir():
            continue
        suffix = next((suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix)), None)
        if suffix is not None:
            yield path, path.name[: -len(suffix)]


def _case_of(name: str, cases: Sequence[str]) -> str | None:
    """The case that a name is or begins with, the longest of several."""
    fitting = [case for case in cases if name == case or (name.startswith(case) and name[len(case)] in _APART)]
    return max(fitting, key=len, default=None)

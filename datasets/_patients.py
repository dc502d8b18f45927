"""Which cases are of one patient, where only their names tell it.

Names of BIDS say it: `sub-01_ses-1`. Other names, such as `p01_t1` and `p01_t2`, are a guess that the user decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from albench.errors import ConfigError

_BIDS = re.compile(r"(?<![A-Za-z0-9])(sub-[A-Za-z0-9]+)(?![A-Za-z0-9])")
_WITHIN = re.compile(r"\d.*?(?<![a-z])(?:patient|subject|pat|subj)[_.\- ]?(\d+)", re.IGNORECASE)  # of a center
_MOST = 12  # cases of one patient; more of one beginning are cases of a site or a scanner
_PARTS = re.compile(r"[^_.\-]+[_.\-]*")


def of_bids(case: str) -> str | None:
    """`sub-01` of a name of BIDS; None for other names."""
    found = _BIDS.search(case)
    return found[1] if found else None


def by_bids(images: Mapping[str, Path]) -> dict[str, str]:
    """The patient of every case by the names of BIDS of cases or their images; empty if no name is one of BIDS."""
    named = {case: of_bids(case) or of_bids(path.name) for case, path in images.items()}
    return {case: patient or case for case, patient in named.items()} if any(named.values()) else {}


def by_pattern(cases: Sequence[str], pattern: str) -> dict[str, str]:
    """The patient of every case: the part of its name that the group of a regular expression matches.

    Raises:
        ConfigError: the pattern is none, has not one group, or does not match a case.
    """
    example = "write for example --set 'data.patients=^([^_]+)' for all before the first underscore"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"data.patients must be a regular expression, '{pattern}' is not ({error}): {example}"
        ) from error
    if compiled.groups != 1:
        raise ConfigError(
            f"data.patients must have one group in parentheses, the patient, '{pattern}' has {compiled.groups}: "
            f"{example}"
        )
    patients = {}
    for case in cases:
        found = compiled.search(case)
        if not found or not found[1]:
            raise ConfigError(
                f"data.patients must match the name of every case, '{pattern}' does not '{case}': {example}"
            )
        patients[case] = found[1]
    return patients


def suspicion(cases: Sequence[str]) -> str | None:
    """A sentence if names look as if several cases were of one patient, with the option that groups them."""
    groups, pattern = next(_groupings(cases), ({}, ""))
    if not groups:
        return None
    one, other, *_ = next(group for group in groups.values() if len(group) > 1)
    return (
        f"all cases of a patient should be in one part of the split, '{one}' and '{other}' look like one patient and "
        f"count as two: if they are one, add --set 'data.patients={pattern}', which makes {len(groups)} patients of "
        f"{len(cases)} cases"
    )


def guessed(cases: Sequence[str]) -> dict[str, str]:
    """The patient of every case as its name suggests it; the case itself if nothing does."""
    groups, _ = next(_groupings(cases), ({case: [case] for case in cases}, ""))
    return {case: patient for patient, group in groups.items() for case in group}


def _groupings(cases: Sequence[str]) -> Iterator[tuple[Mapping[str, Sequence[str]], str]]:
    """Patients with their cases and the pattern that finds them, for every way that looks like visits."""
    for pattern in dict.fromkeys((*_beginnings(cases), *_digits(cases))):
        try:
            patients = by_pattern(cases, pattern)
        except ConfigError:
            continue
        groups: dict[str, list[str]] = {}
        for case, patient in patients.items():
            groups.setdefault(patient, []).append(case)
        if 1 < len(groups) < len(cases) and max(map(len, groups.values())) <= _MOST and not _mixes(groups):
            yield groups, pattern


def _mixes(groups: Mapping[str, Sequence[str]]) -> bool:
    """Whether a group has cases that their names call different patients: `Center_01-Patient_01` and `..._02`."""
    called = [{tuple(_WITHIN.findall(case)) for case in group} for group in groups.values()]
    return any(len(numbers) > 1 for numbers in called)


def _beginnings(cases: Sequence[str]) -> Iterator[str]:
    """Patterns of the first parts of names, fewest first, that hold a number: `p01` of `p01_t1`."""
    parts = [_PARTS.findall(case) for case in cases]
    for count in range(1, max(map(len, parts), default=0)):
        heads = ["".join(found[:count]).rstrip("_.-") for found in parts]
        if all(re.search(r"\d", head) for head in heads) and all(len(found) >= count for found in parts):
            yield f"^({r'[_.-]+'.join(['[^_.-]+'] * count)})"


def _digits(cases: Sequence[str]) -> Iterator[str]:
    """Patterns of the first digits of a last number: `pat_00` of `pat_0001`, if the others count the visits of each."""
    found = [re.fullmatch(r"(.*?)(\d+)", case) for case in cases]
    matches = [match for match in found if match]
    if not matches or len(matches) < len(cases) or len({(match[1], len(match[2])) for match in matches}) > 1:
        return
    head, width = matches[0][1], len(matches[0][2])
    for visit in sorted(range(1, width), key=lambda visit: abs(2 * visit - width)):
        patients: dict[str, list[int]] = {}
        for match in matches:
            patients.setdefault(match[2][:-visit], []).append(int(match[2][-visit:]))
        first = min(patients.values())[0]
        counted = all(sorted(visits) == list(range(first, first + len(visits))) for visits in patients.values())
        full = any(len(visits) >= 10**visit - 1 for visits in patients.values())
        sizes = Counter(len(visits) > 1 for visits in patients.values())
        if counted and first in (0, 1) and not full and sizes[True] > sizes[False]:
            yield f"^({re.escape(head)}" + r"\d" * (width - visit) + ")"

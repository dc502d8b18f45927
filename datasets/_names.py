"""Names of cases: two files of one name in different folders are two cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def told_apart(names: Sequence[str], files: Sequence[Path]) -> list[str]:
    """The names of cases, where equal ones begin with as many folders of their files as make them different.

    `a/scan.nii.gz` and `b/scan.nii.gz`, both named `scan`, become `a-scan` and `b-scan` if there are cases of other
    names, and `a` and `b` if `scan` says nothing because all are named so. Names that occur once stay as they are, and
    so do those of one file.

    Args:
        names: of the cases.
        files: of each case, the file that it is named after.
    """
    told = list(names)
    for name in dict.fromkeys(names):
        alike = [index for index, other in enumerate(names) if other == name]
        if len(alike) > 1:
            folders = [files[index].parent.parts for index in alike]
            prefixes = _shortest_endings(folders)
            says_nothing = len(alike) == len(names) and all(prefixes)
            for index, prefix in zip(alike, prefixes, strict=True):
                told[index] = "-".join(prefix if says_nothing else [*prefix, name])
    return told


def _shortest_endings(folders: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The last parts of paths, as many as make all of them different, without equal ones at the end; none if the paths
    are not different.
    """
    while all(folders) and len({parts[-1] for parts in folders}) == 1:
        folders = [parts[:-1] for parts in folders]
    for length in range(1, max(map(len, folders)) + 1):
        endings = [parts[-length:] for parts in folders]
        if len(set(endings)) == len(folders):
            return endings
    return [()] * len(folders)

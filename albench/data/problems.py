"""What makes data unusable, case by case and all cases together: listed by `albench data check`, fatal in preparation.

A dataset with `problems` of its own calls `case_problems` for every volume that it can read and `set_problems` at the
end, so that the check finds everything that preparation rejects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from albench.data.preprocessing import fit_to, standardized
from albench.data.volume import Volume, check_volume
from albench.errors import DataError


@dataclass(frozen=True)
class Problem:
    """A problem of a dataset.

    Attributes:
        file: the file, the folder where a file is missing, or the name of a case or dataset without files.
        sentence: the rule, the value and the remedy.
        serious: a run rejects the dataset; otherwise the problem only deserves a look.
    """

    file: str
    sentence: str
    serious: bool = True


@dataclass(frozen=True)
class CaseSummary:
    """What decides whether a case fits the others.

    Attributes:
        case: its name.
        file: as in `Problem`.
        channels: of the image.
        foreground: voxels of the mask on the working grid that are 1.
    """

    case: str
    file: str
    channels: int
    foreground: int

    @classmethod
    def of(cls, volume: Volume, case: str, file: str, size: tuple[int, int] | None) -> CaseSummary:
        """The summary of a volume; `size` as in `Dataset`."""
        mask = fit_to(
            Volume(volume.image[:0], volume.mask, volume.spacing), size
        ).mask  # without channels, to save time
        return cls(case, file, len(volume.image), int(np.count_nonzero(mask)))


def case_problems(
    volume: Volume, case: str, window: tuple[float, float] | None = None, file: str | None = None
) -> Iterator[Problem]:
    """The first rule that one volume breaks, if any.

    Args:
        window: as in `Dataset`.
        file: as in `Problem`; None takes the name of the case.
    """
    try:
        check_volume(volume, case, window)
        standardized(volume, case, window)
    except DataError as error:
        yield Problem(file or case, str(error))


def set_problems(title: str, summaries: Sequence[CaseSummary]) -> Iterator[Problem]:
    """Every rule that the cases of a dataset break together.

    Args:
        title: of the dataset.
        summaries: (s,) in the order of the cases.
    """
    if not summaries:
        yield Problem(title, f"dataset '{title}' must have cases, it has none: check where its images are")
        return
    if not any(summary.foreground for summary in summaries):
        yield Problem(
            title,
            f"dataset '{title}' must have foreground in at least one mask, all {len(summaries)} masks are empty: "
            "check the masks, the labels that are foreground and data.size",
        )
    first, seen = summaries[0], {summaries[0].channels}
    for summary in summaries:
        if summary.channels not in seen:
            seen.add(summary.channels)
            yield Problem(
                summary.file,
                f"all cases must have the same number of channels, '{first.case}' has {first.channels} and "
                f"'{summary.case}' {summary.channels}: choose channels that all of them have",
            )

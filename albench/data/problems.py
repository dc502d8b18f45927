"""What makes data unusable, case by case and all cases together: listed by `albench data check`, fatal in preparation.

A dataset with `problems` of its own calls `check_case` for every volume that it can read and `set_problems` at the
end, so that the check finds everything that preparation rejects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from albench.data.intensities import ClippedTarget, Intensities, clipping_warnings
from albench.data.label_counts import LabelCounts
from albench.data.padding import padding_warnings
from albench.data.preprocessing import fit_to, standardized
from albench.data.scaling_loss import ScalingLoss, scaling_warnings
from albench.data.volume import Volume, check_volume

_MANY = 5  # slices with foreground that do not stand apart by chance
_FEWEST, _PART = 2, 0.1  # number and share of cases in which they do, from which others should be looked at


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
        labels: of the mask on the working grid.
        sides: height and width of its slices on the working grid.
        clipped: what clipping does to the target; None if it is not known.
        loss: what the mask loses on the working grid; None if it is not scaled.
    """

    case: str
    file: str
    channels: int
    labels: LabelCounts
    sides: Sequence[int]
    clipped: ClippedTarget | None = None
    loss: ScalingLoss | None = None

    @classmethod
    def of(
        cls,
        volume: Volume,
        case: str,
        file: str,
        size: tuple[int, int] | None,
        classes: int,
        clipped: ClippedTarget | None = None,
    ) -> CaseSummary:
        """The summary of a volume; `size` as in `Dataset`, `classes` their number, `clipped` from `check_case`."""
        own = Volume(volume.image[:0], volume.mask, volume.spacing)  # without channels, to save time
        scaled = fit_to(own, size)
        loss = None if scaled is own else ScalingLoss.of(own, scaled)
        labels, sides = LabelCounts.of(scaled.mask, classes), scaled.mask.shape[1:]
        return cls(case, file, len(volume.image), labels, sides, clipped, loss)


def check_case(volume: Volume, case: str, classes: tuple[str, ...], intensities: Intensities) -> ClippedTarget:
    """What clipping does to the target of a volume that can be prepared.

    Args:
        case: its name.
        classes: as in `check_volume`.
        intensities: as in `standardized`.

    Raises:
        DataError: the volume breaks a rule, which the sentence names.
    """
    check_volume(volume, case, intensities.window, classes)
    return standardized(volume, case, intensities)[1]


def set_problems(
    title: str,
    classes: Sequence[str],
    summaries: Sequence[CaseSummary],
    *,
    size: tuple[int, int] | None = None,
    intensities: Intensities | None = None,
) -> Iterator[Problem]:
    """Every rule that the cases of a dataset break together.

    Args:
        title: of the dataset.
        classes: names of the classes 1 to K.
        summaries: (s,) in the order of the cases.
        size: as in `Dataset`.
        intensities: as in `standardized`; None are the usual ones.
    """
    if not summaries:
        yield Problem(title, f"dataset '{title}' must have cases, it has none: check where its images are")
        return
    drawn = [summary.labels for summary in summaries if summary.labels.unlabeled < summary.labels.slices]
    if drawn and not any(labels.foreground for labels in drawn):
        yield Problem(
            title,
            f"dataset '{title}' must have foreground in at least one mask, all {len(drawn)} masks are empty: "
            "check the masks and the labels that are foreground",
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
    for sentence in set_warnings(title, classes, summaries, size=size, intensities=intensities or Intensities()):
        yield Problem(title, sentence, serious=False)


def set_warnings(
    title: str,
    classes: Sequence[str],
    summaries: Sequence[CaseSummary],
    *,
    size: tuple[int, int] | None,
    intensities: Intensities,
) -> Iterator[str]:
    """What deserves a look in the cases of a dataset together, a sentence each; arguments as in `set_problems`."""
    labels = [summary.labels for summary in summaries]
    sides = np.array([summary.sides for summary in summaries])
    counts = np.array([counted.slices for counted in labels])
    yield from scaling_warnings(size, [summary.loss for summary in summaries if summary.loss])
    yield from clipping_warnings(title, intensities, [summary.clipped for summary in summaries if summary.clipped])
    yield from label_warnings(title, classes, labels)
    yield from padding_warnings(title, [summary.case for summary in summaries], sides, counts, size)


def label_warnings(title: str, classes: Sequence[str], cases: Sequence[LabelCounts]) -> Iterator[str]:
    """What deserves a look in the masks of a dataset: a sentence each.

    Args:
        title: of the dataset.
        classes: names of the classes 1 to K.
        cases: (s,) numbers of the masks.
    """
    foreground = any(case.foreground for case in cases)
    for index, name in enumerate(classes):
        if foreground and not any(case.classes[index] for case in cases):
            yield (
                f"class '{name}' should occur in dataset '{title}', no mask contains it: check its values or leave it "
                "out"
            )
    unknown = sum(case.unknown for case in cases) / sum(case.voxels for case in cases)
    if unknown:
        blank, slices = sum(case.unlabeled for case in cases), sum(case.slices for case in cases)
        whole = sum(case.unlabeled == case.slices for case in cases)
        yield (
            f"all labels of dataset '{title}' should be known, those of {unknown:.2%} of its voxels are not, with "
            f"{blank} of {slices} slices and {whole} of {len(cases)} cases without any label: these count nowhere and "
            "are never queried, look at data.unknown and data.unlabeled if that is not intended"
        )
    told = [case for case in cases if case.step is not None]
    apart = [case for case in told if case.step != 1]
    if 2 * len(apart) < len(told) or len(apart) < min(_FEWEST, len(told)):
        apart = [case for case in apart if case.filled >= _MANY]
        apart = apart if len(apart) >= max(_FEWEST, _PART * len(told)) else []
    if apart:
        step, _ = Counter(case.step for case in apart).most_common(1)[0]
        yield (
            f"the slices between those with foreground should be drawn too, in {len(apart)} of {len(told)} cases "
            f"foreground stands in one of {step} slices only and the others count as background: use --set "
            "data.unknown=empty-slices if nobody has drawn them"
        )

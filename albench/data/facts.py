"""What the files of a case hold before they become a volume of the working grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_VALUES = 256  # different values of one mask that are kept, and that can be labels


@dataclass(frozen=True)
class FileFacts:
    """What the files of a case say of it.

    Attributes:
        orientation: where the axes of the file point to, as nibabel's `aff2axcodes`, such as RAS; empty if the files
            do not say it.
        values: voxels of every value of the mask, ascending, at most the `MOST_VALUES` most frequent; empty without a
            mask.
    """

    orientation: str = ""
    values: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> FileFacts:
        """The facts from JSON, where keys are text."""
        values = {int(value): number for value, number in content["values"].items()}
        return cls(**{**content, "values": values})


@dataclass(frozen=True)
class ValueCount:
    """How often a value occurs in masks.

    Attributes:
        voxels: with the value.
        masks: that contain it.
    """

    voxels: int
    masks: int


def pooled(values: Iterable[Mapping[int, int]]) -> dict[int, ValueCount]:
    """The values of all masks, ascending, from the voxels by value of each."""
    voxels: defaultdict[int, int] = defaultdict(int)
    masks: defaultdict[int, int] = defaultdict(int)
    for mask in values:
        for value, number in mask.items():
            voxels[value] += number
            masks[value] += 1
    return {value: ValueCount(voxels[value], masks[value]) for value in sorted(voxels)}

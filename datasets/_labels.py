"""What the values of a mask in a file mean: background, a class or unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from albench.errors import ConfigError
from albench.masks import UNKNOWN

Values = tuple[int, ...]
Target = Literal["foreground", "classes"]

FOREGROUND = "foreground"
_BACKGROUND, _IGNORE = "background", "ignore"  # names that dataset.json gives to values of no class
_WHITE = 255  # means foreground in a mask of 0 and 255, and often unknown beside other values


@dataclass(frozen=True)
class Labels:
    """How the values of a mask become a label map.

    Attributes:
        classes: name and values of the classes 1, 2, ..., K. None, for a single class, takes every value above 0 that
            is not unknown.
        unknown: values of voxels whose label is not known.
        declared: values that a mask may contain beside 0 and `unknown`; empty allows all.
    """

    classes: tuple[tuple[str, Values | None], ...] = ((FOREGROUND, None),)
    unknown: Values = ()
    declared: frozenset[int] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(name for name, _ in self.classes)

    @property
    def given(self) -> Values:
        """Values of all classes that are given."""
        return tuple(chain.from_iterable(values or () for _, values in self.classes))

    def of(self, organ: str | None) -> Labels:
        """Those of a file that holds one organ, every value above 0 of which is that organ; itself for None."""
        return self if organ is None else Labels(((organ, None),), self.unknown)

    def checked(self) -> Labels:
        """The labels themselves.

        Raises:
            ConfigError: a class has no value or one that is not above 0, or a value has two meanings.
        """
        owner: dict[int, str] = {}
        for name, values in self.classes:
            if values == ():
                raise ConfigError(f"a class must have at least one value in the masks, '{name}' has none: give it one")
            for value in values or ():
                if value <= 0:
                    raise ConfigError(
                        f"values of a class must be above 0, the background, '{name}' has {value}: leave it out"
                    )
                if owner.setdefault(value, name) != name:
                    raise ConfigError(
                        f"a voxel must have one class, value {value} is in '{owner[value]}' and '{name}': overlapping "
                        f"regions, as of nnU-Net's region-based training, need one run each, with data.labels="
                        f"{sorted(values or ())} for '{name}'"
                    )
                if value in self.unknown:
                    raise ConfigError(
                        f"a value must have one meaning, {value} is in class '{name}' and in data.unknown: leave it "
                        "out of one of them"
                    )
        return self

    def number(self, value: int) -> int:
        """The label of a value: 0, the number of a class, or UNKNOWN."""
        if value in self.unknown:
            return UNKNOWN
        for number, (_, values) in enumerate(self.classes, 1):
            if value > 0 if values is None else value in values:
                return number
        return 0

    def map(self, values: NDArray[np.generic], found: NDArray[np.generic]) -> NDArray[np.uint8]:
        """The label map of (i, j, k) values, among which those `found` occur, ascending."""
        numbers = np.array([self.number(int(value)) for value in found], dtype=np.uint8)
        made = np.empty(values.shape, dtype=np.uint8)
        for plane, of in zip(made, values, strict=True):  # searchsorted makes an index of 64 bits per voxel
            plane[:] = numbers[np.searchsorted(found, of)]
        return made

    def problems(self, found: Collection[int], path: Path) -> Iterator[str]:
        """A sentence for each rule that the values of a mask break."""
        read = {value for value in found if value not in self.unknown}
        lowest = min(read, default=0)
        if lowest < 0:
            yield (
                f"a mask must contain labels of at least 0, '{path}' contains {lowest}: correct its labels, or set "
                f"data.unknown={lowest} if they mean that nobody has labeled these voxels"
            )
        positive = {value for value in read if value > 0}
        undeclared = positive - self.declared
        if self.declared and undeclared:
            yield (
                f"a mask must contain labels that dataset.json declares, '{path}' contains {min(undeclared)} too: "
                "choose the labels that are foreground with data.labels, or name classes with data.classes, and set "
                f"data.unknown={min(undeclared)} if nobody has labeled these voxels"
            )
        elif not self.declared and not self.given and _WHITE in positive and len(positive) > 1:
            yield (
                f"the meaning of value {_WHITE} must be given, '{path}' contains it beside {min(positive)}: set "
                f"data.unknown={_WHITE} if nobody has labeled these voxels, or data.labels={sorted(positive)} if they "
                "are foreground"
            )


def labels_of_folder(declared: Mapping[str, Values], target: Target, labels: Values | None) -> Labels:
    """The labels of a folder with a dataset.json.

    The value that nnU-Net calls `ignore` is unknown.

    Args:
        declared: values by name, as in dataset.json; empty without it.
        target: `classes` takes the named ones; `foreground` is one class.
        labels: values of the foreground; None takes every value above 0.

    Raises:
        ConfigError: there are no names.
    """
    unknown, every = declared.get(_IGNORE, ()), frozenset(chain.from_iterable(declared.values()))
    if target == FOREGROUND:
        return Labels(((FOREGROUND, labels),), unknown, every if labels is None else frozenset())
    others = {name: values for name, values in declared.items() if name not in (_BACKGROUND, _IGNORE)}
    classes = tuple((name, values) for name, values in others.items() if values != (0,))
    if not classes:
        raise ConfigError(
            "data.target=classes must find names of classes in dataset.json, it finds none: name them with "
            "data.classes={NAME: VALUE, ...}"
        )
    return Labels(classes, unknown, every)


def labels_of_organs(organs: Sequence[str], *, chosen: bool) -> Labels:
    """One class for each organ that has masks of its own.

    Args:
        chosen: whether other options choose values of masks too.

    Raises:
        ConfigError: they do.
    """
    if chosen:
        raise ConfigError(
            "the target must be chosen by one option, the masks are of one organ each and data.organs chooses among "
            f"{', '.join(organs)}: leave data.labels, data.classes and data.target out"
        )
    return Labels(tuple((organ, None) for organ in organs))


def declared_values(labels: object) -> dict[str, Values]:
    """Values by name from the labels of a dataset.json: {value: name} in the Decathlon, {name: value} in nnU-Net, where
    a region has a list of values. Empty if it is neither.
    """
    if not isinstance(labels, dict):
        return {}
    for pairs in (((name, value) for value, name in labels.items()), labels.items()):
        found: dict[str, Values] = {}
        try:
            for name, value in pairs:
                values = tuple(map(int, value)) if isinstance(value, list) else (int(value),)
                found[str(name)] = found.get(str(name), ()) + values
        except (ValueError, TypeError):
            continue
        return found
    return {}

"""What the values of a mask in a file mean: background, a class or unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from albench.data import MOST_VALUES, ValueCount
from albench.errors import ConfigError, few
from albench.masks import MOST_CLASSES, UNKNOWN

Values = tuple[int, ...]
Target = Literal["foreground", "classes"]
EmptySlices = Literal["empty-slices"]

FOREGROUND = "foreground"
_BACKGROUND, _IGNORE = "background", "ignore"  # names that dataset.json gives to values of no class
_WHITE = 255  # means foreground in a mask of 0 and 255, and often unknown beside other values
_FEW = 8  # values that a sentence shows with their numbers
_LEFT_OUT = UNKNOWN - 1  # label of values that are of no class, while a slice is looked at
_LETTERS = "abc"  # names of classes in an example


@dataclass(frozen=True)
class Labels:
    """How the values of a mask become a label map.

    Attributes:
        classes: name and values of the classes 1, 2, ..., K. None, for a single class, takes every value above 0 that
            is not unknown.
        unknown: values of voxels whose label is not known.
        declared: values that a mask may contain beside 0 and `unknown`; empty allows all.
        called: names of values, as dataset.json or the masks give them.
        joined: names in dataset.json that are one foreground because nobody has chosen; empty if there is one at most.
        empty_slices: whether slices without any value above 0 are unknown.
        of_organs: values that are the organ in masks of one organ each; None takes the only one above 0.
        one_value: whether a mask may have one value above 0 only.
    """

    classes: tuple[tuple[str, Values | None], ...] = ((FOREGROUND, None),)
    unknown: Values = ()
    declared: frozenset[int] = frozenset()
    called: Mapping[int, str] = field(default_factory=dict)
    joined: tuple[str, ...] = ()
    empty_slices: bool = False
    of_organs: Values | None = None
    one_value: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(name for name, _ in self.classes)

    @property
    def given(self) -> Values:
        """Values of all classes that are given."""
        return tuple(chain.from_iterable(values or () for _, values in self.classes))

    @property
    def open(self) -> bool:
        """Whether nobody has decided which values are foreground."""
        return self.classes == ((FOREGROUND, None),) and not self.declared

    def of(self, organ: str | None) -> Labels:
        """Those of a file that holds one organ; itself for None."""
        if organ is None:
            return self
        return Labels(((organ, self.of_organs),), self.unknown, one_value=self.of_organs is None)

    def checked(self) -> Labels:
        """The labels themselves.

        Raises:
            ConfigError: a class has no value or one that is not above 0, a value has two meanings, or a class the name
                that nnU-Net gives to what nobody has labeled.
        """
        owner: dict[int, str] = {}
        for name, values in self.classes:
            if values and name.lower() == _IGNORE:
                unknown = values[0] if len(values) == 1 else list(values)
                raise ConfigError(
                    f"a class must not have the name of nnU-Net for voxels that nobody has labeled, got '{name}': "
                    f"leave it out and set data.unknown={unknown}, or give it another name"
                )
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

    def in_words(self, values: Mapping[int, ValueCount]) -> str:
        """Values with what they mean and how often they occur."""
        return _in_words(values, {value: self._meaning(value) for value in values})

    def organs_in_words(self, organs: Mapping[str, Mapping[int, ValueCount]]) -> str:
        """Organs with the values that they have in their masks and how often these occur."""
        found = []
        for organ, counts in organs.items():
            drawn = {value: count for value, count in counts.items() if self.of(organ).number(value) == 1}
            found.append(f"{organ} {_in_words(drawn)}" if drawn else f"{organ}, which no mask contains")
        return few(found, MOST_CLASSES)

    def _meaning(self, value: int) -> str:
        number = self.number(value)
        left_out = f"{_BACKGROUND}, left out by the options" if value else _BACKGROUND
        meaning = "unknown" if number == UNKNOWN else self.names[number - 1] if number else left_out
        called = self.called.get(value, meaning)
        return meaning if called.lower() == meaning.lower() else f"{called}, {meaning}"

    def question(self, title: str, values: Mapping[int, ValueCount]) -> str | None:
        """The sentence that asks what several values above 0 mean; None if there is one, or it has been decided.

        Args:
            title: of the dataset.
            values: of all its masks.
        """
        above = {value: count for value, count in values.items() if value > 0 and value not in self.unknown}
        if len(above) < 2 or not self.open:
            return None
        named = {value: name for value, name in self.called.items() if value in above}
        found = _in_words(above, named)
        every = f"--set 'data.labels=[{','.join(map(str, above))}]'"
        if _WHITE in above and len(above) == 2:
            return (
                f"the meaning of value {_WHITE} must be given, the masks of '{title}' contain {found}: use --set "
                f"data.unknown={_WHITE} if nobody has labeled the voxels of {_WHITE}, or {every} if they are foreground"
            )
        names = [f"{name}: {value}" for name, value in zip(_LETTERS, above, strict=False)]
        example = ", ".join([*names, "..."] if len(above) > len(names) else names)
        own = f"data.classes='{{{example}}}' for classes with names of yours"
        sentence = (
            f"what is to be segmented must be chosen, the masks of '{title}' contain {found}: use --set "
            f"{'data.target=classes for classes of these names' if named.keys() == above.keys() else own}, or {every} "
            "for one foreground of all of them"
        )
        if _WHITE not in above:
            return sentence
        return (
            f"{sentence}, or, if nobody has labeled the voxels of {_WHITE}, leave it out there and add --set "
            f"data.unknown={_WHITE}"
        )

    def note(self) -> str | None:
        """The sentence that tells which names of dataset.json are one foreground; None if that has been chosen."""
        if not self.joined:
            return None
        names = few([f"'{name}'" for name in self.joined], _FEW)
        return (
            f"the {len(self.joined)} labels {names} of dataset.json are one "
            "foreground: use --set data.target=classes for a class each, or choose some with data.labels"
        )

    def map(self, values: NDArray[np.generic], found: NDArray[np.generic]) -> NDArray[np.uint8]:
        """The label map of (i, j, k) values, among which those `found` occur, ascending."""
        numbers = np.array([self.number(int(value)) for value in found], dtype=np.uint8)
        if self.empty_slices:
            drawn = np.array([int(value) > 0 for value in found])
            numbers[(numbers == 0) & drawn] = _LEFT_OUT  # until `hide_empty_slices` has seen it
        made = np.empty(values.shape, dtype=np.uint8)
        for plane, of in zip(made, values, strict=True):  # searchsorted makes an index of 64 bits per voxel
            plane[:] = numbers[np.searchsorted(found, of)]
        return made

    def hide_empty_slices(self, labels: NDArray[np.uint8]) -> None:
        """Make the slices unknown in which nothing is drawn, if they are to be.

        Args:
            labels: (d, h, w) label map, changed in place.
        """
        if self.empty_slices:
            for plane in labels:
                if not ((plane != 0) & (plane != UNKNOWN)).any():
                    plane[:] = UNKNOWN
                plane[plane == _LEFT_OUT] = 0

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
        elif self.one_value and len(positive) > 1:
            every = ",".join(map(str, sorted(positive)[:MOST_VALUES]))
            yield (
                f"a mask of one organ must have one value above 0, '{path}' of '{self.names[0]}' has {len(positive)} "
                f"such as {min(positive)} and {max(positive)}: set data.labels=[{every}] if all of them are the organ, "
                "or, if they are classes, read these masks alone, with --data-root list.csv after "
                f"`albench data list-files FOLDER --masks '*{path.name}' > list.csv`"
            )
        elif not self.given and len(found) > MOST_VALUES:
            yield (
                f"a mask must contain labels, '{path}' contains {len(found):,} different values from {min(found)} to "
                f"{max(found)}, as an image does: give the file with the labels, or choose values with data.labels or "
                "data.classes"
            )


def labels_of_folder(
    declared: Mapping[str, Values],
    target: Target,
    labels: Values | None,
    segments: Mapping[str, Values] | None = None,
) -> Labels:
    """The labels of a folder whose values a dataset.json or its masks name.

    The value that nnU-Net calls `ignore`, in small or capital letters, is unknown.

    Args:
        declared: values by name, as in dataset.json; empty without it.
        target: `classes` takes the named ones; `foreground` is one class.
        labels: values of the foreground; None takes every value above 0.
        segments: values by name, as the masks name them; they decide nothing, and dataset.json has priority.

    Raises:
        ConfigError: there are no names.
    """
    if not declared and target == FOREGROUND:
        called = {value: name for name, values in (segments or {}).items() for value in values}
        return Labels(((FOREGROUND, labels),), called=called)
    declared = declared or segments or {}
    unknown = tuple(chain.from_iterable(values for name, values in declared.items() if name.lower() == _IGNORE))
    every = frozenset(chain.from_iterable(declared.values()))
    others = {name: values for name, values in declared.items() if name.lower() not in (_BACKGROUND, _IGNORE)}
    classes = tuple((name, values) for name, values in others.items() if values != (0,))
    called = {values[0]: name for name, values in declared.items() if len(values) == 1}
    if target == FOREGROUND:
        joined = tuple(name for name, _ in classes) if labels is None and len(classes) > 1 else ()
        declared_too = every if labels is None else frozenset()
        return Labels(((FOREGROUND, labels),), unknown, declared_too, called, joined)
    if not classes:
        raise ConfigError(
            "data.target=classes must find names of classes in dataset.json or in DICOM-SEG, it finds none: name them "
            "with data.classes={NAME: VALUE, ...}"
        )
    return Labels(classes, unknown, every, called)


def _in_words(values: Mapping[int, ValueCount], meanings: Mapping[int, str] | None = None) -> str:
    """Values with their numbers, the first few of them."""
    shown = []
    known = meanings or {}
    for value, count in values.items():
        meaning = f"{known[value]}, " if value in known else ""
        shown.append(
            f"{value} ({meaning}{count.voxels:,} voxels in {count.masks} mask{'s' if count.masks > 1 else ''})"
        )
    return few(shown, _FEW) if not 1 < len(shown) <= _FEW else f"{', '.join(shown[:-1])} and {shown[-1]}"


def labels_of_organs(organs: Sequence[str], values: Values | None, *, chosen: bool) -> Labels:
    """One class for each organ that has masks of its own.

    Args:
        values: that are the organ in each mask; None takes the only one above 0.
        chosen: whether other options choose classes too.

    Raises:
        ConfigError: they do.
    """
    if chosen:
        raise ConfigError(
            "the target must be chosen by one option, the masks are of one organ each and data.organs chooses among "
            f"{', '.join(organs)}: leave data.classes and data.target out"
        )
    return Labels(tuple((organ, None) for organ in organs), of_organs=values)


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

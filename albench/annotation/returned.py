"""What comes back from an annotator: the slices that are drawn, those that are still open, and what looks wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from albench.annotation.label_files import Asked
from albench.annotation.placing import MaskGrid, Placed, place
from albench.data import Problem, Raters, StoredLabels, agreement, combined_raters
from albench.errors import DataError, few
from albench.masks import UNKNOWN, Mask, foreground

ReadLabels = Callable[[Path], StoredLabels]
"""`Dataset.read_labels`: raises DataError if a file cannot be read."""

_SHOWN = 8  # slices in a sentence
_MOST = 0.5  # share of the slices nobody asked for, from which one label that fills them stands for unknown


@dataclass(frozen=True)
class Rules:
    """How label files are read.

    Attributes:
        classes: names of the classes 1 to K.
        untouched_is_done: slices that come back as they were handed out, empty or as suggested, count as drawn;
            otherwise they stay open.
        mask_grid: `own` finds voxels by the header of the file; `image` takes them in the order of the image.
        raters: how several files of one volume become one mask, as in `combined_raters`; None rejects them.
    """

    classes: tuple[str, ...]
    untouched_is_done: bool = False
    mask_grid: MaskGrid = "own"
    raters: Raters | None = None


@dataclass(frozen=True)
class Returned:
    """What came back of a volume.

    Attributes:
        masks: {position: (h, w) label map} on the grid of the file, of all slices that are drawn; UNKNOWN where the
            annotator left that.
        extra: positions among them that nobody asked for.
        open: positions that were asked for and are not drawn.
        findings: what was rejected, and what deserves a look.
        agreement: Dice of the annotators by their names, on the slices that both have drawn; empty with one annotator.
    """

    masks: Mapping[int, Mask]
    extra: tuple[int, ...]
    open: tuple[int, ...]
    findings: tuple[Problem, ...] = ()
    agreement: Mapping[str, float] = field(default_factory=dict)


def read_returned(path: Path, asked: Asked, read_labels: ReadLabels, rules: Rules) -> Returned:
    """Read an edited label file. It is never changed; what is wrong is in the findings, and good slices are kept.

    Voxels that a file leaves out, because its grid was cut, are as they were handed out. Slices that nobody asked for
    count as drawn if they have foreground.
    """
    try:
        labels = read_labels(path)
        placed = place(path, labels, asked.grid, trust=rules.mask_grid, ignored=UNKNOWN)
    except DataError as error:
        return Returned({}, (), asked.positions, (Problem(str(path), str(error)),))
    file = _File(path, asked, rules, placed, whole=labels.partial)
    return file.returned()


@dataclass(frozen=True)
class _File:
    """A label file on the grid of its image.

    Attributes:
        whole: whether voxels that the file leaves out are background.
    """

    path: Path
    asked: Asked
    rules: Rules
    placed: Placed
    whole: bool

    def returned(self) -> Returned:
        """The slices and the findings."""
        handed_out = self.asked.handed_out
        values = np.where(self.placed.covered | self.whole, self.placed.slices, handed_out)
        stand_in = self._stand_in(values)
        if stand_in is not None:
            values[values == stand_in] = UNKNOWN
        declared = np.isin(values, [*range(len(self.rules.classes) + 1), UNKNOWN])
        bad = ~np.all(declared, axis=(1, 2))
        slices = np.where(declared, values, UNKNOWN).astype(np.uint8)
        asked = self._asked_for
        blank = np.all(slices == UNKNOWN, axis=(1, 2))
        untouched = (slices == handed_out).all((1, 2)) & asked
        drawn = asked & ~blank & ~bad
        if not self.rules.untouched_is_done:
            drawn &= ~untouched
        extra = ~asked & ~bad & foreground(slices).any((1, 2))
        masks = {int(position): slices[position] for position in np.flatnonzero(drawn | extra)}
        findings = [
            *self._about_stand_in(stand_in),
            *self._about_undeclared(values, declared, bad),
            *self._about_outside(asked),
            *self._about_open(asked, untouched, blank),
            *self._about_drawn(slices, drawn, extra),
        ]
        return Returned(masks, _positions(extra), _positions(asked & ~drawn), tuple(findings))

    def _stand_in(self, values: NDArray[np.int32]) -> int | None:
        """The label that stands for unknown in a file of a tool that numbers labels anew; None if none does."""
        rest = [position for position in range(len(values)) if position not in self.asked.positions]
        if not rest or (values[rest] == UNKNOWN).any():
            return None
        filled = [int(values[z].flat[0]) for z in rest if values[z].min() == values[z].max() != 0]
        label = max({*filled}, key=filled.count, default=None)
        return label if filled.count(label or 0) > _MOST * len(rest) else None

    def _about_stand_in(self, label: int | None) -> Iterator[Problem]:
        if label is not None:
            yield self._look(
                f"unknown voxels must have the label {UNKNOWN}, in '{self.path}' label {label} fills the slices that "
                "nobody asked for and was taken for it: save labels without numbering them anew"
            )

    def _about_undeclared(
        self, values: NDArray[np.int32], declared: NDArray[np.bool_], bad: NDArray[np.bool_]
    ) -> Iterator[Problem]:
        if bad.any():
            labels, counts = np.unique(values[~declared], return_counts=True)
            shown = few([f"{label} in {count:,} voxels" for label, count in zip(labels, counts, strict=True)])
            classes = ", ".join(f"{label} {name}" for label, name in enumerate(self.rules.classes, 1))
            yield self._rejected(
                f"labels must be 0, {classes} or {UNKNOWN}, '{self.path}' has {shown} and does not count "
                f"{self._at(bad)}: give these voxels one of the labels"
            )

    def _about_outside(self, asked: NDArray[np.bool_]) -> Iterator[Problem]:
        if self.placed.outside:
            yield self._look(
                f"labels must lie on the image, {self.placed.outside:,} voxels of '{self.path}' lie beside it and are "
                "left out: look whether the file is of this volume"
            )
        cut = asked & ~self.placed.covered.all((1, 2))
        if cut.any() and not self.whole:
            yield self._look(
                f"a label file should cover its image, '{self.path}' leaves out a part {self._at(cut)}, which counts "
                "as it was handed out: look whether anything should be drawn there"
            )

    def _about_open(
        self, asked: NDArray[np.bool_], untouched: NDArray[np.bool_], blank: NDArray[np.bool_]
    ) -> Iterator[Problem]:
        if (asked & blank).any():
            yield self._look(
                f"slices that are asked for must be drawn, '{self.path}' is unknown everywhere "
                f"{self._at(asked & blank)}: draw there, and give 0 to the background"
            )
        if self.rules.untouched_is_done:
            return
        suggested = np.zeros(len(asked), np.bool_)
        suggested[[z for z, mask in self.asked.suggestions.items() if foreground(mask).any()]] = True
        if (untouched & ~suggested).any():
            yield self._look(
                f"it must be told whether slices are empty or not done, '{self.path}' has no foreground "
                f"{self._at(untouched & ~suggested)}: draw there, or say --empty-is-done"
            )
        if (untouched & suggested).any():
            yield self._look(
                f"it must be told whether suggestions are right or not looked at, '{self.path}' is as it was suggested "
                f"{self._at(untouched & suggested)}: correct it, or say --empty-is-done"
            )

    def _about_drawn(
        self, slices: NDArray[np.uint8], drawn: NDArray[np.bool_], extra: NDArray[np.bool_]
    ) -> Iterator[Problem]:
        partial = drawn & (slices == UNKNOWN).any((1, 2))
        if partial.any():
            count = np.count_nonzero(slices[partial] == UNKNOWN)
            yield self._look(
                f"slices should be drawn completely, '{self.path}' leaves {count:,} voxels unknown "
                f"{self._at(partial)}: give them a class, or 0"
            )
        if extra.any():
            count = np.count_nonzero(slices[extra] == UNKNOWN)
            rest = f" and {count:,} voxels there stay unknown" if count else ""
            yield self._look(
                f"slices that nobody asked for count if they have foreground, '{self.path}' has some "
                f"{self._at(extra)}{rest}: look whether a brush of three dimensions drew them"
            )
        yield from self._about_neighbors(~drawn & self._asked_for, extra)
        first = slices[:, :1, :1]
        full = (drawn | extra) & foreground(first)[:, 0, 0] & (slices == first).all((1, 2))
        if full.any():
            yield self._look(
                f"a class should not fill a slice, one does so in '{self.path}' {self._at(full)}: look whether it was "
                "filled by mistake"
            )

    @property
    def _asked_for(self) -> NDArray[np.bool_]:
        """(d,) whether somebody asked for a slice."""
        asked = np.zeros(self.asked.grid.slices[0], np.bool_)
        asked[[*self.asked.positions]] = True
        return asked

    def _about_neighbors(self, left: NDArray[np.bool_], extra: NDArray[np.bool_]) -> Iterator[Problem]:
        """As many slices are left open as are drawn next to one of them, all on the same side."""
        for step in (1, -1):
            beside = np.roll(left, step)
            beside[0 if step == 1 else -1] = False
            if left.any() and np.array_equal(beside, extra):
                yield self._look(
                    f"slices must be drawn where they are asked for, '{self.path}' is drawn {self._at(extra)} and not "
                    f"{self._at(left)}: look whether they were counted from 0 or from 1"
                )

    def _at(self, which: NDArray[np.bool_]) -> str:
        return _at(self.asked, np.flatnonzero(which).tolist())

    def _look(self, sentence: str) -> Problem:
        return Problem(str(self.path), sentence, serious=False)

    def _rejected(self, sentence: str) -> Problem:
        return Problem(str(self.path), sentence)


def combine_returned(asked: Asked, by_annotator: Mapping[str, Returned], rules: Rules) -> Returned:
    """What several annotators returned of one volume, as one: a slice that several have drawn is made by the rule.

    Slices that one of them has drawn are as that one drew them. How far they agree is told in a finding; without a
    rule, slices that several have drawn stay open.
    """
    names, several = [*by_annotator], [*by_annotator.values()]
    if len(several) == 1:
        return several[0]
    findings = [finding for one in several for finding in one.findings]
    scores, told = _agreements(names, several)
    drawn: dict[int, list[Mask]] = {}
    for one in several:
        for position, mask in one.masks.items():
            drawn.setdefault(position, []).append(mask)
    twice = [position for position, masks in drawn.items() if len(masks) > 1]
    who = few([f"'{name}'" for name in names])
    if twice and rules.raters is None:
        sentence = (
            f"a slice must have one mask, '{asked.case}' was drawn by several of {who} {_at(asked, twice)} ({told}): "
            "choose how masks are joined with --raters majority, any, all or first"
        )
        findings.append(Problem(asked.case, sentence))
        drawn = {position: masks for position, masks in drawn.items() if len(masks) == 1}
    elif twice:
        sentence = (
            f"'{asked.case}' was drawn by several of {who} {_at(asked, twice)}, and the rule '{rules.raters}' joins "
            f"their masks ({told}): look at both where they disagree"
        )
        findings.append(Problem(asked.case, sentence, serious=False))
    masks = {position: combined_raters(drawn[position], rules.raters or "first") for position in sorted(drawn)}
    extra = tuple(position for position in masks if position not in asked.positions)
    left = tuple(position for position in sorted(asked.positions) if position not in masks)
    return Returned(masks, extra, left, tuple(findings), scores)


def _agreements(names: Sequence[str], several: Sequence[Returned]) -> tuple[dict[str, float], str]:
    """The Dice of every pair of annotators on the slices that both have drawn, and in words."""
    scores: dict[str, float] = {}
    for number, one in enumerate(several):
        for other_number, other in enumerate(several[number + 1 :], number + 1):
            both = sorted(one.masks.keys() & other.masks.keys())
            if both:
                stacks = [[np.stack([of.masks[position] for position in both]) for of in (one, other)]]
                (score,) = agreement(stacks).values()
                scores[f"{names[number]} and {names[other_number]}"] = score
    return scores, "; ".join(f"Dice of {pair} {score:.3f}" for pair, score in scores.items())


def _positions(which: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(which).tolist())


def _at(asked: Asked, positions: Sequence[int]) -> str:
    """Where slices are in the file, as 3D Slicer counts: `at k = 4, 7`."""
    places = [asked.grid.index(position) for position in positions]
    return f"at {'ijk'[places[0][0]]} = {few([str(index) for _, index in sorted(places)], _SHOWN)}"

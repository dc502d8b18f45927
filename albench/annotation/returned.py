"""What comes back from an annotator: the slices that are drawn, those that are still open, and what looks wrong."""

from __future__ import annotations

from collections import Counter
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
    return _File(path, asked, rules, placed, whole=labels.partial).returned()


@dataclass(frozen=True, eq=False)
class _Slice:
    """A slice of a label file that was asked for, or that has other labels than background and unknown.

    Attributes:
        position: as in `SliceStack`.
        mask: (h, w) label map.
        asked: whether somebody asked for it.
        undeclared: voxels by label that is none of the classes.
        untouched: whether it came back as it was handed out.
        suggested: whether it was handed out with foreground.
        cut: whether the file leaves out voxels of it.
    """

    position: int
    mask: Mask
    asked: bool
    undeclared: Mapping[int, int]
    untouched: bool
    suggested: bool
    cut: bool

    @property
    def unknown(self) -> int:
        """Voxels that are unknown."""
        return int(np.count_nonzero(self.mask == UNKNOWN))

    @property
    def is_blank(self) -> bool:
        """Whether all of it is unknown."""
        return self.unknown == self.mask.size

    @property
    def is_filled(self) -> bool:
        """Whether one class fills all of it."""
        return bool(foreground(self.mask).all() and self.mask.min() == self.mask.max())

    def counts(self, rules: Rules) -> bool:
        """Whether it is drawn."""
        if self.undeclared or self.is_blank:
            return False
        return bool(foreground(self.mask).any()) if not self.asked else not self.untouched or rules.untouched_is_done


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
        stand_in = self._stand_in()
        slices = [made for position in range(self._depth) if (made := self._slice(position, stand_in)) is not None]
        drawn = [one for one in slices if one.counts(self.rules)]
        left = [one for one in slices if one.asked and not one.counts(self.rules)]
        extra = [one for one in drawn if not one.asked]
        findings = [
            *self._about_stand_in(stand_in),
            *self._about_undeclared([one for one in slices if one.undeclared]),
            *self._about_outside([one for one in slices if one.asked and one.cut]),
            *self._about_open(left, some=bool(drawn)),
            *self._about_drawn(drawn, extra),
            *self._about_neighbors(left, extra),
        ]
        masks = {one.position: one.mask for one in drawn}
        return Returned(masks, _positions(extra), _positions(left), tuple(findings))

    @property
    def _depth(self) -> int:
        return self.asked.grid.slices[0]

    def _values(self, position: int) -> NDArray[np.int64]:
        """(h, w) labels of a slice as the file has them."""
        handed_out = self.asked.handed_out(position)
        return self.placed.over(position, np.zeros_like(handed_out) if self.whole else handed_out)

    def _slice(self, position: int, stand_in: int | None) -> _Slice | None:
        values = self._values(position)
        if stand_in is not None:
            values[values == stand_in] = UNKNOWN
        asked = position in self.asked.positions
        if not asked and not ((values != 0) & (values != UNKNOWN)).any():
            return None
        wrong = ((values < 0) | (values > len(self.rules.classes))) & (values != UNKNOWN)
        labels, counts = np.unique(values[wrong], return_counts=True)
        values[wrong] = UNKNOWN
        mask, handed_out = values.astype(np.uint8), self.asked.handed_out(position)
        return _Slice(
            position,
            mask,
            asked,
            dict(zip(labels.tolist(), counts.tolist(), strict=True)),
            untouched=asked and np.array_equal(mask, handed_out),
            suggested=bool(foreground(handed_out).any()),
            cut=not self.whole and not self.placed.covers_all(position, self.asked.grid.slices[1:]),
        )

    def _stand_in(self) -> int | None:
        """The label that stands for unknown in a file of a tool that numbers labels anew; None if none does."""
        rest = [position for position in range(self._depth) if position not in self.asked.positions]
        filled = Counter[int]()
        for position in rest:
            values = self._values(position)
            if (values == UNKNOWN).any():
                return None
            if values.min() == values.max() != 0:
                filled[int(values.flat[0])] += 1
        if not filled:
            return None
        ((label, count),) = filled.most_common(1)
        return label if count > _MOST * len(rest) else None

    def _about_stand_in(self, label: int | None) -> Iterator[Problem]:
        if label is not None:
            yield self._look(
                f"unknown voxels must have the label {UNKNOWN}, in '{self.path}' label {label} fills the slices that "
                "nobody asked for and was taken for it: save labels without numbering them anew"
            )

    def _about_undeclared(self, bad: Sequence[_Slice]) -> Iterator[Problem]:
        if bad:
            counts = Counter[int]()
            for one in bad:
                counts.update(one.undeclared)
            shown = few([f"{label} in {counts[label]:,} voxels" for label in sorted(counts)])
            classes = ", ".join(f"{label} {name}" for label, name in enumerate(self.rules.classes, 1))
            yield Problem(
                str(self.path),
                f"labels must be 0, {classes} or {UNKNOWN}, '{self.path}' has {shown} and does not count "
                f"{self._at(bad)}: give these voxels one of the labels",
            )

    def _about_outside(self, cut: Sequence[_Slice]) -> Iterator[Problem]:
        if self.placed.outside:
            yield self._look(
                f"labels must lie on the image, {self.placed.outside:,} voxels of '{self.path}' lie beside it and are "
                "left out: look whether the file is of this volume"
            )
        if cut:
            yield self._look(
                f"a label file should cover its image, '{self.path}' leaves out a part {self._at(cut)}, which counts "
                "as it was handed out: look whether anything should be drawn there"
            )

    def _about_open(self, left: Sequence[_Slice], *, some: bool) -> Iterator[Problem]:
        """A file in which nothing is drawn was not looked at, which needs no sentence."""
        blank = [one for one in left if one.is_blank and not one.undeclared]
        empty = [one for one in left if some and one.untouched and not one.suggested]
        suggested = [one for one in left if some and one.untouched and one.suggested]
        if blank:
            yield self._look(
                f"slices that are asked for must be drawn, '{self.path}' is unknown everywhere {self._at(blank)}: draw "
                "there, and give 0 to the background"
            )
        if empty:
            yield self._look(
                f"it must be told whether slices are empty or not done, '{self.path}' has no foreground "
                f"{self._at(empty)}: draw there, or say --empty-is-done"
            )
        if suggested:
            yield self._look(
                f"it must be told whether suggestions are right or not looked at, '{self.path}' is as it was suggested "
                f"{self._at(suggested)}: correct it, or say --empty-is-done"
            )

    def _about_drawn(self, drawn: Sequence[_Slice], extra: Sequence[_Slice]) -> Iterator[Problem]:
        partial = [one for one in drawn if one.asked and one.unknown]
        if partial:
            yield self._look(
                f"slices should be drawn completely, '{self.path}' leaves {sum(one.unknown for one in partial):,} "
                f"voxels unknown {self._at(partial)}: give them a class, or 0"
            )
        if extra:
            unknown = sum(one.unknown for one in extra)
            rest = f" and {unknown:,} voxels there stay unknown" if unknown else ""
            yield self._look(
                f"slices that nobody asked for count if they have foreground, '{self.path}' has some "
                f"{self._at(extra)}{rest}: look whether a brush of three dimensions drew them"
            )
        filled = [one for one in drawn if one.is_filled]
        if filled:
            yield self._look(
                f"a class should not fill a slice, one does so in '{self.path}' {self._at(filled)}: look whether it "
                "was filled by mistake"
            )

    def _about_neighbors(self, left: Sequence[_Slice], extra: Sequence[_Slice]) -> Iterator[Problem]:
        """As many slices are left open as are drawn next to one of them, all on the same side."""
        steps = {step for step in (1, -1) if _positions(extra) == tuple(one.position + step for one in left)}
        if left and steps:
            yield self._look(
                f"slices must be drawn where they are asked for, '{self.path}' is drawn {self._at(extra)} and not "
                f"{self._at(left)}: look whether they were counted from 0 or from 1"
            )

    def _at(self, slices: Sequence[_Slice]) -> str:
        return _at(self.asked, _positions(slices))

    def _look(self, sentence: str) -> Problem:
        return Problem(str(self.path), sentence, serious=False)


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


def _positions(slices: Sequence[_Slice]) -> tuple[int, ...]:
    return tuple(one.position for one in slices)


def _at(asked: Asked, positions: Sequence[int]) -> str:
    """Where slices are in the file, as 3D Slicer counts: `at k = 4, 7`."""
    places = [asked.grid.index(position) for position in positions]
    return f"at {'ijk'[places[0][0]]} = {few([str(index) for _, index in sorted(places)], _SHOWN)}"

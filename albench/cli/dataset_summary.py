"""The summary of a prepared set in words: what was read, what the labels are, and what preparing has made of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from albench.data import (
    PERCENTILES,
    AsRead,
    ClippedTarget,
    Dataset,
    Prepared,
    ScalingLoss,
    agreement_in_words,
    padding_share,
    pooled,
)
from albench.errors import few
from albench.masks import UNKNOWN

Numbers = NDArray[np.int64] | NDArray[np.float64]

_SHOWN = 6  # values or orientations in a line


@dataclass(frozen=True)
class LabelRow:
    """What is known of one label.

    Attributes:
        name: of the class, or background, unknown, or background because the options leave a value out.
        values: of the files that it is made of, with their names.
        read: voxels in the files.
        prepared: pixels on the working grid; None for values that are left out, which are background there.
        share: of all pixels of the working grid.
        cases: that contain it, and all cases with a mask.
    """

    name: str
    values: str
    read: int
    prepared: int | None
    share: float
    cases: tuple[int, int]

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        pixels = "" if self.prepared is None else f"{self.prepared:,}"
        share = "" if self.prepared is None else f"{self.share:.2%}"
        in_files = (f"{self.read:,}", f"{self.cases[0]} of {self.cases[1]}") if self.values else ("", "")
        return self.name, self.values, in_files[0], pixels, share, in_files[1]


LABEL_COLUMNS = ("label", "values in the files", "voxels", "prepared", "share", "in cases")


def numbers(dataset: Dataset, prepared: Prepared) -> Mapping[str, Mapping[str, str]]:
    """Values in words by their names, in groups: volumes, labels and preparation."""
    return {
        "volumes": dict(_volumes(dataset, prepared)),
        "labels": dict(_labels(prepared)),
        "preparation": dict(_preparation(dataset, prepared)),
    }


def label_rows(dataset: Dataset, prepared: Prepared) -> list[LabelRow]:
    """A row for every class, for the background, for values that the options leave out, and for unknown voxels."""
    masks = [case.values for case in prepared.read if case.values]
    by_label: dict[tuple[int, bool], list[int]] = {}
    for value in pooled(masks):
        label = dataset.label_of(value)
        by_label.setdefault((label, label == 0 and value != 0), []).append(value)
    pixels = sum(case.voxels for case in prepared.labels)
    background = pixels - sum(case.foreground + case.unknown for case in prepared.labels)
    rows = []
    for label, name in [*enumerate(prepared.classes, 1), (0, "background"), (UNKNOWN, "unknown")]:
        values = by_label.get((label, False), [])
        of_organ = [case.organs[name] for case in prepared.read if name in case.organs]
        if of_organ:
            values = [value for value in pooled(of_organ) if dataset.label_of(value, name) == label]
        if label in (0, UNKNOWN):
            made = background if label == 0 else sum(case.unknown for case in prepared.labels)
        else:
            made = sum(case.classes[label - 1] for case in prepared.labels)
        if values or made or label not in (0, UNKNOWN):
            rows.append(_row(dataset, name, values, of_organ or masks, made, pixels))
        left_out = by_label.get((label, True), [])
        if left_out:
            rows.append(_row(dataset, "background, left out by the options", left_out, masks, None, pixels))
    return rows


def _row(
    dataset: Dataset,
    name: str,
    values: Sequence[int],
    masks: Sequence[Mapping[int, int]],
    made: int | None,
    pixels: int,
) -> LabelRow:
    shown = [
        f"{value} {called}" if (called := dataset.name_of(value)) not in ("", name) else f"{value}" for value in values
    ]
    voxels = [sum(mask.get(value, 0) for value in values) for mask in masks]
    return LabelRow(
        name, few(shown, _SHOWN), sum(voxels), made, (made or 0) / pixels, (int(np.count_nonzero(voxels)), len(masks))
    )


def _volumes(dataset: Dataset, prepared: Prepared) -> Iterator[tuple[str, str]]:
    """What was read."""
    if pairing := dataset.pairing():
        yield "images and masks", pairing.removeprefix("images and masks are ")
    visits = Counter(prepared.patients)
    cases = len(prepared.cases)
    per_patient = np.array(list(visits.values()))
    yield (
        "cases",
        f"{cases}" if len(visits) == cases else (f"{cases} of {len(visits)} patients, {_range(per_patient)} each"),
    )
    read = prepared.read
    yield "voxels", f"{_sides(np.array([case.shape for case in read]))} (slices, rows, columns)"
    yield "spacing", f"{_sides(np.array([case.spacing for case in read]))} mm (slices, rows, columns)"
    codes = Counter(case.orientation for case in read if case.orientation).most_common()
    if codes:
        several = len(codes) > 1
        shown = [f"{code} ({number})" if several else code for code, number in codes]
        yield "orientation of the files", few(shown, _SHOWN)
    if prepared.intensity is not None:
        for channel in range(prepared.images.shape[1]):
            name = "intensities as read" + (f", channel {channel}" if prepared.images.shape[1] > 1 else "")
            yield name, _intensities(prepared.intensity[:, channel], read, channel)


def _intensities(ranges: NDArray[np.float64], read: Sequence[AsRead], channel: int) -> str:
    typical = np.median([case.percentiles[channel] for case in read], 0)
    shown = ", ".join(f"{value:.4g} ({share:g} %)" for value, share in zip(typical, PERCENTILES, strict=True))
    return f"{ranges[:, 0].min():.6g} to {ranges[:, 1].max():.6g}; percentiles, median case: {shown}"


def _labels(prepared: Prepared) -> Iterator[tuple[str, str]]:
    """What the masks hold."""
    labels = prepared.labels
    total, pixels = len(prepared.images), sum(case.voxels for case in labels)
    filled = np.array([case.filled for case in labels])
    yield "slices with foreground", f"{filled.sum() / total:.1%}, {_range(filled)} per case"
    yield "foreground", f"{sum(case.foreground for case in labels) / pixels:.2%} of all pixels"
    yield "cases without foreground", f"{sum(not case.foreground for case in labels)}"
    raters = zip(prepared.cases, (case.agreement for case in prepared.read), strict=True)
    agreeing = list(agreement_in_words(dict(raters)))
    if agreeing:
        yield "raters", "; ".join(agreeing)
    if prepared.unknown is not None:
        blank = sum(case.unlabeled for case in labels)
        whole = sum(case.unlabeled == case.slices for case in labels)
        yield "unknown", f"{sum(case.unknown for case in labels) / pixels:.2%} of all pixels"
        yield "without any label", f"{blank} slices, {whole} whole cases"


def _preparation(dataset: Dataset, prepared: Prepared) -> Iterator[tuple[str, str]]:
    """What preparing makes of the volumes."""
    total, channels, height, width = prepared.images.shape
    axis = dataset.hashed_options().get("axis")
    yield "slices", f"{f'{axis}, ' if axis else ''}{total}, {_range(prepared.counts)} per case"
    yield "intensities", dataset.intensities.in_words()
    yield "target clipped", ClippedTarget.sum(prepared.clipped).in_words()
    changed = [tuple(valid) != case.shape[1:] for valid, case in zip(prepared.valid, prepared.read, strict=True)]
    if any(changed):
        spacing = _sides(prepared.spacing[:, 1:])
        yield "scaled", f"{sum(changed)} of {len(changed)} cases, to {spacing} mm per pixel (data.size)"
        if prepared.own_grids is not None:
            yield "masks", ScalingLoss.sum(prepared.own_grids.losses).in_words()
    else:
        yield "scaled", "none, pixels are those of the files"
    padding = padding_share(prepared.valid, prepared.counts, (height, width))
    yield (
        "pixels",
        (f"{height} x {width}, {channels} channel{'s' if channels > 1 else ''}, {padding:.0%} of them padding"),
    )


def _sides(values: Numbers) -> str:
    """(s, n) lengths along each axis, with the median where they differ."""
    return " x ".join(_range(column) for column in values.T)


def _range(values: Numbers) -> str:
    low, middle, high = (f"{value:.4g}" for value in (values.min(), np.median(values), values.max()))
    return low if low == high else f"{low} to {high} (median {middle})"

"""The queried slices of every method, round by round, for the page: what was asked, where, and the mask bought for it.

The images are those that a run keeps of the first slices of each query (`albench.runs.snapshots`), so no data are
needed. Only the place of a slice in its file is read from the data, by whoever calls `queried_slices`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from albench.reports.figures.imaging import shown_slice
from albench.reports.figures.masks import about_unknown, truth_contours
from albench.reports.figures.slices import queried_snapshots
from albench.reports.group import Group
from albench.reports.results import Results
from albench.reports.runs import Run
from albench.reports.thumbnails import thumbnail
from albench.runs import StoredRun

MOST = 2000
"""Slices on a page, unless it has more rounds; with them it is a few megabytes."""

Places = Callable[[StoredRun], Mapping[str, Sequence[tuple[str, float]]]]
"""From a run to {training case: (d,) index of each slice in its file, `k = 17`, and its millimeters}.

Empty for data without files.
"""


@dataclass(frozen=True)
class QueriedSlice:
    """A thumbnail.

    Attributes:
        address: of the image.
        width: of the image in pixels, as is `height`.
        case: its case.
        place: where it lies in it.
    """

    address: str
    width: int
    height: int
    case: str
    place: str


@dataclass(frozen=True)
class QueriedRound:
    """A query.

    Attributes:
        index: the round after which it was asked.
        count: how many slices it has.
        slices: the first ones of it.
    """

    index: int
    count: int
    slices: list[QueriedSlice]


@dataclass(frozen=True)
class QueriesOfMethod:
    """The queries of one run of a method.

    Attributes:
        label: of the method.
        replicate: its seed and split.
        folder: of the run.
        queries: how many there are.
        rounds: of them, one after the other.
    """

    label: str
    replicate: str
    folder: str
    queries: int
    rounds: Iterator[QueriedRound]


@dataclass(frozen=True)
class QueriesOfGroup:
    """The queries of a group.

    Attributes:
        name: of the group.
        classes: {name: color} if there are several.
        sentences: what the images show.
        methods: with images of their queries.
    """

    name: str
    classes: Mapping[str, str]
    sentences: list[str]
    methods: list[QueriesOfMethod]


def queried_slices(results: Results, places: Places | None = None) -> list[QueriesOfGroup]:
    """The queries of the run of each method with the lowest seed; only groups and methods with images of them.

    Args:
        results: see `albench.reports.load`.
        places: tells where slices lie in their files, and raises an error without the data; None leaves that out.
    """
    runs = {group.name: dict(_with_images(group)) for group in results.groups}
    rounds = sum(len(run.reader.records) - 1 for own in runs.values() for run in own.values())
    most = max(1, MOST // max(1, rounds))
    return [_of_group(group, runs[group.name], most, places) for group in results.groups if runs[group.name]]


def _with_images(group: Group) -> Iterator[tuple[str, Run]]:
    for label, runs in group.methods.items():
        run = min(runs, key=lambda run: run.replicate)
        if queried_snapshots(run, 0):
            yield label, run


def _of_group(group: Group, runs: Mapping[str, Run], most: int, places: Places | None) -> QueriesOfGroup:
    found, where = _places(next(iter(runs.values())), places)
    colors = truth_contours(len(group.classes)).colors
    masks = [mask for run in runs.values() for mask in queried_snapshots(run, 0)["masks"]]
    contour = "The contour is that of the mask that was bought"
    sentences = [
        f"{contour}." if len(colors) == 1 else f"{contour}, in the color of its class.",
        *about_unknown(masks),
        where,
    ]
    methods = [
        QueriesOfMethod(
            label,
            run.replicate_title,
            str(run.reader.folder),
            len(run.reader.records) - 1,
            _rounds(run, colors, most, found),
        )
        for label, run in runs.items()
    ]
    named = dict(zip(group.classes, colors, strict=True)) if len(colors) > 1 else {}
    return QueriesOfGroup(group.name, named, sentences, methods)


def _places(run: Run, places: Places | None) -> tuple[Mapping[str, Sequence[tuple[str, float]]], str]:
    """Where the slices of the training cases lie in their files, if that is known, and a sentence about it."""
    usual = "Slices count from the bottom of the volume, from 0"
    try:
        found = places(run.reader) if places else {}
    except Exception:  # a dataset may be a plugin, and the images do not need it
        return {}, (
            f"{usual}; their index in the file is left out, because the data are not where they were: albench queries "
            "gives it, with --data-root."
        )
    if not found:
        return {}, f"{usual}."
    return found, (
        "i, j or k is the index of the slice in its file as 3D Slicer counts it, from 0; millimeters are those along "
        "the axis of the body."
    )


def _rounds(
    run: Run, colors: Sequence[str], most: int, places: Mapping[str, Sequence[tuple[str, float]]]
) -> Iterator[QueriedRound]:
    for record in run.reader.records[:-1]:
        arrays = queried_snapshots(run, record.round)
        shown = [shown_slice(arrays, row) for row in range(min(most, len(arrays.get("ids", ()))))]
        slices = []
        for one in shown:
            place = f"slice {one.position}"
            if places:
                index, millimeters = places[one.case][one.position]
                place = f"{index}, {millimeters:.1f} mm"
            address, width, height = thumbnail(one, colors)
            slices.append(QueriedSlice(address, width, height, one.case, place))
        yield QueriedRound(record.round, len(run.reader.query(record.round).ids), slices)

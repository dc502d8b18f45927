"""The rounds of a project: make it, read what was drawn, train and query, write the next worklist.

A round is one call of `next_round`. What it leaves is complete at any moment: a call that is killed is repeated, reads
the drawn files again, and continues as a run does.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from albench.annotation.drawings import AskedSlice, Drawings, Suggestions, by_volume
from albench.annotation.people import Answer, PeopleRun
from albench.annotation.predictions import TrainedNetwork
from albench.annotation.project import Project, Stage, new_record
from albench.annotation.segmentations import CaseCertainty, write_least_certain, write_segmentation
from albench.annotation.useless import why_useless
from albench.annotation.volumes import find_volumes
from albench.callback import NullCallback, RunCallback
from albench.data import Dataset, Prepared, Problem, SliceStack, Split
from albench.data.preparation import Progress
from albench.errors import AlbenchError, ConfigError, StoreError, counted
from albench.files import is_folder, locked, translate_os_errors, write_text
from albench.loop import Execution, run
from albench.masks import UNKNOWN, Mask
from albench.names import check_name
from albench.registry import DEFAULT_NETWORK
from albench.resolve import Datasets, resolve
from albench.runs import RunReader
from albench.runs.layout import folder_name
from albench.runs.records import RoundRecord, SliceName

MakeDrawings = Callable[[Dataset, Prepared], Drawings]
"""The files in which people draw the volumes of a dataset."""

_SET_BY_THE_PROJECT = {
    "data.root": "which lists its volumes itself",
    "data.unlabeled": "which asks for the volumes without masks",
    "protocol.split": "whose volumes for validation and test are named",
    "protocol.split_seed": "whose volumes for validation and test are named",
    "protocol.splits": "whose volumes for validation and test are named",
    "protocol.annotation_errors": "where people draw",
}
_ROUNDS = 1000  # a project ends when its people do


@dataclass(frozen=True)
class Worklist:
    """What is to be drawn now.

    Attributes:
        folder: with the files.
        round: that trains on it.
        asked: the slices, most wanted first.
        missing: those of them that are not drawn yet.
        extra: slices that were drawn though nobody asked for them.
        problems: what is wrong with the files, or deserves a look.
        finished: whether nothing is left to ask for.
    """

    folder: Path
    round: int
    asked: tuple[SliceName, ...]
    missing: tuple[SliceName, ...]
    extra: tuple[SliceName, ...] = ()
    problems: tuple[Problem, ...] = ()
    finished: bool = False

    @property
    def drawn(self) -> tuple[SliceName, ...]:
        """The slices that were asked for and are drawn or were labeled from the beginning, and the extra ones."""
        return (*(name for name in self.asked if name not in self.missing), *self.extra)

    @property
    def faulty(self) -> bool:
        """Whether files cannot be used, so that no round begins."""
        return any(problem.serious for problem in self.problems)

    def told(self) -> Iterator[str]:
        """What is wrong with the files or deserves a look, and what was drawn though nobody asked for it."""
        for problem in self.problems:
            yield f"{'error' if problem.serious else 'look'}: {problem.sentence}"
        if self.extra:
            yield f"{counted(len(self.extra), 'slice')} that nobody asked for will be trained on, too"

    @property
    def answered(self) -> bool:
        """Whether the round can begin."""
        return not (self.missing or self.finished or self.faulty)


@dataclass(frozen=True)
class Computing:
    """How a project is computed; not part of it.

    Attributes:
        execution: as of a run.
        drawings: the files in which people draw.
        callback: told about progress.
        progress: of the preparation of the data.
        workers: processes that prepare the data; None chooses.
    """

    execution: Execution
    drawings: MakeDrawings
    callback: RunCallback | None = None
    progress: Progress | None = None
    workers: int | None = 1


def new(
    folder: Path,
    images: Path,
    computing: Computing,
    *,
    strategy: str,
    labels: Path | None = None,
    network: str = DEFAULT_NETWORK,
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
    name: str | None = None,
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
) -> Worklist:
    """Make a project, and its first worklist: the slices of `protocol.start` that have no mask.

    Without validation volumes, trainings have a fixed length (`training.stop=steps`).

    Args:
        folder: of the project.
        images: folder of the NIfTI volumes.
        labels: folder of masks, of the same names, of some of them.
        settings: by dotted name, as of a run.
        name: of the volumes, on which random draws depend; None takes that of `images`.
        validation: names of volumes with whole masks; trainings end by them, and their metrics are recorded.
        test: likewise, for the test metrics.

    Raises:
        AlbenchError: something is wrong that a user can fix; see `albench.errors`.
    """
    Project.check_new(folder)
    volumes = find_volumes(images, labels)
    name = name or images.resolve().name
    check_name("a project", name)
    parts = tuple(sorted(validation)), tuple(sorted(test))
    for option, cases in zip(("--validation", "--test"), parts, strict=True):
        volumes.check_masks(cases, option)
    both = sorted({*parts[0]} & {*parts[1]})
    if both:
        raise ConfigError(f"a volume must be for one purpose, '{both[0]}' is in --validation and --test: choose one")
    stage = Stage(strategy, network, seed, dict(settings or {}))
    record = new_record(name, *parts, stage)
    project = Project(folder, record)
    made = not folder.exists()
    write_text(project.listing, volumes.listing(folder))
    try:
        _resolved(project, computing)  # before there is a project: an error leaves none
    except AlbenchError:
        project.listing.unlink()
        if made:
            folder.rmdir()
        raise
    return _Round.open(Project.make(folder, record), computing).begun()


def next_round(
    folder: Path,
    computing: Computing,
    *,
    strategy: str | None = None,
    network: str | None = None,
    settings: Mapping[str, object] | None = None,
    returned: Path | None = None,
    leave_open: bool = False,
    prefill: bool = False,
    minutes: float | None = None,
) -> Worklist:
    """Read what was drawn, train, query, and write the next worklist; nothing of that while slices are missing.

    Args:
        folder: of the project.
        strategy: another one from now on.
        network: likewise.
        settings: likewise by dotted name, beside those that stay.
        returned: folder where the files of the worklist were saved; None if they were edited in place.
        leave_open: go on though slices are missing, if any are drawn; they may be asked for again.
        prefill: hand out the slices of the next worklist with the predictions of the network.
        minutes: that people took for the whole worklist; None keeps what they have said before.

    Returns:
        The worklist to draw now: the next one, or the same with what is missing or wrong.

    Raises:
        AlbenchError: something is wrong that a user can fix; see `albench.errors`.
    """
    with _alone(folder):
        project = Project.open(folder)
        before = project.stage
        stage = replace(
            before,
            strategy=strategy or before.strategy,
            network=network or before.network,
            settings=before.settings | dict(settings or {}),
            first=project.rounds,
        )
        if before.changes(stage):
            changed = Project(folder, replace(project.record, stages=(*project.record.stages, stage)))
            resolved, _ = _resolved(changed, computing)  # before it is written down: an error changes nothing
            begun = project.runs[-1]
            if begun is None or begun.config.digest() != resolved.config.digest():  # a default may be written out
                project = project.with_stage(stage)
        if minutes is not None:
            project.keep_minutes(minutes)
        current = _Round.open(project, computing, returned, prefill=prefill)
        worklist = current.begun()
        enough = leave_open and not (worklist.finished or worklist.faulty) and worklist.drawn
        if not (worklist.answered or enough):
            return worklist
        for sentence in worklist.told():
            (computing.callback or NullCallback()).on_notice(sentence)
        return current.trained()


def status(folder: Path, computing: Computing, returned: Path | None = None) -> Worklist:
    """The worklist to draw now, with what is missing or wrong. Arguments and errors as of `next_round`."""
    return _Round.open(Project.open(folder), computing, returned).worklist()


def segment(
    folder: Path, out: Path, computing: Computing, cases: Sequence[str] | None = None
) -> Iterator[CaseCertainty]:
    """Segment volumes with the network of the last finished round, one after the other, and list them at the end.

    Args:
        folder: of the project.
        out: folder for `segmentations/`, `uncertainty/` and `least-certain.csv`.
        cases: of the volumes; None are all.

    Raises:
        AlbenchError: something is wrong that a user can fix; see `albench.errors`.
    """
    project = Project.open(folder)
    network, dataset = _trained_network(project, computing)
    certainties = []
    for case in dataset.cases() if cases is None else cases:
        slices = [*network.predict(case)]
        mask, uncertainty = (np.stack([getattr(one, name) for one in slices]) for name in ("mask", "uncertainty"))
        certainties.append(write_segmentation(out, case, dataset.file_grid(case), mask, uncertainty))
        yield certainties[-1]
    write_least_certain(out, certainties)


@dataclass(frozen=True)
class _Round:
    """The next round of a project.

    Attributes:
        project: on disk.
        resolved: its run.
        drawings: its files.
        computing: how it is computed.
        slices: of the pool.
        returned: where files were saved, if not in place.
        prefill: hand out its slices with predictions.
        written: by this process, so that nobody has drawn yet.
    """

    project: Project
    resolved: PeopleRun
    drawings: Drawings
    computing: Computing
    slices: SliceStack
    returned: Path | None = None
    prefill: bool = False
    written: bool = False

    @classmethod
    def open(
        cls, project: Project, computing: Computing, returned: Path | None = None, *, prefill: bool = False
    ) -> _Round:
        resolved, dataset = _resolved(project, computing)
        drawings = computing.drawings(dataset, resolved.prepared)
        slices = resolved.prepared.stack(resolved.split.train)
        return cls(project, resolved, drawings, computing, slices, returned, prefill)

    @property
    def folder(self) -> Path:
        """That of the worklist."""
        return self.project.worklist(self.project.rounds)

    def begun(self) -> Worklist:
        """Let the first stage choose its initial slices, and write the files of the worklist if they are missing."""
        if not self.project.asked and not self.project.rounds:
            self._run(())
            return self._next().begun()
        if self._to_draw() and not self.folder.exists():
            self._write()
        return self.worklist()

    def trained(self) -> Worklist:
        """Train on what is drawn, query, and write the next worklist."""
        answers = [*self.project.answers]
        drawn, _ = self._drawn
        answers.append(drawn if answers else {**self.resolved.given, **self.project.drawn_before, **drawn})
        first = tuple(sorted(answers[0])) if len(self.project.record.stages) > 1 else None
        self._run(answers, first)
        return self._next().begun()

    def worklist(self) -> Worklist:
        """What is to be drawn."""
        asked, to_draw = (tuple(one.name for one in some) for some in (self.project.asked, self._to_draw()))
        drawn, problems = self._drawn
        names = [self._name(i) for i in sorted(drawn)]
        return Worklist(
            folder=self.folder,
            round=self.project.rounds,
            asked=asked,
            missing=tuple(name for name in to_draw if name not in names),
            extra=tuple(name for name in names if name not in to_draw),
            problems=problems,
            finished=bool(self.project.rounds) and not asked and not self._changed(),
        )

    def _changed(self) -> bool:
        """Whether other settings wait for their first round."""
        return not self.project.answers

    def _next(self) -> _Round:
        """The round to draw for now, whose files are written next."""
        return replace(self, project=Project.open(self.project.folder), returned=None, written=True)

    def _run(self, answers: Sequence[Answer], first: tuple[int, ...] | None = None) -> RunReader:
        execution = replace(self.computing.execution, share=False, audit=False)  # no run beside it, and no hidden mask
        resolved = replace(self.resolved, answers=tuple(answers), first=first)
        return run(resolved, self.project.out, execution, self.computing.callback)

    def _to_draw(self) -> tuple[AskedSlice, ...]:
        """What is asked for and has no mask in the data."""
        given = {self._name(i) for i in self.resolved.given}
        return tuple(asked for asked in self.project.asked if asked.name not in given)

    def _write(self) -> None:
        """Write the files of the worklist, and then give their folder its name."""
        partial = self.folder.with_name(f".{self.folder.name}.partial")
        with translate_os_errors(partial):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            to_draw = self._to_draw()
            if self.prefill and (trained := self.project.trained):
                predicted = self._predicted(to_draw)
                self._warn(trained[1].records[-1], predicted)
                self.project.keep_suggestions(predicted)
            title = f"{self.project.record.name}, round {self.project.rounds}"
            self.drawings.write(partial, to_draw, self.project.suggestions, title)
            partial.rename(self.folder)

    def _warn(self, record: RoundRecord, predicted: Suggestions) -> None:
        """Tell if the predictions of the last finished round are not worth correcting."""
        val = self.resolved.prepared.labeled_stack(self.resolved.split.val) if self.resolved.split.val else None
        caution = why_useless(record, val, predicted, self.project.rounds - 1)
        if caution:
            (self.computing.callback or NullCallback()).on_notice(caution)

    def _predicted(self, asked: Sequence[AskedSlice]) -> dict[SliceName, Mask]:
        """The slices of a worklist as the network of the last finished round segments them."""
        network, _ = _trained_network(self.project, self.computing)
        predicted: dict[SliceName, Mask] = {}
        for case, own in by_volume(asked).items():
            positions = [one.name.position for one in own]
            predicted |= {SliceName(case, one.position): one.mask for one in network.predict(case, positions)}
        return predicted

    @cached_property
    def _drawn(self) -> tuple[dict[int, Mask], tuple[Problem, ...]]:
        """{id: (h, w) mask} of what is drawn and was not labeled before, and what is wrong with the files."""
        to_draw = self._to_draw()
        if self.written or not to_draw or not self.folder.exists():
            return {}, ()
        found = self.drawings.read(self.returned or self.folder, to_draw, self.project.suggestions)
        labeled = self.resolved.given.keys() | self._labeled()
        drawn = {self._id(name): mask for name, mask in found.masks.items() if (mask != UNKNOWN).any()}
        return {i: self._padded(mask) for i, mask in drawn.items() if i not in labeled}, found.problems

    def _padded(self, mask: Mask) -> Mask:
        whole = np.zeros(self.slices.shape[1:], dtype=np.uint8)
        whole[: mask.shape[0], : mask.shape[1]] = mask
        return whole

    def _labeled(self) -> set[int]:
        """Ids of the slices on which a finished round trained."""
        return {i for answer in (self.project.drawn_before, *self.project.answers) for i in answer}

    def _id(self, name: SliceName) -> int:
        return int(self.slices.of(self.slices.cases.index(name.case))[name.position])

    def _name(self, slice_id: int) -> SliceName:
        return SliceName(self.slices.cases[self.slices.case[slice_id]], int(self.slices.position[slice_id]))


def _trained_network(project: Project, computing: Computing) -> tuple[TrainedNetwork, Dataset]:
    """The network of the last finished round, and the dataset. Raises AlbenchError."""
    if project.trained is None:
        raise ConfigError(
            f"a project must have a trained network to predict with, '{project.folder}' has no finished round: draw "
            "the slices of its worklist, and go on with albench annotate next"
        )
    stage, run = project.trained
    resolved, dataset = _resolved(project, computing, stage)
    weights = run.weights(len(run.records) - 1)
    return TrainedNetwork(resolved, dataset, weights, computing.execution), dataset


def _resolved(project: Project, computing: Computing, stage: Stage | None = None) -> tuple[PeopleRun, Dataset]:
    """The run of a stage, not yet with what people have drawn, and its dataset; None is the last stage.

    Raises:
        AlbenchError: something is wrong that a user can fix.
    """
    record, datasets = project.record, Datasets()
    stage = stage or project.stage
    for option, reason in _SET_BY_THE_PROJECT.items():
        if option in stage.settings:
            raise ConfigError(f"{option} must not be set in a project, {reason}: leave it out")
    settings: dict[str, object] = {"protocol.rounds": _ROUNDS}
    if not record.validation:
        settings |= {"protocol.validation": "none", "training.stop": "steps"}
    settings |= stage.settings | {"data.root": str(project.listing)}
    dataset = datasets.make("folder", settings)
    others = {*record.validation, *record.test}
    train = tuple(case for case in dataset.cases() if case not in others)
    if not train:
        raise ConfigError(
            "a project must have volumes to draw in, all are in --validation and --test: leave some of them out"
        )
    made = resolve(
        stage.strategy,
        "folder",
        network=stage.network,
        seed=stage.seed,
        settings=settings,
        progress=computing.progress,
        workers=computing.workers,
        datasets=datasets,
        split=Split(train, record.validation, record.test),
    )
    if made.strategy.uses_labels:
        raise ConfigError(
            f"a project needs a strategy that does without the truth of unlabeled slices, '{made.strategy.name}' has "
            "the oracle look at it, and people have not drawn it yet: choose another"
        )
    begun = project.runs[project.record.stages.index(stage)]
    if begun is not None and folder_name(made.config) != begun.folder.name:
        raise ConfigError(
            f"the volumes of a project must stay as they are, those of '{project.folder}' or their masks have changed "
            "since it was made: restore them, or make another project"
        )
    return PeopleRun(**{name: getattr(made, name) for name in made.__dataclass_fields__}), dataset


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a project, so that one process at a time goes on with it. Raises StoreError if another one does."""
    if not is_folder(folder):
        Project.open(folder)  # which says what is missing
    with locked(folder / ".lock", wait=False) as got:
        if not got:
            raise StoreError(
                f"a project must be continued by one process, another one is at work in '{folder}': wait for it"
            )
        yield

"""A project on disk: volumes, settings that may change between rounds, worklists, and a run for each of the settings.

project.json        volumes for evaluation, and the settings by stages
NAME.csv            the volumes, as dataset `folder` reads them
worklists/03/       the files in which people draw what round 3 trains on
suggestions/03.npz  the predictions with which they were handed out, if they were
times.json          minutes that people took for what a round trains on, if they say so
stages/0/           the run of the settings of stage 0, with the answers of people in its rounds

A round trains on what was drawn in the worklist of its number. Other settings begin another stage: a run whose round 0
trains, from the initial weights, on everything that is drawn so far. So every run is a ledger of one strategy with one
set of settings, and all that reads runs reads a project.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

import albench
from albench.annotation.drawings import AskedSlice, Suggestions
from albench.errors import ConfigError
from albench.files import is_file
from albench.masks import Mask
from albench.runs import RunReader, find_runs
from albench.runs.array_files import read_arrays, write_arrays
from albench.runs.documents import read_document, write_document
from albench.runs.records import FORMAT, SliceName

_RECORD, _TIMES, _STAGES = "project.json", "times.json", "stages"
_REMEDY = "restore it from a copy, or make another project"


@dataclass(frozen=True)
class Stage:
    """Settings that some successive rounds share.

    Attributes:
        strategy: as in `albench.run`, like the others.
        network: of all its rounds.
        seed: of weights, batches and queries.
        settings: values by dotted name.
        first: the round of the project that begins it.
    """

    strategy: str
    network: str
    seed: int
    settings: dict[str, object]
    first: int = 0

    def changes(self, other: Stage) -> list[str]:
        """What differs in a later stage, as `option: before -> after`."""
        before, after = self._values(), other._values()
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return [f"{name}: {before.get(name, 'default')} -> {after.get(name, 'default')}" for name in names]

    def _values(self) -> dict[str, object]:
        own = asdict(self)
        return {name: own[name] for name in ("strategy", "network", "seed")} | self.settings


@dataclass(frozen=True)
class ProjectRecord:
    """What `project.json` holds.

    Attributes:
        format: as of a run.
        albench: version that made the project.
        name: of the volumes; random draws depend on it.
        validation: names of the volumes for validation.
        test: names of the volumes for the test metrics.
        stages: settings in the order in which they were chosen.
    """

    format: int
    albench: str
    name: str
    validation: tuple[str, ...]
    test: tuple[str, ...]
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class _Time:
    round: int
    minutes: float


@dataclass(frozen=True)
class _Times:
    rounds: tuple[_Time, ...]


class Project:
    """A project in a folder.

    Every property raises StoreError, in one sentence, for what is missing or damaged.

    Attributes:
        folder: of the project.
        record: its settings.
    """

    def __init__(self, folder: Path, record: ProjectRecord) -> None:
        self.folder, self.record = folder, record

    @classmethod
    def open(cls, folder: Path) -> Project:
        """Read a project. Raises ConfigError if there is none."""
        path = folder / _RECORD
        if not path.is_file():
            raise ConfigError(
                f"PROJECT must be the folder of a project, '{folder}' has no {_RECORD}: make one with albench annotate "
                "new"
            )
        return cls(folder, read_document(ProjectRecord, path, _REMEDY))

    @classmethod
    def of_run(cls, folder: Path) -> Project | None:
        """The project whose stages hold the run in a folder; None if there is none."""
        stages = next((above for above in folder.absolute().parents if above.name == _STAGES), None)
        return cls.open(stages.parent) if stages and is_file(stages.parent / _RECORD) else None

    @classmethod
    def make(cls, folder: Path, record: ProjectRecord) -> Project:
        """Write a project, whose folder may hold what an interrupted call left."""
        write_document(folder / _RECORD, record)
        return cls(folder, record)

    @staticmethod
    def check_new(folder: Path) -> None:
        """Check that a folder holds no project. Raises ConfigError."""
        if (folder / _RECORD).exists():
            raise ConfigError(
                f"a new project needs a folder without one, '{folder}' holds one: choose another folder, or go on with "
                "albench annotate next"
            )

    @property
    def stage(self) -> Stage:
        """The settings of the next round."""
        return self.record.stages[-1]

    @property
    def listing(self) -> Path:
        """The list of the volumes."""
        return self.folder / f"{self.record.name}.csv"

    @property
    def out(self) -> Path:
        """The folder of the run of the last stage."""
        return self._out(len(self.record.stages) - 1)

    def worklist(self, index: int) -> Path:
        """The folder with the files that people draw before a round."""
        return self.folder / "worklists" / f"{index:02d}"

    @property
    def suggestions(self) -> Suggestions:
        """The predictions with which the slices of the worklist to draw now were handed out."""
        path = self._suggestions
        if not is_file(path):
            return {}
        named = ((*name.partition(" "), mask) for name, mask in read_arrays(path, _REMEDY).items())
        return {SliceName(case, int(position)): mask.astype(np.uint8) for position, _, case, mask in named}

    def keep_suggestions(self, suggestions: Suggestions) -> None:
        """Keep what the worklist to draw now is handed out with."""
        if suggestions:
            named = {f"{name.position} {name.case}": mask for name, mask in suggestions.items()}
            write_arrays(self._suggestions, named)

    @property
    def _suggestions(self) -> Path:
        return self.folder / "suggestions" / f"{self.rounds:02d}.npz"

    @property
    def minutes(self) -> dict[int, float]:
        """{round: minutes} that people took for what a round trains on, where they have said so."""
        path = self.folder / _TIMES
        rounds = read_document(_Times, path, _REMEDY).rounds if is_file(path) else ()
        return {time.round: time.minutes for time in rounds}

    def keep_minutes(self, minutes: float) -> None:
        """Write down the time that people took for the worklist to draw now."""
        taken = self.minutes | {self.rounds: minutes}
        write_document(self.folder / _TIMES, _Times(tuple(_Time(*one) for one in sorted(taken.items()))))

    @property
    def trained(self) -> tuple[Stage, RunReader] | None:
        """The stage of the last finished round and its run; None if no round is finished."""
        pairs = reversed([*zip(self.record.stages, self.runs, strict=True)])
        return next(((stage, run) for stage, run in pairs if run and run.records), None)

    def with_stage(self, stage: Stage) -> Project:
        """Write down other settings for the next rounds.

        They replace those of a later stage that has no finished round. The first stage stays, because it has chosen
        the first worklist.
        """
        stages = self.record.stages
        kept = [stages[0], *(before for before in stages[1:] if before.first < stage.first)]
        record = replace(self.record, stages=(*kept, stage))
        if len(kept) < len(stages):
            shutil.rmtree(self.out, ignore_errors=True)  # of a run without a finished round
        write_document(self.folder / _RECORD, record)
        return Project(self.folder, record)

    @cached_property
    def runs(self) -> tuple[RunReader | None, ...]:
        """The run of every stage; None where no process has begun it."""
        return tuple(self._run(index) for index in range(len(self.record.stages)))

    @property
    def rounds(self) -> int:
        """How many rounds of all stages are finished, which is the number of the worklist to draw now."""
        return sum(len(run.records) for run in self.runs if run)

    @property
    def waiting(self) -> RunReader | None:
        """The run that has asked for the worklist to draw now: that of the last stage with a run; None without any."""
        return next((run for run in reversed(self.runs) if run), None)

    @property
    def asked(self) -> tuple[AskedSlice, ...]:
        """The slices of that worklist, most wanted first; initial slices in their order in the volumes."""
        if trained := self.trained:
            _, run = trained
            query = run.query(len(run.records) - 1)
            scores = query.scores or {}
            named = zip(query.slices, query.ids, strict=True)
            return tuple(AskedSlice(name, rank, scores.get(str(i))) for rank, (name, i) in enumerate(named, 1))
        first = next((run for run in self.runs if run and run.layout.split.exists()), None)
        return tuple(AskedSlice(name, rank) for rank, name in enumerate(first.split.initial, 1)) if first else ()

    def changes(self) -> Iterator[str]:
        """The log: what was changed between rounds, a sentence for each change."""
        stages = self.record.stages
        for before, after in pairwise(stages):
            yield f"from round {after.first} on: {'; '.join(before.changes(after)) or 'nothing is changed'}"

    @cached_property
    def answers(self) -> tuple[dict[int, Mask], ...]:
        """{id: (h, w) mask} that people have drawn for every finished round of the last stage.

        A stage begins with everything that was drawn before, so its answers together are all.
        """
        return _answers(self.runs[-1])

    @cached_property
    def drawn_before(self) -> dict[int, Mask]:
        """{id: (h, w) mask} of everything that finished rounds of the stages before the last one trained on."""
        masks: dict[int, Mask] = {}
        for run in self.runs[:-1]:
            for answer in _answers(run):
                masks |= answer
        return masks

    def _out(self, index: int) -> Path:
        return self.folder / _STAGES / str(index)

    def _run(self, index: int) -> RunReader | None:
        found = list(find_runs(self._out(index))) if self._out(index).is_dir() else []
        return found[0] if found else None


def _answers(run: RunReader | None) -> tuple[dict[int, Mask], ...]:
    """Of the finished rounds of a run."""
    return tuple(dict(run.answers(index) or {}) for index in range(len(run.records))) if run else ()


def new_record(name: str, validation: tuple[str, ...], test: tuple[str, ...], stage: Stage) -> ProjectRecord:
    """The record of a project that begins."""
    return ProjectRecord(FORMAT, albench.__version__, name, validation, test, (stage,))

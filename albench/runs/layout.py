"""Where everything of a run lies on disk.

config.json         every setting, defaults written out
environment.json    versions, hardware, code and command line of every process that wrote rounds
split.json          cases of each part, and the initial slices
snapshots.npz       the test slices whose predictions are kept, with their truth
rounds.jsonl        one record per finished round: the result
scores.csv          the metrics of the records: round, case, metric, value
failure.json        why the run failed; removed by the next finished round
rounds/03/          query.json, answers.npz, audit.json, pseudo.npz, predictions.npz, arrays.npz, weights.pt
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from albench.config import RunConfig

SHARED_ROUND_ZERO = ".round-0"
"""Folder next to the runs, with the trainings of round 0 that strategies share."""


@dataclass(frozen=True)
class RoundLayout:
    """The files of one round.

    Attributes:
        folder: of the round.
    """

    folder: Path

    @property
    def query(self) -> Path:
        """What was queried, as `QueryRecord`."""
        return self.folder / "query.json"

    @property
    def pseudo(self) -> Path:
        """Pseudo-labels for the next round."""
        return self.folder / "pseudo.npz"

    @property
    def predictions(self) -> Path:
        """Predicted masks of the test slices in `snapshots.npz`."""
        return self.folder / "predictions.npz"

    @property
    def arrays(self) -> Path:
        """What the strategy keeps for figures, and pictures of the first queried slices. It may be missing."""
        return self.folder / "arrays.npz"

    @property
    def answers(self) -> Path:
        """Masks that people drew for the round; only in a project."""
        return self.folder / "answers.npz"

    @property
    def audit(self) -> Path:
        """As `AuditRecord`; only of a query that was audited."""
        return self.folder / "audit.json"

    @property
    def weights(self) -> Path:
        """What the next round starts from. Only the last round's are kept, unless asked."""
        return self.folder / "weights.pt"


@dataclass(frozen=True)
class RunLayout:
    """The files of one run.

    Attributes:
        folder: of the run.
    """

    folder: Path

    @property
    def config(self) -> Path:
        """Every setting, as `StoredConfig`."""
        return self.folder / "config.json"

    @property
    def environment(self) -> Path:
        """As `ProcessesRecord`; in older runs as the `EnvironmentRecord` of the process that began them."""
        return self.folder / "environment.json"

    @property
    def split(self) -> Path:
        """As `SplitRecord`."""
        return self.folder / "split.json"

    @property
    def snapshots(self) -> Path:
        """See `albench.runs.snapshots`."""
        return self.folder / "snapshots.npz"

    @property
    def records(self) -> Path:
        """One `RoundRecord` per line."""
        return self.folder / "rounds.jsonl"

    @property
    def scores(self) -> Path:
        """The metrics of the records as a table."""
        return self.folder / "scores.csv"

    @property
    def failure(self) -> Path:
        """As `FailureRecord`; removed by the next finished round."""
        return self.folder / "failure.json"

    @property
    def lock(self) -> Path:
        """Held by the process that writes the run."""
        return self.folder / ".lock"

    @property
    def header(self) -> tuple[Path, ...]:
        """What is written before round 0 and never changed, apart from processes that are added."""
        return self.config, self.environment, self.split, self.snapshots

    def round(self, index: int) -> RoundLayout:
        """The files of a round, from 0."""
        return RoundLayout(self.folder / "rounds" / f"{index:02d}")


def run_folder(out: Path, config: RunConfig) -> Path:
    """Where a run is kept: `out/<dataset>/<strategy>/seed-<seed>-<digest>`."""
    return out / config.title / config.strategy.name / folder_name(config)


def names_of(folder: Path) -> tuple[str, str]:
    """Dataset and strategy of a run by its path, for a run whose settings cannot be read."""
    return folder.parent.parent.name, folder.parent.name


def folder_name(config: RunConfig, *, code: bool = False) -> str:
    """Of a run's folder; it holds a digest of all settings, so that a changed setting never mixes with old results.

    Args:
        code: as `RunConfig.digest`; up to albench 0.4.0 the names of folders depended on the code of plugins.
    """
    return f"seed-{config.seed}-{config.digest(code=code)}"

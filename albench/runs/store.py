"""A run on disk: settings, environment, split, and one record per finished round.

`rounds.jsonl` decides what is finished. Everything of a round is written before its record, and every file replaces
its older self in one step, so a killed run is always at the end of some round.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import albench
from albench.config import RunConfig
from albench.data import Split
from albench.errors import StoreError
from albench.files import is_locked, locked, translate_os_errors, atomic_write, write_json, write_tensors
from albench.masks import Ids, Mask, PackedMasks

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from albench.pool import Pool
    from albench.query import Query

FORMAT = 1

FAILURE = "failure.json"

Record = dict[str, Any]  # JSON


@dataclass(frozen=True)
class Failure:
    """Why a run cannot go on.

    Attributes:
        error: one sentence.
        round: the round in which it happened.
        attempts: how often the round was tried.
        trace: where in the code.
    """

    error: str
    round: int
    attempts: int
    trace: str


@dataclass(frozen=True)
class Resumed:
    """What the next round starts from: with the random streams, the whole state of a run.

    Attributes:
        purchases: ids of every sale so far, the initial set first.
        pseudo: {id: (h, w) mask} to train on.
        weights: of the end of the last round; None before round 0.
    """

    purchases: list[list[int]]
    pseudo: Mapping[int, Mask]
    weights: dict[str, Tensor] | None


class RunStore:
    """The directory of one run, opened for writing by one process at a time (see `RunStore.open`)."""

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.folder = folder
        self.config = config
        self.records = read_records(folder)

    @classmethod
    @contextmanager
    def open(cls, out: Path, config: RunConfig) -> Iterator[RunStore]:
        """Open a run for writing, making its folder if needed.

        Raises:
            StoreError: another process writes it, it is of another version, or the disk refuses.
        """
        folder = run_folder(out, config)
        with locked(folder / ".lock", wait=False) as got:
            if not got:
                raise StoreError(
                    f"a run must be written by one process, another one is at work in '{folder}': wait for it, or "
                    "choose another --out"
                )
            stored = read_config(folder)
            if stored is None:
                write_json(folder / "config.json", config_as_dict(config))
            elif stored["albench"] != albench.__version__:
                raise StoreError(
                    f"a run must be continued by the version that began it, '{folder}' was written by albench "
                    f"{stored['albench']} and this is {albench.__version__}: choose another --out"
                )
            yield cls(folder, config)

    @property
    def finished(self) -> bool:
        """Whether no round is left to do."""
        return is_finished(self.records, self.config.protocol.rounds)

    def begin(self, split: Split, initial: Ids, pool: Pool, environment: Mapping[str, object]) -> None:
        """Write down where the run runs, who is in which part, and what is labeled before round 0."""
        write_json(self.folder / "environment.json", dict(environment))
        if not (self.folder / "split.json").exists():
            named = [_name_slice(pool, int(i)) for i in initial]
            depths = {name: len(pool.slices.of(index)) for index, name in enumerate(pool.slices.cases)}
            write_json(self.folder / "split.json", dataclasses.asdict(split) | {"slices": depths, "initial": named})

    def illustrate(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep the test slices whose predictions are shown, with their truth (see `albench.runs.snapshots`)."""
        _write_arrays(self.folder / "showcase.npz", arrays)

    def resume(self, initial: Ids) -> Resumed:
        """The state at the end of the last finished round. Raises StoreError if a file of a round is damaged."""
        purchases = [[int(i) for i in initial]]
        if not self.records:
            return Resumed(purchases, {}, None)
        for index in range(len(self.records)):
            with _undamaged(self._round(index) / "query.json") as path:
                purchases.append(json.loads(path.read_text())["ids"])
        last = self._round(len(self.records) - 1)
        import torch

        with _undamaged(last / "weights.pt") as path:
            weights = torch.load(path, weights_only=True)
        with _undamaged(last / "pseudo.npz") as path:
            return Resumed(purchases, read_masks(path), weights)

    def append(
        self,
        record: Record,
        query: Query,
        pseudo: Mapping[int, Mask],
        pool: Pool,
        weights: Mapping[str, Tensor],
        shown: Mapping[int, Mask],
        *,
        keep_weights: bool,
    ) -> None:
        """Finish a round: its files first, then its record.

        Args:
            record: what was measured.
            query: the answer; its ids were bought.
            pseudo: {id: (h, w) mask} for the next round.
            pool: the pool that was asked.
            weights: what the next round starts from.
            shown: {test slice id: (h, w) predicted mask}, for figures.
            keep_weights: keep the weights of older rounds too.
        """
        folder = self._round(len(self.records))
        shutil.rmtree(folder, ignore_errors=True)
        scores = None
        if query.scores is not None:
            unlabeled = pool.unlabeled.tolist()
            scores = {str(i): float(s) for i, s in zip(unlabeled, query.scores, strict=True)}
        asked = {"ids": [int(i) for i in query.ids], "slices": [_name_slice(pool, int(i)) for i in query.ids]}
        write_json(folder / "query.json", asked | {"scores": scores})
        _write_masks(folder / "pseudo.npz", pseudo)
        _write_masks(folder / "showcase.npz", shown)
        if query.arrays:
            _write_arrays(folder / "arrays.npz", query.arrays)
        write_tensors(folder / "weights.pt", dict(weights))
        self.records = [*self.records, record]
        with atomic_write(self.folder / "rounds.jsonl") as file:
            file.write("".join(json.dumps(r, allow_nan=False) + "\n" for r in self.records).encode())
        (self.folder / FAILURE).unlink(missing_ok=True)
        self._after(keep_weights=keep_weights)

    def tidy(self, *, keep_weights: bool) -> None:
        """Remove what a killed process left half-written, and redo what follows from the records."""
        for leftover in self.folder.rglob(".*.tmp"):
            leftover.unlink()
        if self.records:
            self._after(keep_weights=keep_weights)

    def _after(self, *, keep_weights: bool) -> None:
        path, scores = self.folder / "scores.csv", _scores_csv(self.records).encode()
        if not path.exists() or path.read_bytes() != scores:
            with atomic_write(path) as file:
                file.write(scores)
        if not keep_weights:
            for index in range(len(self.records) - 1):
                (self._round(index) / "weights.pt").unlink(missing_ok=True)

    def _round(self, index: int) -> Path:
        return self.folder / "rounds" / f"{index:02d}"


def run_folder(out: Path, config: RunConfig) -> Path:
    """Where a run is kept: `out/<dataset>/<strategy>/seed-<seed>-<digest>`."""
    return out / config.title / config.strategy.name / f"seed-{config.seed}-{config.digest()}"


def config_as_dict(config: RunConfig) -> dict[str, object]:
    """The settings as written to config.json."""
    return {"format": FORMAT, "albench": albench.__version__, **dataclasses.asdict(config)}


def find_runs(out: Path) -> list[Path]:
    """Folders of all runs at or below `out`, sorted. Raises StoreError if it is no folder."""
    if not out.is_dir():
        raise StoreError(f"runs must be in an existing folder, '{out}' is not one: give the --out of your runs")
    return sorted(path.parent for path in out.rglob("config.json"))


def read_config(folder: Path) -> Record | None:
    """The settings of a run; None if there are none yet.

    Raises:
        StoreError: the file is of another format or is damaged.
    """
    path = folder / "config.json"
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text())
        written = stored["format"], stored["albench"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"'{path}' must be a run's settings, it is damaged: choose another --out") from error
    if written[0] != FORMAT:
        raise StoreError(
            f"'{folder}' must be of format {FORMAT}, albench {written[1]} wrote format {written[0]}: read it with "
            "that version, or choose another --out"
        )
    return stored


def read_records(folder: Path) -> list[Record]:
    """The finished rounds of a run."""
    path = folder / "rounds.jsonl"
    if not path.exists():
        return []
    with translate_os_errors(path):
        lines = path.read_text().splitlines()
    try:
        return [dict(json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise StoreError(f"'{path}' must hold one JSON record per line, it is damaged: remove the run") from error


def is_finished(records: list[Record], rounds: int) -> bool:
    """Whether all rounds are done, or nothing is left to buy."""
    return bool(records) and (len(records) == rounds + 1 or records[-1]["unlabeled"] == 0)


def read_failure(folder: Path) -> Failure | None:
    """Why the run could not go on when it was last tried; None if it could."""
    path = folder / FAILURE
    if not path.exists():
        return None
    try:
        return Failure(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise StoreError(f"'{path}' must tell why a run failed, it is damaged: remove it") from error


def write_failure(folder: Path, error: str, trace: str) -> None:
    """Write down why the run cannot go on. The next finished round takes the note away."""
    before = read_failure(folder)
    failure = Failure(error, len(read_records(folder)), before.attempts + 1 if before else 1, trace)
    write_json(folder / FAILURE, dataclasses.asdict(failure))


def is_running(folder: Path) -> bool:
    """Whether some process writes the run now."""
    return is_locked(folder / ".lock")


def load_runs(out: Path | str) -> pd.DataFrame:
    """The records of all runs at or below `out`: one row per run, round, case and metric.

    Columns: dataset, strategy, seed, run, round, labeled, share, case, metric, value. The case of a metric of
    the whole test set is "all"; a value that does not exist is NaN.
    """
    import pandas as pd

    rows = []
    for folder in find_runs(Path(out)):
        config = read_config(folder)
        assert config is not None
        run = {
            "dataset": config["title"],
            "strategy": config["strategy"]["name"],
            "seed": config["seed"],
            "run": folder.name,
        }
        for record in read_records(folder):
            amount = {key: record[key] for key in ("round", "labeled", "share")}
            for case, metric, value in _scores(record):
                rows.append(run | amount | {"case": case, "metric": metric, "value": value})
    columns = [
        "dataset",
        "strategy",
        "seed",
        "run",
        "round",
        "labeled",
        "share",
        "case",
        "metric",
        "value",
    ]
    return pd.DataFrame(rows, columns=columns).astype({"value": float})


def read_masks(path: Path) -> PackedMasks:
    """{id: (h, w) mask} from a round's pseudo.npz or showcase.npz."""
    with np.load(path) as stored:
        return PackedMasks(stored["ids"], stored["masks"], int(stored["width"]))


@contextmanager
def _undamaged(path: Path) -> Iterator[Path]:
    """One sentence for a file of a round that cannot be read, for which every library has errors of its own."""
    try:
        yield path
    except Exception as error:
        raise StoreError(f"'{path}' must be of a finished round, it is missing or damaged: remove the run") from error


def _write_masks(path: Path, masks: Mapping[int, Mask]) -> None:
    ids = np.array(sorted(masks), dtype=np.int64)
    stacked = np.stack([masks[i] for i in ids.tolist()]) if len(ids) else np.zeros((0, 0, 0), dtype=np.uint8)
    packed = PackedMasks.of(ids, stacked)
    with atomic_write(path) as file:
        np.savez_compressed(file, ids=packed.ids, masks=packed.packed, width=packed.width)


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    with atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _scores(record: Record) -> Iterator[tuple[str, str, float | None]]:
    """(case, metric, value) of a record: the test set, the validation set, then every test case."""
    for metric, value in record["test"].items():
        yield "all", metric, value
    for metric, value in record["val"].items():
        yield "all", f"val_{metric}", value
    for case, metrics in record["cases"].items():
        for metric, value in metrics.items():
            yield case, metric, value


def _scores_csv(records: list[Record]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["round", "case", "metric", "value"])
    for record in records:
        table.writerows([record["round"], *score] for score in _scores(record))
    return text.getvalue()


def _name_slice(pool: Pool, slice_id: int) -> dict[str, object]:
    slices = pool.slices
    return {"case": slices.cases[slices.case[slice_id]], "position": int(slices.position[slice_id])}

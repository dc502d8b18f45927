"""A stored run for notebooks and tables: its curve, its queries with their places, and its masks."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from albench.data import FileGrid
from albench.errors import ConfigError, DataError
from albench.files import atomic_write
from albench.runs.reader import RunReader
from albench.stored_data import file_grids

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class QueriedSlice:
    """A slice that was queried.

    Attributes:
        round: after which it was queried, from 0.
        rank: in its query, 1 for the most wanted.
        case: its name.
        position: index within the case from the bottom of the volume, from 0.
        score: by which it was queried; None if the strategy gives none.
        index: along the axis of the file that slices lie across, from 0; None without the data.
        mm: where its center lies along the axis of the body; None without the data.
    """

    round: int
    rank: int
    case: str
    position: int
    score: float | None
    index: int | None = None
    mm: float | None = None


COLUMNS = tuple(field.name for field in fields(QueriedSlice))
_COUNTS = ("round", "labeled")


Slices = dict[tuple[str, int], NDArray[np.uint8]]
"""{(case, position): values of its pixels}"""


class OpenedRun(RunReader):
    """One run on disk, with what a notebook needs of it. Properties and methods raise errors as those of `RunReader`.

    Args:
        folder: of the run.
        data_root: where its data are now; None looks where they were.
    """

    def __init__(self, folder: Path, data_root: Path | str | None = None) -> None:
        super().__init__(folder)
        self._data_root = data_root

    def curve(self) -> pd.DataFrame:
        """One row per finished round.

        Returns:
            Columns round, labeled, share, the metrics of the test cases by their names, and those of the validation
            cases with `val_` before them, if there are any. A value that does not exist is NaN.
        """
        import pandas as pd

        rows = [
            {"round": record.round, "labeled": record.labeled, "share": record.share}
            | asdict(record.test)
            | {f"val_{name}": value for name, value in (asdict(record.val) if record.val else {}).items()}
            for record in self.records
        ]
        return pd.DataFrame(rows).astype({name: float for name in rows[0] if name not in _COUNTS} if rows else {})

    def queries(self) -> pd.DataFrame:
        """One row per queried slice, in the order in which they were queried.

        Returns:
            Columns round, rank, case, position, score, index and mm, see `QueriedSlice`. Without the data, index and
            mm are empty.
        """
        import pandas as pd

        try:
            grids = self.file_grids()
        except (ConfigError, DataError):
            grids = {}
        table = pd.DataFrame([asdict(found) for found in self.queried(grids)], columns=list(COLUMNS))
        return table.astype({"score": float, "index": "Int64", "mm": float})

    def queried(self, grids: Mapping[str, FileGrid]) -> list[QueriedSlice]:
        """The queried slices in the order in which they were queried.

        Args:
            grids: of every case, from `file_grids`; empty leaves `index` and `mm` out.
        """
        indices = {case: grid.indices.tolist() for case, grid in grids.items()}
        millimeters = {case: grid.millimeters.tolist() for case, grid in grids.items()}
        return [
            QueriedSlice(
                record.round,
                rank,
                name.case,
                name.position,
                (query.scores or {}).get(str(row)),
                indices[name.case][name.position] if grids else None,
                millimeters[name.case][name.position] if grids else None,
            )
            for record in self.records
            for query in [self.query(record.round)]
            for rank, (row, name) in enumerate(zip(query.ids, query.slices, strict=True), 1)
        ]

    def file_grids(self) -> dict[str, FileGrid]:
        """The voxels of every training case as its file has them.

        Raises:
            ConfigError: the options of the dataset do not fit.
            DataError: the files are not there, or are not those of the run.
        """
        return file_grids(self, self._data_root)

    def asked(self) -> dict[str, NDArray[np.int64]]:
        """{training case: (d,) when each slice was asked}.

        That is 0 never, 1 before round 0, which are the initial slices, and otherwise 2 plus the round after which the
        slice was queried, so that 1 less is the first round that trains on its label.
        """
        when = {case: np.zeros(depth, dtype=np.int64) for case, depth in self.split.slices.items()}
        for name in self.split.initial:
            when[name.case][name.position] = 1
        for record in self.records:
            for name in self.query(record.round).slices:
                when[name.case][name.position] = 2 + record.round
        return when

    def write_nifti(self, folder: Path) -> list[Path]:
        """Write `asked` of every training case as a volume on the grid of its file, CASE.nii.gz, and return the paths.

        Raises:
            ConfigError: as `file_grids`, as is DataError.
            StoreError: the folder cannot be written.
        """
        import nibabel as nib

        grids, asked, paths = self.file_grids(), self.asked(), []
        smallest = np.uint8 if max(map(np.max, asked.values()), default=0) < 256 else np.uint16
        for case, grid in grids.items():
            image = nib.Nifti1Image(grid.filled(asked[case].astype(smallest)), grid.affine)
            image.header.set_xyzt_units("mm")
            inside = [part for part in Path(f"{case}.nii.gz").parts if part not in ("..", "/")]
            paths.append(folder.joinpath(*inside))
            with atomic_write(paths[-1]) as file:
                file.write(gzip.compress(image.to_bytes(), mtime=0))
        return paths

    def masks(self, index: int) -> Slices:
        """{(case, position): (h, w) mask} that a round predicts for the test slices that the run keeps.

        They are on the working grid, without its padding. A negative round counts from the last one.
        """
        last = len(self.records)
        if not -last <= index < last:
            raise ConfigError(f"a round must be one of the {last} finished ones from 0, got {index}: choose another")
        predicted = self.predictions(range(last)[index])
        return self._without_padding([predicted[int(row)] for row in self.snapshots()["ids"]])

    def truth(self) -> Slices:
        """{(case, position): (h, w) mask} of the same slices in the data."""
        return self._without_padding(self.snapshots()["masks"])

    def images(self) -> Slices:
        """{(case, position): (h, w) gray values from 0 to 255} of the same slices."""
        return self._without_padding(self.snapshots()["images"])

    def _without_padding(self, values: Iterable[NDArray[np.uint8]]) -> Slices:
        """Values of the slices of `snapshots` by case and position."""
        kept = self.snapshots()
        named = zip(kept["cases"].tolist(), kept["positions"].tolist(), kept["valid"], values, strict=True)
        return {(case, position): own[:height, :width] for case, position, (height, width), own in named}

    def __repr__(self) -> str:
        config, done = self.config, len(self.records)
        what = f"{config.strategy.name} on {config.title}, seed {config.seed}"
        return f"<run of {what}: {done} of {config.protocol.rounds + 1} rounds, in '{self.folder}'>"


def open_run(folder: Path | str, data_root: Path | str | None = None) -> OpenedRun:
    """The run in a folder. Raises ConfigError if there is none; see `OpenedRun`."""
    run = OpenedRun(Path(folder), data_root)
    if not run.started:
        raise ConfigError(f"RUN must be the folder of a run, '{folder}' has no config.json: see albench status")
    return run

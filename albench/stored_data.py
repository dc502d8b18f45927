"""The data of a stored run: its dataset, and where its slices lie in the files."""

from __future__ import annotations

from pathlib import Path

from albench.config import RunConfig, build
from albench.data import Dataset, FileGrid
from albench.errors import DataError
from albench.registry import DATASETS, find
from albench.runs.stored_run import StoredRun


def dataset_of(config: RunConfig, **moved: object) -> Dataset:
    """The dataset of a run, with options that are other ones now, such as `root`. Raises ConfigError."""
    return build(find(DATASETS, config.dataset.spec), config.dataset.options | config.locations | moved, "data")


def file_grids(run: StoredRun, data_root: Path | str | None = None) -> dict[str, FileGrid]:
    """The voxels of every training case as its file has them.

    Args:
        run: whose cases they are.
        data_root: where its data are now; None looks where they were.

    Raises:
        ConfigError: the options of the dataset do not fit.
        DataError: the files are not there, or are not those of the run.
    """
    dataset = dataset_of(run.config, **({} if data_root is None else {"root": str(data_root)}))
    slices = run.split.slices
    missing = sorted({*slices} - {*dataset.cases()})
    if missing:
        raise DataError(
            f"the data must be those of the run, '{dataset.title}' has no case '{missing[0]}': name their place with "
            "--data-root"
        )
    grids = {case: dataset.file_grid(case) for case in slices}
    for case, grid in grids.items():
        if grid.slices[0] != slices[case]:
            raise DataError(
                f"the data must be those of the run, case '{case}' has {grid.slices[0]} slices instead of "
                f"{slices[case]}: name their place with --data-root"
            )
    return grids


def places(run: StoredRun) -> dict[str, list[tuple[str, float]]]:
    """{training case: (d,) the index of each slice as 3D Slicer counts it, `k = 17`, and its millimeters}.

    Both are those of `albench queries`. Raises errors as `file_grids`. Empty for a dataset that knows no files, because
    it would have to load every volume.
    """
    if type(dataset_of(run.config)).file_grid is Dataset.file_grid:
        return {}
    found = {}
    for case, grid in file_grids(run).items():
        letter = "ijk"[grid.index(0)[0]]
        named = [f"{letter} = {index}" for index in grid.indices.tolist()]
        found[case] = [*zip(named, grid.millimeters.tolist(), strict=True)]
    return found

"""A project asks what a run asks: people who draw the truth get the records of the run, round by round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.samples import TINY, write_pair

from albench import run
from albench.annotation import rounds
from albench.annotation.drawings import Drawn
from albench.annotation.project import Project
from albench.annotation.rounds import Computing, Worklist
from albench.data import Prepared, prepare
from albench.loop import Execution
from albench.masks import UNKNOWN, Mask
from albench.resolve import make_dataset
from albench.runs import verify

SETTINGS = {name: value for name, value in TINY.items() if not name.startswith("data.")} | {"protocol.rounds": 5}
VALIDATION, TEST = "phantom_4", "phantom_5"


class ArrayFiles:
    """Stands in for the files in which people draw: an array of a case, UNKNOWN where nothing is drawn."""

    def __init__(self, prepared: Prepared) -> None:
        self.shapes = dict(zip(prepared.cases, zip(prepared.counts, prepared.valid, strict=True), strict=True))

    def write(self, folder: Path, case: str, positions: list[int]) -> None:
        count, (height, width) = self.shapes[case]
        np.savez(folder / f"{case}.npz", mask=np.full((count, height, width), UNKNOWN, np.uint8), asked=positions)

    def read(self, folder: Path, case: str) -> Drawn:
        mask = np.load(folder / f"{case}.npz")["mask"]
        return Drawn({z: plane for z, plane in enumerate(mask) if (plane != UNKNOWN).any()})


COMPUTING = Computing(Execution(torch.device("cpu")), lambda dataset, prepared: ArrayFiles(prepared))


def draw(folder: Path, truth: dict[str, Mask], *, only: slice = slice(None), extra: tuple[int, ...] = ()) -> None:
    """Copy true slices into the files of a worklist: those asked for, and on request others."""
    for path in sorted(folder.glob("*.npz"))[only]:
        stored = dict(np.load(path))
        for position in [*stored["asked"].tolist(), *extra]:
            stored["mask"][position] = truth[path.stem][position]
        np.savez(path, **stored)


@pytest.fixture
def truth() -> dict[str, Mask]:
    """The masks of a phantom whose cases differ in size."""
    rng, masks = np.random.default_rng(0), {}
    for index in range(6):
        mask = np.zeros((30 + index % 2, 32, 8), np.uint8)
        low, size = rng.integers(3, 10, 2), rng.integers(6, 12, 2)
        mask[low[0] : low[0] + size[0], low[1] : low[1] + size[1], 1:6] = 1
        masks[f"phantom_{index}"] = mask
    return masks


@pytest.fixture
def files(tmp_path, truth) -> Path:
    """Folder `phantom` of pairs of images and masks, as a run reads it."""
    rng = np.random.default_rng(1)
    for name, mask in truth.items():
        image = (rng.normal(100, 10, mask.shape) + 20 * mask).astype(np.float32)
        write_pair(tmp_path / "phantom", name, image, mask)
    return tmp_path / "phantom"


@pytest.fixture
def drawn(files) -> dict[str, Mask]:
    """The truth as albench sees it: {case: (d, h, w) mask}."""
    prepared = prepare(make_dataset("folder", {"data.root": str(files)}))
    ends = np.cumsum(prepared.counts)
    return {
        case: np.array(prepared.masks[end - count : end, :height, :width])
        for case, count, end, (height, width) in zip(prepared.cases, prepared.counts, ends, prepared.valid, strict=True)
    }


@pytest.fixture
def labels(files, tmp_path) -> Path:
    """A folder with the masks of the cases for validation and test only."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for name in (VALIDATION, TEST):
        (folder / f"{name}.nii.gz").write_bytes((files / "labelsTr" / f"{name}.nii.gz").read_bytes())
    return folder


@pytest.fixture
def make(files, labels, tmp_path):
    """Make a project of the images."""

    def start(strategy: str = "entropy", settings: dict[str, object] | None = None, **options: object) -> Worklist:
        given = {"labels": labels, "validation": [VALIDATION], "test": [TEST], "name": "phantom"} | options
        chosen = SETTINGS | (settings or {})
        return rounds.new(
            tmp_path / "project", files / "imagesTr", COMPUTING, strategy=strategy, settings=chosen, **given
        )

    return start


def split_seed(files: Path) -> int:
    """The seed by which a run splits the cases as the project does."""
    from albench.data import split_volumes

    cases = [f"phantom_{index}" for index in range(6)]
    for seed in range(1000):
        split = split_volumes(cases, cases, (4, 1, 1), seed)
        if (split.val, split.test) == ((VALIDATION,), (TEST,)):
            return seed
    raise AssertionError


@pytest.mark.parametrize("strategy", ["entropy", "star", "ceal-entropy", "random"])
def test_people_who_draw_the_truth_get_the_records_of_a_run(make, files, drawn, tmp_path, strategy):
    settings = SETTINGS | {"data.root": str(files), "protocol.split_seed": split_seed(files)}
    expected = run(strategy, "folder", settings=settings, out=tmp_path / "runs", device="cpu", share=False)
    worklist = make(strategy)
    assert worklist.asked == expected.split.initial
    for index, record in enumerate(expected.records):
        assert (worklist.round, worklist.missing, worklist.finished) == (index, worklist.asked, False)
        draw(worklist.folder, drawn)
        worklist = rounds.next_round(tmp_path / "project", COMPUTING)
        assert worklist.asked == expected.query(index).slices
        (found,) = Project.open(tmp_path / "project").runs
        assert visible(found.records[index].results()) == visible(record.results())
        assert found.query(index) == expected.query(index)
        assert {i: m.tobytes() for i, m in found.pseudo(index).items()} == {
            i: m.tobytes() for i, m in expected.pseudo(index).items()
        }
        assert verify(found) == []
    last = len(expected.records) - 1
    assert worklist.finished
    weights = found.weights(last)
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.weights(last).items())
    assert found.split == expected.split


def visible(results: dict[str, object]) -> dict[str, object]:
    """Results without the quality of masks against a truth that nobody knows in a project."""
    results = dict(results)
    for quality in (results["pseudo"], *results["predictions"].values()):
        for name in ("dice", "dice_foreground"):
            quality.pop(name)
    return results

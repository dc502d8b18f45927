"""Small data, a private cache, and runs that take a second."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from support.forks import audits_by_forks, run_fork
from support.samples import TINY, write_pair

from albench import console, neighbors, registry, run
from albench.data import Prepared, prepare
from albench.network import Task
from albench.oracle import MaskOracle
from albench.pool import Pool
from albench.resolve import resolve
from albench.runs.reader import RunReader
from albench.start import start_slices
from albench.strategy import Round
from albench.streams import Streams
from albench.training.learner import Learner

torch.set_num_threads(1)
gc.disable()  # until all tests are collected


def pytest_collection_finish() -> None:
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def _frozen() -> None:
    """Exempt what is there from the garbage collection: 700,000 objects that live to the end, imported or collected."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of prepared data that no other session shares."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["ALBENCH_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def _own_neighbors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules beside the plugins of a test cannot be imported in the next one."""
    monkeypatch.setattr(neighbors, "_finder", neighbors._Finder())
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


@pytest.fixture(autouse=True)
def _untold_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command prints does not depend on how busy the machine is."""
    monkeypatch.setattr(console, "LONG_WAIT", 600.0)


@pytest.fixture(autouse=True, scope="module")
def _own_plugins() -> Iterator[None]:
    """Plugins that the tests of a module register are not listed in the next one."""
    yield
    for group, classes in registry._registered.items():
        registry._registered[group] = {name: cls for name, cls in classes.items() if registry.is_own(cls)}


@pytest.fixture
def tiny_run(tmp_path: Path) -> Callable[..., RunReader]:
    """Run a strategy on a tiny phantom, in this process."""

    def start(
        strategy: str, settings: Mapping[str, object] | None = None, *, seed: int = 0, out: str = "runs"
    ) -> RunReader:
        chosen = TINY | dict(settings or {})
        return run(strategy, "phantom", seed=seed, settings=chosen, out=tmp_path / out, device="cpu")

    return start


@pytest.fixture
def tiny() -> Prepared:
    """The prepared tiny phantom."""
    from albench.registry import DATASETS, find

    return prepare(find(DATASETS, "phantom")(count=6, depth=8, side=32))


@pytest.fixture
def make_round(tiny: Prepared) -> Callable[..., Round]:
    """A round on the tiny phantom with an untrained network; the first slices of each case are labeled."""

    def make(budget: int = 3, interval: int = 4, labeled: int | None = None) -> Round:
        train, val = tiny.labeled_stack(tiny.cases[:4]), tiny.labeled_stack(tiny.cases[4:5])
        resolved = resolve("random", "phantom", settings=TINY)
        config = resolved.config
        streams = Streams(0, "phantom")
        oracle = MaskOracle(train)
        ids = start_slices(train.slices, "interval", interval, streams) if labeled is None else np.arange(labeled)
        pool = Pool(train.slices).with_masks(oracle.annotate(ids, len(ids)))
        with streams.torch("weights"):
            network = Task(1, (32, 32), resolved.network).build()
        learner = Learner(
            network, train.slices, val, config.training, streams, round_index=0, lr=1e-3, device=torch.device("cpu")
        )
        return Round(0, budget, pool, learner, {}, None, streams.numpy("query"), interval, 4)

    return make


@pytest.fixture
def sketched() -> Iterator[None]:
    """The figures of reports are built, but not rendered."""
    from support.sketches import sketched_figures

    with sketched_figures():
        yield


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call the command line in this process, in a folder of its own; returns exit code, output and errors."""
    from albench.cli.main import main

    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["albench", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), *capfd.readouterr()
        return 0, *capfd.readouterr()

    return invoke


@pytest.fixture
def albench(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call the command line in a process of its own, a fork, in a folder of its own."""

    def call(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return run_fork(str(Path(sys.executable).parent / "albench"), *arguments, cwd=tmp_path, timeout=timeout)

    return call


@pytest.fixture
def forks() -> Iterator[None]:
    """Audits of this process ask forks and not fresh processes."""
    with audits_by_forks():
        yield


@pytest.fixture
def decathlon(tmp_path: Path) -> Path:
    """A folder of six small NIfTI volumes in the layout of the Decathlon, without dataset.json."""
    return _blobs(tmp_path / "Task99_Blob", (1, 1))


@pytest.fixture
def two_labels(tmp_path: Path) -> Path:
    """The same folder with the value 2 in the mask of every second volume, and 1 in the others."""
    return _blobs(tmp_path / "Task99_Blob", (1, 2))


def _blobs(root: Path, values: tuple[int, int]) -> Path:
    rng = np.random.default_rng(0)
    for index in range(6):
        shape = (20 + index, 24, 8)
        mask = np.zeros(shape, dtype=np.uint8)
        mask[5:12, 6:15, 2:6] = values[index % 2]
        image = (rng.normal(100, 10, shape) + 40 * (mask > 0)).astype(np.float32)
        write_pair(root, f"blob_{index}", image, mask)
    return root

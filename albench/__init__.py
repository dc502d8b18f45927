"""albench: which slices of 3D medical images should be annotated next? A benchmark of active learning."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from albench.benchmarks import SuiteOutcome
    from albench.callback import RunCallback
    from albench.data import Progress
    from albench.opened_run import OpenedRun

__version__ = "0.4.0"


def run(
    strategy: str,
    dataset: str,
    *,
    network: str = "residual",
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
    tuned: Path | str | None = None,
    out: Path | str = "runs",
    device: str = "auto",
    threads: int | None = None,
    keep_weights: bool = False,
    share: bool = True,
    graphs: bool = True,
    accept_code_change: bool = False,
    audit: bool = False,
    callback: RunCallback | None = None,
    progress: Progress | None = None,
    workers: int | None = 1,
) -> OpenedRun:
    """Run one strategy on one dataset with one seed, or continue that run after its last finished round.

    Args:
        strategy: a name, `FILE.py:Class` or `module:Class`.
        dataset: likewise.
        network: likewise.
        seed: of weights, batches and queries.
        settings: values by dotted name, such as {"training.epochs": 30}.
        tuned: file of `albench tune` with options of the strategy.
        out: where runs are kept.
        device: auto, cpu, cuda or cuda:N.
        threads: of the CPU; None leaves them as they are.
        keep_weights: keep the weights of every round.
        share: take round 0 from another run in `out` that trains it alike.
        graphs: replay training passes as CUDA graphs on a GPU.
        accept_code_change: continue a run that other code has written, and write that down.
        audit: audit every query, see `albench.audit`.
        callback: told about progress, see `albench.callback`.
        progress: told about the preparation of the data: cases done, cases in all, the last case's name.
        workers: processes that prepare the data, see `albench.data.prepare`.

    Returns:
        The finished run, as `open_run` gives it.

    Raises:
        AlbenchError: something is wrong that a user can fix; see `albench.errors`.
    """
    _wait_passively()
    from albench.combinations import check_one_split
    from albench.loop import Execution
    from albench.loop import run as run_loop
    from albench.opened_run import OpenedRun
    from albench.resolve import Datasets, resolve
    from albench.runs.failures import noting_failure
    from albench.runs.layout import run_folder
    from albench.training.device import choose_device
    from albench.tuned_options import read_tuned

    chosen = choose_device(device, threads)
    execution = Execution(chosen, keep_weights, share, graphs, accept_code_change=accept_code_change, audit=audit)
    resolved = resolve(
        strategy,
        dataset,
        network=network,
        seed=seed,
        settings=settings,
        progress=progress,
        workers=workers,
        datasets=Datasets(callback.on_notice) if callback else None,
        tuned=None if tuned is None else read_tuned(tuned),
    )
    check_one_split(resolved.config.protocol)
    with noting_failure(run_folder(Path(out), resolved.config)):
        return OpenedRun(run_loop(resolved, Path(out), execution, callback).folder)


def open_run(folder: Path | str, data_root: Path | str | None = None) -> OpenedRun:
    """The run in a folder: its records, `curve()`, `queries()`, `masks(round)`, `truth()` and `images()`.

    Args:
        folder: of the run.
        data_root: where its data are now, for the places of queried slices; None looks where they were.

    Raises:
        ConfigError: it is not the folder of a run.
    """
    from albench.opened_run import open_run as opened

    return opened(folder, data_root)


def bench(
    suite: str | Path,
    *,
    seeds: Sequence[int] | None = None,
    settings: Mapping[str, object] | None = None,
    out: Path | str = "runs",
    device: str = "auto",
    use_ray: bool = False,
) -> SuiteOutcome:
    """Run a suite, or continue it after its last finished rounds: `albench.benchmarks.run_suite` in this process.

    Args:
        suite: its name, or the path of its file.
        seeds: replace those of the suite.
        settings: values by dotted name, which override those of the suite.
        out: its runs are kept in a folder of its name in this one.
        device: auto, cpu, cuda or cuda:N.
        use_ray: distribute the runs with Ray.

    Raises:
        AlbenchError: something is wrong that a user can fix; see `albench.errors`.
    """
    _wait_passively()
    from albench.benchmarks import plan_suite, run_suite

    plan = plan_suite(str(suite), settings=settings, seeds=seeds, storage=out)
    return run_suite(plan, use_ray=use_ray, device=device)


def _wait_passively() -> None:
    """As the command line does, unless torch is imported, which reads it once: a notebook shares its cores too."""
    if "torch" not in sys.modules:
        from albench.machine import wait_passively

        wait_passively()

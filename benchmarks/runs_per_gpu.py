"""How many runs of a suite share each GPU of this machine: measured once, and remembered in the folder of the suite.

What is measured is a run with the settings of data, network and training that most runs of the suite have. Among these
it is the first that does not share round 0, because a loss of its own may need the most memory, as that of TAAL does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import torch
from pydantic import ConfigDict, with_config

from albench import __version__
from albench.benchmarks.gpu_sharing import GpuSharing, Speed
from albench.benchmarks.plan import PlannedRun
from albench.benchmarks.side_by_side import ProbeError, train_side_by_side
from albench.benchmarks.suite_callback import SuiteCallback
from albench.benchmarks.timed_training import TimedTraining
from albench.errors import StoreError
from albench.resolve import make_strategy
from albench.runs.cost import device_name
from albench.runs.documents import read_document, write_document
from albench.training.device import max_parallel_runs

_FILE = ".gpu-sharing.json"
_DEVICE = "cuda:0"  # all GPUs of the machine are taken to be alike


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Conditions:
    """What a measurement is valid for.

    Attributes:
        device: name of the GPU.
        settings: digest of the settings of the measured run, whatever its seed.
        threads: CPU threads of a run.
        graphs: whether training passes are replayed as CUDA graphs.
        albench: version.
        torch: version.
    """

    device: str
    settings: str
    threads: int
    graphs: bool
    albench: str
    torch: str


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Remembered:
    """A measurement on disk.

    Attributes:
        day: when it was made, in ISO format.
        conditions: what it is valid for.
        sharing: what was measured.
    """

    day: str
    conditions: Conditions
    sharing: GpuSharing


@dataclass(frozen=True)
class GpuRuns:
    """The runs of a suite that are at the same time on the GPUs of this machine.

    Attributes:
        suite: all runs of the suite.
        folder: of the suite.
        threads: CPU threads of a run.
        parallel: maximum number of runs at the same time, those that are left at most.
        graphs: replay training passes as CUDA graphs.
    """

    suite: Sequence[PlannedRun]
    folder: Path
    threads: int
    parallel: int
    graphs: bool

    @property
    def most(self) -> int:
        """The largest number of runs on each GPU for which the machine has cores and the suite has runs."""
        parallel = min(self.parallel, max_parallel_runs(torch.device("cpu"), self.threads))
        return max(1, parallel // torch.cuda.device_count())

    def remembered(self) -> Remembered | None:
        """The measurement on disk; None if there is none that is valid."""
        try:
            found = read_document(Remembered, self.folder / _FILE, "it is measured anew")
        except StoreError:
            return None
        return found if found.conditions == self._conditions() else None

    def expected(self) -> tuple[int, float]:
        """Runs on each GPU, and how much faster they train together than one, as remembered; 1 and 1.0 if it is not."""
        found = self.remembered()
        if found is None:
            return 1, 1.0
        chosen = found.sharing.runs_at_once(self.most)
        return chosen, found.sharing.speedup(chosen)

    def choose(self, callback: SuiteCallback) -> int:
        """How many runs share each GPU. Measures what is not remembered, and tells the callback.

        Raises:
            StoreError: the measurement cannot be written.
        """
        if self.most == 1:
            return 1
        before = self.remembered()
        try:
            sharing = self._measured(before.sharing if before else None, callback)
        except ProbeError as error:
            callback.on_notice(f"1 run at a time on each GPU: the measurement failed, {error}")
            return 1
        chosen = sharing.runs_at_once(self.most)
        if before and before.sharing == sharing:
            callback.on_notice(f"{sharing.in_words(chosen)} (measured on {before.day})")
            return chosen
        callback.on_notice(sharing.in_words(chosen))
        write_document(self.folder / _FILE, Remembered(date.today().isoformat(), self._conditions(), sharing))
        return chosen

    def _measured(self, known: GpuSharing | None, callback: SuiteCallback) -> GpuSharing:
        """The measurement with all that is missing for a choice. Raises ProbeError if not even one process trains."""
        sharing = known or self._alone(callback)
        while count := sharing.next_count(self.most):
            sharing = replace(sharing, speeds=(*sharing.speeds, Speed(count, self._together(count, callback))))
        return sharing

    def _alone(self, callback: SuiteCallback) -> GpuSharing:
        callback.on_probe(1)
        (found,) = self._trained(1)
        return GpuSharing((Speed(1, found.steps),), found.memory, found.free)

    def _together(self, count: int, callback: SuiteCallback) -> float:
        """Steps per second of some processes; 0 if they cannot train at the same time."""
        callback.on_probe(count)
        try:
            return sum(found.steps for found in self._trained(count))
        except ProbeError:
            return 0.0

    def _trained(self, processes: int) -> list[TimedTraining]:
        return train_side_by_side(self._probed.spec, processes, _DEVICE, self.threads, self.graphs)

    def _conditions(self) -> Conditions:
        settings = replace(self._probed.config, seed=0).digest()
        name = device_name(torch.device(_DEVICE))
        return Conditions(name, settings, self.threads, self.graphs, __version__, torch.__version__)

    @property
    def _probed(self) -> PlannedRun:
        """The run that is measured."""
        alike = [repr((run.config.data_key, run.config.network, run.config.training)) for run in self.suite]
        ((most, _),) = Counter(alike).most_common(1)
        runs = [run for run, key in zip(self.suite, alike, strict=True) if key == most]
        return min(
            runs, key=lambda run: make_strategy(run.spec.strategy, run.spec.settings).trains_as().shares_round_zero
        )

"""An estimate of what is left of a suite: hours and disk, from a timed probe of every strategy.

The probe is two rounds of two epochs on two cases of the real data with the real network. Its times per slice
are scaled to the run: an epoch grows with the labeled slices and a third of the validation slices (they are not
differentiated), the evaluation with the validation and test slices, a query with the unlabeled ones. How many epochs a
training makes is not known before: the estimate is a range from `patience + 1` to `epochs`, or, where runs of the suite
have finished rounds, their mean.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from albench.benchmarks.plan import PlannedRun, SliceCounts, resolve_run
from albench.config import Training
from albench.loop import run
from albench.runs.reader import RunReader
from albench.workbench import Execution

_SUBJECTS, _EPOCHS = 2, 2
_FORWARD = 1 / 3  # of a training step
_SMALL: Mapping[str, object] = {  # leaves the network and the slices as they are
    "protocol.split": [_SUBJECTS, 1, 1],
    "protocol.rounds": 1,
    "training.epochs": _EPOCHS,
}


@dataclass(frozen=True)
class Estimate:
    """What some runs take.

    Attributes:
        seconds: fewest and most, of all runs one after the other on this machine.
        disk: bytes.
    """

    seconds: tuple[float, float]
    disk: float

    def __add__(self, other: Estimate) -> Estimate:
        """What both take, one after the other."""
        (a, b), (c, d) = self.seconds, other.seconds
        return Estimate((a + c, b + d), self.disk + other.disk)


@dataclass(frozen=True)
class Probe:
    """Seconds of a strategy's parts.

    Attributes:
        fit: of an epoch of `fit`, per training slice.
        evaluate: per slice.
        query: of a query without its training, per unlabeled slice.
        training: of an epoch of a query's training, per training slice.
        weights: bytes of the weights.
        masks: bytes of a round's other files, per slice of the pool.
    """

    fit: float
    evaluate: float
    query: float
    training: float
    weights: int
    masks: float


def probe(planned: PlannedRun, execution: Execution) -> Probe:
    """Time a small piece of a run. Raises AlbenchError, as the run itself would."""
    resolved = resolve_run(replace(planned.spec, settings={**planned.spec.settings, **_SMALL}))
    slices = SliceCounts.of(resolved)
    with tempfile.TemporaryDirectory() as folder:
        done = run(resolved, Path(folder), replace(execution, share=False))
        files = {path: path.stat().st_size for path in done.folder.rglob("*") if path.is_file()}
        records = done.records
    weights = sum(size for path, size in files.items() if path.name == "weights.pt")
    first, last = records[0], records[-1]
    trained = slices.initial + _FORWARD * slices.val  # in round 0, whose last epoch is taken
    training = first.cost.query_epoch_seconds
    return Probe(
        fit=first.cost.fit_epoch_seconds[_EPOCHS - 1] / trained,
        evaluate=last.cost.seconds.evaluate / (slices.val + slices.test),
        query=(first.cost.seconds.query - sum(training)) / max(1, first.unlabeled),
        training=training[_EPOCHS - 1] / trained if training else 0.0,
        weights=weights,
        masks=(sum(files.values()) - weights) / len(records) / slices.train,
    )


def estimate(
    runs: Sequence[PlannedRun], root: Path, execution: Execution, on_probe: Callable[[str], None]
) -> Mapping[str, Estimate]:
    """What is left of the runs takes, by label.

    Args:
        root: the suite's folder.
        on_probe: called with the name of every run that is probed.
    """
    alike: dict[tuple[str, str], list[PlannedRun]] = defaultdict(list)
    for planned in runs:
        alike[planned.spec.group, planned.spec.label].append(planned)
    totals: dict[str, Estimate] = {}
    for (_, label), own in alike.items():
        left = [planned for planned in own if not planned.finished(root)]
        if not left:
            continue
        on_probe(left[0].name)
        timed = probe(left[0], execution)
        fewest, most = _epochs(own, root) or _bounds(left[0].config.training)
        for planned in left:
            cost = _Cost(planned, timed, planned.done(root))
            taken = Estimate((cost.seconds(fewest), cost.seconds(most)), cost.disk(keep_weights=execution.keep_weights))
            totals[label] = totals.get(label, Estimate((0, 0), 0)) + taken
    return totals


def _epochs(runs: Sequence[PlannedRun], root: Path) -> tuple[float, float] | None:
    """Mean epochs of the trainings that are done; None without any."""
    records = [record for planned in runs for record in RunReader(root / planned.folder).records]
    epochs = [training.epochs for record in records for training in record.fit_trainings]
    return (sum(epochs) / len(epochs),) * 2 if epochs else None


def _bounds(training: Training) -> tuple[float, float]:
    return min(training.patience + 1, training.epochs), training.epochs


@dataclass(frozen=True)
class _Cost:
    """What is left of one run takes."""

    run: PlannedRun
    probe: Probe
    done: int

    def seconds(self, epochs: float) -> float:
        slices, total = self.run.slices, 0.0
        for index in range(self.done, self.run.rounds):
            labeled = min(slices.train, slices.initial + index * self.run.config.protocol.budget)
            trained = labeled + _FORWARD * slices.val
            total += epochs * self.probe.fit * trained + self.probe.evaluate * (slices.val + slices.test)
            if index < self.run.rounds - 1:
                total += self.probe.query * (slices.train - labeled) + epochs * self.probe.training * trained
        return total

    def disk(self, *, keep_weights: bool) -> float:
        kept = self.run.rounds if keep_weights else 1
        return self.probe.weights * kept + self.run.rounds * self.probe.masks * self.run.slices.train

"""An estimate of the time and disk space that a suite still needs, from what every strategy costs per slice.

This cost is recorded (`albench.benchmarks.unit_costs`), or that of a timed probe on this machine: two rounds of two
epochs on two training cases with the real network. Times per slice are scaled to the run: a training is proportional to
the slices of its batches and a third of the slices of its validations (they need no backward pass), the evaluation to
the validation and test slices, and a query to the unlabeled slices. Unless it is fixed, the number of optimizer steps
is unknown in advance: the estimate is a range from the fewest to the most steps that the rule allows, or the mean of
the finished rounds, if there are any.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from albench.benchmarks.plan import PlannedRun, SliceCounts, resolve_run
from albench.benchmarks.suite import RunSpec
from albench.config import Training
from albench.loop import run
from albench.resolve import Datasets
from albench.run_session import Execution
from albench.runs.records import ComputeCost
from albench.temporary import temporary_folder
from albench.training.stopping import StopRule

_CASES, _EPOCHS = 2, 2
FORWARD = 1 / 3
"""Cost of a forward pass as a share of a training step."""

SMALL: Mapping[str, object] = {
    **{"protocol.split": [_CASES, 1, 1], "protocol.rounds": 1, "protocol.splits": 1, "protocol.start": "interval"},
    **{"protocol.validation": "free", "protocol.compute": "own", "protocol.steps": None},
    **{"training.stop": "val_loss", "training.epochs": _EPOCHS, "training.patience": _EPOCHS},
    **{"training.patience_steps": 0, "training.min_steps": 0, "training.val_steps": 0},
}
"""Settings of a probe; the network and the size of slices are those of the run."""


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of some runs.

    Attributes:
        seconds: lower and upper bound, if the runs are done one after another; NaN if it is not known.
        disk: bytes.
    """

    seconds: tuple[float, float]
    disk: float

    def __add__(self, other: Estimate) -> Estimate:
        """The cost of both together."""
        (a, b), (c, d) = self.seconds, other.seconds
        return Estimate((a + c, b + d), self.disk + other.disk)


@dataclass(frozen=True)
class Probe:
    """The measured cost of a strategy; seconds are NaN if nobody has measured them.

    Attributes:
        fit: seconds of an epoch in `fit`, per training slice.
        evaluate: seconds of the evaluation, per slice.
        query: seconds of a query without its training, per unlabeled slice.
        training: seconds of an epoch in `query`, per training slice.
        weights: bytes of the weights.
        masks: bytes of the other files of a round, per slice of the pool.
    """

    fit: float
    evaluate: float
    query: float
    training: float
    weights: int = 0
    masks: float = 0

    @classmethod
    def of(cls, cost: ComputeCost, evaluate: float, slices: SliceCounts) -> Probe:
        """The probe without its disk space, from a round 0 with the settings `SMALL`.

        Args:
            cost: of the round.
            evaluate: seconds of an evaluation, of this round or of another one.
            slices: of the round.
        """
        trained = slices.initial + FORWARD * slices.val  # the last epoch is used
        training = cost.query_epoch_seconds
        return cls(
            fit=cost.fit_epoch_seconds[_EPOCHS - 1] / trained,
            evaluate=evaluate / (slices.val + slices.test),
            query=(cost.seconds.query - sum(training)) / max(1, slices.annotatable - slices.initial),
            training=training[_EPOCHS - 1] / trained if training else 0.0,
        )


def probe(spec: RunSpec, execution: Execution, datasets: Datasets | None = None) -> Probe:
    """Time a small version of a run, on its own data or on other `datasets`. Raises AlbenchError, as the run would."""
    small = replace(spec, settings={**spec.settings, **SMALL}, tuned=None)  # its split is another one
    resolved = resolve_run(small, datasets=datasets)
    slices = SliceCounts.of(resolved)
    with temporary_folder() as folder:
        done = run(resolved, folder, replace(execution, share=False))
        files = {path: path.stat().st_size for path in done.folder.rglob("*") if path.is_file()}
        records = done.records
    weights = sum(size for path, size in files.items() if path.name == "weights.pt")
    return replace(
        Probe.of(records[0].cost, records[-1].cost.seconds.evaluate, slices),
        weights=weights,
        masks=(sum(files.values()) - weights) / len(records) / slices.train,
    )


def estimate(
    runs: Sequence[PlannedRun], root: Path, cost_of: Callable[[PlannedRun], Probe], *, keep_weights: bool
) -> Mapping[str, Estimate]:
    """{label: cost of what is left of its runs}; a label whose runs are finished is left out.

    Args:
        runs: of the suite.
        root: folder of the suite.
        cost_of: called with one run of every label and group, and gives what its strategy costs.
        keep_weights: whether the runs keep the weights of every round.
    """
    alike: dict[tuple[str, str], list[PlannedRun]] = defaultdict(list)
    for planned in runs:
        alike[planned.spec.group, planned.spec.label].append(planned)
    totals: dict[str, Estimate] = {}
    for (_, label), own in alike.items():
        left = [planned for planned in own if not planned.finished(root)]
        if not left:
            continue
        timed = cost_of(left[0])
        known = _steps_so_far(own, root)
        for planned in left:
            cost = RunCost(planned, timed, planned.done(root))
            bounds = cost.seconds(0, known), cost.seconds(1, known)
            total = totals.get(label, Estimate((0, 0), 0))
            totals[label] = total + Estimate(bounds, cost.disk(keep_weights=keep_weights))
    return totals


def _steps_so_far(runs: Sequence[PlannedRun], root: Path) -> float | None:
    """Mean number of optimizer steps of the finished trainings; None without any."""
    records = [record for planned in runs for record in planned.records(root)]
    steps = [training.steps for record in records for training in record.fit_trainings]
    return sum(steps) / len(steps) if steps else None


def steps_of_training(training: Training, labeled: int) -> tuple[int, int]:
    """The fewest and the most optimizer steps of a training on this many slices."""
    rule = StopRule.of(training, patience=None, steps=None)
    return rule.bounds(-(-labeled // training.batch_size))


@dataclass(frozen=True)
class RunCost:
    """The cost of what is left of one run.

    Attributes:
        run: the run.
        probe: of its strategy.
        done: rounds that are finished.
    """

    run: PlannedRun
    probe: Probe
    done: int

    def seconds(self, bound: int, known: float | None) -> float:
        """Seconds with the fewest steps (0) or the most (1), or with a known number of steps per training."""
        return sum(self.seconds_of(index, bound, known) for index in range(self.done, self.run.rounds))

    def seconds_of(self, index: int, bound: int, known: float | None) -> float:
        """The same of one round."""
        slices, protocol = self.run.slices, self.run.config.protocol
        labeled = min(slices.annotatable, slices.initial + index * protocol.budget)
        steps = known or steps_of_training(self.run.config.training, labeled)[bound]
        fit, query = steps, steps
        if protocol.steps is not None:
            query = protocol.steps / 2
            fit = protocol.steps - (query if index and self.probe.training else 0)
        total = self.probe.fit * self._read(fit, labeled) + self.probe.evaluate * (slices.val + slices.test)
        if index < self.run.rounds - 1:
            total += self.probe.query * (slices.annotatable - labeled)
            total += self.probe.training * self._read(query, labeled)
        return total

    def _read(self, steps: float, labeled: int) -> float:
        """Slices that a training reads: those of its batches, and a third of those of its validations."""
        training = self.run.config.training
        batch = min(training.batch_size, labeled)
        between = max(-(-labeled // training.batch_size), training.val_steps)
        validations = 0 if training.stop == "steps" else -(-steps // between)
        return steps * batch + FORWARD * validations * self.run.slices.val

    def disk(self, *, keep_weights: bool) -> float:
        """Bytes of a whole run."""
        kept = self.run.rounds if keep_weights else 1
        return self.probe.weights * kept + self.run.rounds * self.probe.masks * self.run.slices.train

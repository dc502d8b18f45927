"""The time that the runs of a suite still need, from the rounds that were timed: every method at its own speed.

What a round needs is counted in slices of a training step, as for `albench bench --plan`
(`albench.benchmarks.estimate`); how many seconds such a slice takes is measured for every method as soon as one of its
rounds after round 0 is finished. The training of round 0 may be taken from another run, or waited for, so its time
tells nothing, unless a run has no other round. Until then the method is expected to be as fast as it was in an earlier
call, and otherwise as all others together are now.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from albench.benchmarks.estimate import FORWARD, Probe, RunCost
from albench.benchmarks.plan import PlannedRun
from albench.resolve import make_strategy

_Method = tuple[str, str]  # group and label


@dataclass
class _Timed:
    """Seconds and amount of the rounds of a method that tell its speed."""

    seconds: float = 0.0
    amount: float = 0.0

    def add(self, index: int, seconds: float, amounts: Sequence[float]) -> None:
        """A round took so long; `amounts` are those of the run."""
        if index or len(amounts) == 1:
            self.seconds += seconds
            self.amount += amounts[index]


class RemainingTime:
    """The time that some runs need, updated with every finished round.

    Args:
        runs: to do.
        done: finished rounds of each.
        parallel: number of runs at the same time.
    """

    def __init__(self, runs: Sequence[PlannedRun], done: Sequence[int], parallel: int) -> None:
        self._parallel = parallel
        self._amounts = {run.folder: amounts(run) for run in runs}
        self._done = {run.folder: own for run, own in zip(runs, done, strict=True)}
        self._left = {run.folder: run for run in runs}
        self._timed: dict[_Method, _Timed] = {}
        self._earlier: dict[_Method, _Timed] = {}

    def add(self, run: PlannedRun, index: int, seconds: float) -> None:
        """A round of a run is finished, which took so long."""
        self._done[run.folder] = index + 1
        self._timed.setdefault(_method(run), _Timed()).add(index, seconds, self._amounts[run.folder])

    def add_earlier(self, run: PlannedRun, seconds: Sequence[float]) -> None:
        """The first rounds of a run were finished before, and took so long."""
        timed = self._earlier.setdefault(_method(run), _Timed())
        for index, taken in enumerate(seconds):
            timed.add(index, taken, amounts(run))

    def remove(self, run: PlannedRun) -> None:
        """A run has ended."""
        self._left.pop(run.folder, None)

    def done(self, run: PlannedRun) -> int:
        """Finished rounds of a run."""
        return self._done[run.folder]

    def of(self, run: PlannedRun) -> float | None:
        """Seconds that a run still needs; None before a round after round 0 of any run was timed."""
        own = [[timed[_method(run)]] for timed in (self._timed, self._earlier) if _method(run) in timed]
        known = (*own, self._timed.values(), self._earlier.values())
        speed = next((found for timed in known if (found := _speed(timed)) is not None), None)
        return None if speed is None else speed * sum(self._amounts[run.folder][self._done[run.folder] :])

    def total(self) -> float | None:
        """Seconds until the last run ends; likewise. No run ends before its own rounds are done."""
        needed = [self.of(run) for run in self._left.values()]
        known = [seconds for seconds in needed if seconds is not None]
        if not known and needed:
            return None
        return max(sum(known) / max(1, min(self._parallel, len(known))), max(known, default=0.0))


def amounts(run: PlannedRun) -> list[float]:
    """What every round of a run needs: slices of a training step, of which a prediction is a part."""
    strategy = make_strategy(run.spec.strategy, run.spec.settings)
    predictions = strategy.predictions_per_slice()
    costs = Probe(
        fit=1.0,
        evaluate=FORWARD,
        query=FORWARD * (1.0 if predictions is None else predictions),
        training=float(strategy.trainings() > 1),
    )
    cost = RunCost(run, costs, 0)
    return [(cost.seconds_of(index, 0, None) + cost.seconds_of(index, 1, None)) / 2 for index in range(run.rounds)]


def _speed(timed: Collection[_Timed]) -> float | None:
    """Seconds per amount of some methods together; None if no round of them tells it."""
    amount = sum(one.amount for one in timed)
    return sum(one.seconds for one in timed) / amount if amount else None


def _method(run: PlannedRun) -> _Method:
    return run.spec.group, run.spec.label

"""How many GPU-hours do the suites of the paper take? Needs a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from albench.benchmarks.estimate import SMALL, Probe, RunCost
from albench.benchmarks.plan import PlannedRun, SliceCounts
from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread, interleaved
from albench.benchmarks.speed.paper_round import Size, TimedRound, resolved, warm_up
from albench.benchmarks.speed.record import Row, main
from albench.benchmarks.suite import RunSpec, load_suite
from albench.data import Prepared
from albench.strategy import Strategy

_SUITES: Mapping[str, tuple[int, int, int]] = {"paper-brats": (3, 1, 15), "paper-spleen": (3, 1, 12)}
"""Cases for training, validation and test of the measured rounds."""


def measure() -> Iterator[Row]:
    """Hours if the runs are done one after another on this GPU, from the fewest to the most optimizer steps.

    Nothing of a suite is run. As for `albench bench --plan`, a small round of every strategy, with the network and the
    size of slices of the suite, is extrapolated to its rounds, in proportion to the numbers of slices. The queries of
    `bal` and `k-center` grow faster than that.
    """
    for suite, cases in _SUITES.items():
        runs = load_suite(suite).runs
        size = Size.of(runs[0])
        prepared = synthetic.volumes(sum(cases), size.depth, size.side)
        whole = synthetic.outline(sum(size.cases), size.depth, size.side)
        warm_up(runs[0], prepared, SMALL)
        note = f"from the fewest to the most steps; extrapolated from {cases[0]} training cases of {size.depth} slices"
        bounds = []
        for label, probe in _probes({spec.label: spec for spec in runs}, prepared, cases):
            own = [PlannedRun.of(spec, resolved(spec, whole, size.cases)) for spec in runs if spec.label == label]
            costs = [RunCost(run, probe, 0) for run in own]
            bounds.append([sum(cost.seconds(bound, None) for cost in costs) / 3600 for bound in (0, 1)])
            yield Row(f"{suite}, {len(own)} runs of {label}", Spread.of(bounds[-1]), unit="GPU-hours", note=note)
        total = [sum(hours) for hours in zip(*bounds, strict=True)]
        yield Row(f"{suite}, all {len(runs)} runs", Spread.of(total), unit="GPU-hours", note=note)


def _probes(
    specs: Mapping[str, RunSpec], prepared: Prepared, cases: tuple[int, int, int]
) -> Iterator[tuple[str, Probe]]:
    """(label, probe) of every strategy. Those that train alike share one round, and only their queries are timed.

    Where rounds are shared, the evaluation is that of the first strategy.
    """
    shared = None
    for label, spec in specs.items():
        run = resolved(spec, prepared, cases, SMALL)
        slices = SliceCounts.of(run)
        if shared and _trains_like_all(run.strategy):
            timed, cost = shared
            turn = interleaved(
                {"query": lambda ctx=timed.turn.given, own=run.strategy: own.query(ctx)}, 1, synthetic.DEVICE
            )
            cost = replace(cost, seconds=replace(cost.seconds, query=turn["query"][0]))
        else:
            timed = TimedRound(run)
            timed.fit()
            cost = timed.evaluate_and_query()
            if _trains_like_all(run.strategy):
                shared = timed, cost
        yield label, Probe.of(cost, cost.seconds.evaluate, slices)


def _trains_like_all(strategy: Strategy) -> bool:
    """Whether the round before the query is that of all strategies."""
    own = strategy.trains_as()
    return own.shares_round_zero and type(own).network is Strategy.network


if __name__ == "__main__":
    main("paper_hours", measure, needs_gpu=True)

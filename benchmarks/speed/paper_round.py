"""Round 0 of a suite of the paper on synthetic volumes, whose phases are timed as in a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from albench.benchmarks.speed import synthetic
from albench.benchmarks.suite import RunSpec
from albench.callback import NullCallback
from albench.config import Choice, RunConfig
from albench.data import Prepared, Split
from albench.pool import Pool
from albench.registry import options_of
from albench.resolve import ResolvedRun, common_settings, make_dataset, make_network, make_strategy
from albench.run_session import Execution, RunSession, State
from albench.runs.cost import Clock
from albench.runs.records import ComputeCost

_DEPTHS = {"brats": 155, "spleen": 90}  # slices of a case; those of Spleen differ, 3,650 in 41 cases
_LOGIT = 10.0


@dataclass(frozen=True)
class Size:
    """The size of the data of a suite of the paper.

    Attributes:
        cases: for training, validation and test.
        depth: slices of a case.
        side: height and width in pixels.
    """

    cases: tuple[int, int, int]
    depth: int
    side: int

    @classmethod
    def of(cls, spec: RunSpec) -> Size:
        """The size of the data of a run."""
        data = make_dataset(spec.dataset, spec.settings)
        assert data.size, spec.dataset
        train, val, test = common_settings(data, spec.settings)[0].split
        return cls((int(train), int(val), int(test)), _DEPTHS[spec.dataset], data.size[0])


def resolved(
    spec: RunSpec, prepared: Prepared, cases: tuple[int, int, int], changes: Mapping[str, object] | None = None
) -> ResolvedRun:
    """A run of a suite on other data.

    Args:
        spec: in the suite, with its dataset, which need not be there.
        prepared: the data.
        cases: of training, validation and test set.
        changes: settings by dotted name that replace those of the suite.
    """
    settings = {**spec.settings, **(changes or {})}
    data, strategy = make_dataset(spec.dataset, settings), make_strategy(spec.strategy, settings)
    protocol, training = common_settings(data, settings)
    network = make_network(spec.network, data, settings)
    config = RunConfig(
        strategy=Choice(strategy.name, spec.strategy, None, options_of(strategy)),
        dataset=Choice(data.name, spec.dataset, None, options_of(data)),
        title=data.title,
        locations={},
        data_key=prepared.key,
        seed=spec.seed,
        protocol=protocol,
        training=training,
        network=Choice(network.name, spec.network, None, options_of(network)),
    )
    train, val, test = (prepared.cases[sum(cases[:part]) : sum(cases[: part + 1])] for part in range(3))
    return ResolvedRun(config, strategy, network, prepared, Split(train, val, test))


def warm_up(spec: RunSpec, prepared: Prepared, changes: Mapping[str, object]) -> None:
    """A small round, so that libraries are loaded and have chosen their algorithms before a larger one is timed."""
    timed = TimedRound(resolved(spec, prepared, (1, 1, 1), changes))
    timed.fit()
    timed.evaluate_and_query()


class TimedRound:
    """Round 0 of a run, in the order of `albench.loop.run`; nothing is written.

    Args:
        run: on `synthetic.volumes`.

    Attributes:
        session: of the run.
        turn: the first round.
    """

    def __init__(self, run: ResolvedRun) -> None:
        self.session = RunSession(run, Execution(synthetic.DEVICE, share=False), NullCallback())
        initial = self.session.initial
        pool = Pool(self.session.slices).with_masks(self.session.oracle.annotate(initial, len(initial)))
        self.turn = self.session.turn(0, State(pool, {}, None))
        self._clock = Clock(synthetic.DEVICE)
        self._epochs: list[float] = []

    def fit(self) -> list[float]:
        """Train; seconds of the epochs."""
        with self._clock.phase("fit"), self.session.phase(self.turn, "fit"):
            self.session.strategy.fit(self.turn.given)
        self._epochs = [seconds for log in self.turn.collect_trainings() for seconds in log.epoch_seconds]
        return self._epochs

    def evaluate_and_query(self) -> ComputeCost:
        """Evaluate while the query runs, and give the cost of the round.

        What is bright is the segmentation that is scored, because distances between the surfaces of a network that was
        hardly trained would take far longer than those of a trained one.
        """
        with self._clock.phase("evaluate"), _segmenting(self.session.network):
            scores = self.session.evaluate()
        with self._clock.phase("query"), self.session.phase(self.turn, "query"):
            self.session.query(self.turn)
        with self._clock.phase("evaluate"):
            scores()
        queried = [seconds for log in self.turn.collect_trainings() for seconds in log.epoch_seconds]
        return self._clock.cost(0, self._epochs, queried)


@contextmanager
def _segmenting(network: nn.Module) -> Iterator[None]:
    """Let the passes of a network, as long as they take, segment what is bright."""

    def bright(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        return torch.where(inputs[0][:, :1] > synthetic.BRIGHT, _LOGIT, -_LOGIT)

    handle = network.register_forward_hook(bright)
    try:
        yield
    finally:
        handle.remove()

"""Wrappers: strategies that query by another strategy, which is their option `inner` and may be a wrapper itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

from albench.encoder_decoder import Part
from albench.errors import StrategyError
from albench.masks import Ids
from albench.network import Task
from albench.pool import Pool
from albench.query import Query, check_query
from albench.strategy import Round, Strategy
from albench.training.batches import Batch, Images


@dataclass(frozen=True)
class Wrapper(Strategy):
    """A strategy that changes which slices another one queries, and nothing else.

    Training, network and initial slices are those of the inner strategy, so round 0 is shared if that shares it.

    Attributes:
        inner: the strategy that is wrapped. Its options are set as in `--set strategy.inner.name=bald --set
            strategy.inner.passes=20`, in YAML as in `inner: {name: bald, passes: 20}`.
    """

    kind = "wrapper"

    inner: Strategy

    def __post_init__(self) -> None:
        if self.inner.uses_labels:
            raise ValueError(
                f"inner must not have the oracle draw by the truth, {self.inner.name} does: name another strategy"
            )

    def ranks_by_score(self) -> bool:
        """No: a wrapper takes other slices than those with the highest scores."""
        return False

    def trains_as(self) -> Strategy:
        """As the inner strategy."""
        return self.inner.trains_as()

    def check(self, pool: Pool) -> None:
        """Reject what the inner strategy rejects."""
        self.inner.check(pool)

    def initial(self, initial: Ids, pool: Pool) -> Ids:
        """Those of the inner strategy."""
        return self.inner.initial(initial, pool)

    def network(self, task: Task) -> nn.Module:
        """That of the inner strategy."""
        return self.inner.network(task)

    def loss(self, model: nn.Module, batch: Batch, unlabeled: Iterator[Images], epoch: int) -> Tensor:
        """That of the inner strategy."""
        return self.inner.loss(model, batch, unlabeled, epoch)

    def fit(self, ctx: Round) -> None:
        """Train as the inner strategy."""
        self.inner.fit(ctx)

    def parts(self) -> tuple[Part, ...]:
        """What the inner strategy needs."""
        return self.inner.parts()

    def predictions_per_slice(self) -> float | None:
        """Those of the inner strategy."""
        return self.inner.predictions_per_slice()

    def trainings(self) -> int:
        """Those of the inner strategy."""
        return self.inner.trainings()


def ask(strategy: Strategy, ctx: Round) -> Query:
    """A valid query of a strategy in a wrapper.

    Raises:
        StrategyError: it breaks a rule, or has the oracle draw by the truth.
    """
    asked = strategy.query(ctx)
    try:
        check_query(asked, ctx.pool, ctx.budget)  # type: ignore[arg-type]  # a draw is not a query
    except StrategyError as error:
        raise StrategyError(f"inner strategy '{strategy.name}': {error}") from error
    assert isinstance(asked, Query)
    return asked


def scored(strategy: Strategy, ctx: Round) -> Query:
    """As `ask`, of a strategy that must score the slices. Raises StrategyError."""
    query = ask(strategy, ctx)
    if query.scores is None:
        raise StrategyError(f"inner must be a strategy that scores slices, '{strategy.name}' gave no scores: {SCORING}")
    return query


def check_scoring(strategy: Strategy) -> None:
    """Reject a strategy whose scores do not decide its query. Raises ValueError."""
    if not strategy.ranks_by_score():
        raise ValueError(
            f"inner must be a strategy whose scores decide its query, those of {strategy.name} do not: {SCORING}"
        )


def requery(query: Query, ids: Ids, **notes: float) -> Query:
    """A query of other slices, whose pseudo-labels are dropped; notes are added."""
    queried = set(np.asarray(ids).tolist())
    pseudo = {i: mask for i, mask in query.pseudo.items() if i not in queried}
    return replace(query, ids=ids, pseudo=pseudo, notes={**query.notes, **notes})


SCORING = "choose one that does, such as entropy"

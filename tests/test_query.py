import numpy as np
import pytest
import torch

from albench.errors import StrategyError
from albench.query import Query, check_query


def mask(ctx, value: int = 0) -> np.ndarray:
    return np.full(ctx.pool.slices.shape[1:], value, dtype=np.uint8)


CASES = {
    "not a query": (lambda ctx: None, "query() must return a Query, got NoneType: end it with"),
    "fractions": (
        lambda ctx: Query(ctx.pool.unlabeled[:3] + 0.5),
        "a list of integers, got float64 of shape (3,)",
    ),
    "two dimensions": (
        lambda ctx: Query(ctx.pool.unlabeled[None, :3]),
        "a list of integers, got int64 of shape (1",
    ),
    "too few": (lambda ctx: Query(ctx.pool.unlabeled[:2]), "exactly 3 slices, got 2: return `budget` ids"),
    "too many": (lambda ctx: Query(ctx.pool.unlabeled[:4]), "exactly 3 slices, got 4"),
    "twice": (lambda ctx: Query(ctx.pool.unlabeled[[1, 2, 1]]), "each slice once, slice 2 (case phantom-000, "),
    "labeled": (
        lambda ctx: Query(np.array([1, 0, 2])),
        "must name unlabeled slices, slice 0 (case phantom-000, position 0) is labeled already",
    ),
    "unknown": (lambda ctx: Query(np.array([1, 2, 999])), "must name slices of the pool, 0 to "),
    "list of scores": (
        lambda ctx: query_of_three(ctx, scores=[0.0]),
        "scores must be a NumPy array, got list: use np.asarray",
    ),
    "short scores": (lambda ctx: query_of_three(ctx, scores=np.zeros(2)), "scores must be one per unlabeled slice, "),
    "infinite": (
        lambda ctx: query_of_three(ctx, scores=infinite_scores(ctx)),
        "scores must be finite, slice 2 (case phantom-000, ",
    ),
    "tensor": (
        lambda ctx: query_of_three(ctx, pseudo={1: torch.zeros(32, 32)}),
        "pseudo-labels must be uint8 masks of 0 to 1",
    ),
    "values": (
        lambda ctx: query_of_three(ctx, pseudo={1: mask(ctx, 2)}),
        "got uint8 (32, 32) up to 2 for slice 1 (case ",
    ),
    "shape": (
        lambda ctx: query_of_three(ctx, pseudo={1: mask(ctx)[:9]}),
        "of shape (32, 32), got uint8 (9, 32) up to 0 for sl",
    ),
    "labeled pseudo-label": (
        lambda ctx: query_of_three(ctx, pseudo={0: mask(ctx)}),
        "pseudo-labels must name unlabeled slices, slice 0 (",
    ),
    "text": (
        lambda ctx: query_of_three(ctx, pseudo={"1": mask(ctx)}),
        "pseudo-labels must name slices by integers, got '1'",
    ),
    "predictions": (
        lambda ctx: query_of_three(ctx, predictions={"x": {0: mask(ctx)}}),
        "predictions must name unlabeled slices",
    ),
    "notes": (
        lambda ctx: query_of_three(ctx, notes={"x": float("nan")}),
        "notes must be finite numbers or lists of them, 'x' is nan: leave it out",
    ),
    "notes of two dimensions": (
        lambda ctx: query_of_three(ctx, notes={"x": np.zeros((2, 2))}),
        "notes must be finite numbers or lists of them, 'x' is",
    ),
}


def query_of_three(ctx, **parts: object) -> Query:
    return Query(ctx.pool.unlabeled[:3], **parts)  # type: ignore[arg-type]


def infinite_scores(ctx) -> np.ndarray:
    scores = np.zeros(len(ctx.pool.unlabeled))
    scores[1] = np.inf
    return scores


@pytest.mark.parametrize("case", CASES)
def test_a_query_that_breaks_a_rule_is_an_error_that_names_rule_and_slice(make_round, case):
    ctx = make_round()
    make, sentence = CASES[case]
    with pytest.raises(StrategyError) as caught:
        check_query(make(ctx), ctx.pool, 3)
    assert sentence in str(caught.value)


def test_a_query_by_the_rules_passes_also_if_it_is_empty(make_round):
    ctx = make_round()
    full = query_of_three(
        ctx, pseudo={1: mask(ctx, 1)}, scores=np.zeros(len(ctx.pool.unlabeled)), notes={"x": np.float32(1)}
    )
    check_query(full, ctx.pool, 3)
    check_query(Query.empty(), ctx.pool, 0)


def test_highest_and_lowest_scores_break_ties_by_the_lower_id(make_round):
    ctx = make_round()
    scores = np.zeros(len(ctx.pool.unlabeled))
    scores[[4, 7]] = 1
    scores[5] = -1
    unlabeled = ctx.pool.unlabeled
    assert Query.highest(scores, ctx).ids.tolist() == unlabeled[[4, 7, 0]].tolist()
    assert Query.lowest(scores, ctx).ids.tolist() == unlabeled[[5, 0, 1]].tolist()

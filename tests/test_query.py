import numpy as np
import pytest
import torch

from albench.errors import StrategyError
from albench.query import Query, check_query


def mask(ctx, value: int = 0) -> np.ndarray:
    return np.full(ctx.pool.slices.shape[1:], value, dtype=np.uint8)


CASES = {
    "nothing": (lambda ctx: None, "query() must return a Query, got NoneType: end it with"),
    "fractions": (
        lambda ctx: Query(ctx.pool.unlabeled[:3] + 0.5),
        "a list of whole numbers, got float64 of shape (3,)",
    ),
    "two dimensions": (
        lambda ctx: Query(ctx.pool.unlabeled[None, :3]),
        "a list of whole numbers, got int64 of shape (1",
    ),
    "too few": (lambda ctx: Query(ctx.pool.unlabeled[:2]), "exactly 3 slices, got 2: return `budget` ids"),
    "too many": (lambda ctx: Query(ctx.pool.unlabeled[:4]), "exactly 3 slices, got 4"),
    "twice": (lambda ctx: Query(ctx.pool.unlabeled[[1, 2, 1]]), "each slice once, slice 2 (case phantom-000, "),
    "bought": (
        lambda ctx: Query(np.array([1, 0, 2])),
        "must name unlabeled slices, slice 0 (case phantom-000, posit",
    ),
    "nowhere": (lambda ctx: Query(np.array([1, 2, 999])), "must name slices of the pool, 0 to "),
    "list of scores": (lambda ctx: answer(ctx, scores=[0.0]), "scores must be a NumPy array, got list: use np.asarray"),
    "short scores": (lambda ctx: answer(ctx, scores=np.zeros(2)), "scores must be one per unlabeled slice, "),
    "infinite": (lambda ctx: answer(ctx, scores=spoiled(ctx)), "scores must be finite, slice 2 (case phantom-000, "),
    "tensor": (
        lambda ctx: answer(ctx, pseudo={1: torch.zeros(32, 32)}),
        "pseudo-labels must be uint8 masks of 0 and 1",
    ),
    "values": (lambda ctx: answer(ctx, pseudo={1: mask(ctx, 2)}), "got uint8 (32, 32) up to 2 for slice 1 (case "),
    "shape": (
        lambda ctx: answer(ctx, pseudo={1: mask(ctx)[:9]}),
        "of shape (32, 32), got uint8 (9, 32) up to 0 for sl",
    ),
    "labeled": (lambda ctx: answer(ctx, pseudo={0: mask(ctx)}), "pseudo-labels must name unlabeled slices, slice 0 ("),
    "text": (
        lambda ctx: answer(ctx, pseudo={"1": mask(ctx)}),
        "pseudo-labels must name slices by whole numbers, got '1'",
    ),
    "predictions": (
        lambda ctx: answer(ctx, predictions={"x": {0: mask(ctx)}}),
        "predictions must name unlabeled slices",
    ),
    "notes": (
        lambda ctx: answer(ctx, notes={"x": float("nan")}),
        "notes must be finite numbers, 'x' is nan: leave it out",
    ),
}


def answer(ctx, **parts: object) -> Query:
    return Query(ctx.pool.unlabeled[:3], **parts)  # type: ignore[arg-type]


def spoiled(ctx) -> np.ndarray:
    scores = np.zeros(len(ctx.pool.unlabeled))
    scores[1] = np.inf
    return scores


@pytest.mark.parametrize("case", CASES)
def test_an_answer_that_breaks_a_rule_is_refused_in_one_sentence(make_round, case):
    ctx = make_round()
    make, sentence = CASES[case]
    with pytest.raises(StrategyError) as caught:
        check_query(make(ctx), ctx.pool, 3)
    assert sentence in str(caught.value)


def test_a_good_answer_passes_also_with_nothing_to_buy(make_round):
    ctx = make_round()
    full = answer(ctx, pseudo={1: mask(ctx, 1)}, scores=np.zeros(len(ctx.pool.unlabeled)), notes={"x": np.float32(1)})
    check_query(full, ctx.pool, 3)
    check_query(Query.nothing(), ctx.pool, 0)


def test_the_highest_and_the_lowest_are_asked_for_with_ties_by_id(make_round):
    ctx = make_round()
    scores = np.zeros(len(ctx.pool.unlabeled))
    scores[[4, 7]] = 1
    scores[5] = -1
    unlabeled = ctx.pool.unlabeled
    assert Query.highest(scores, ctx).ids.tolist() == unlabeled[[4, 7, 0]].tolist()
    assert Query.lowest(scores, ctx).ids.tolist() == unlabeled[[5, 0, 1]].tolist()

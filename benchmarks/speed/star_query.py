"""How many forward passes over the pool does the query of STAR cost, without its training?"""

from __future__ import annotations

from collections.abc import Iterator

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.inference import bare_passes
from albench.benchmarks.speed.interleave import Spread, interleaved, ratio
from albench.benchmarks.speed.record import Row, main
from albench.resolve import make_strategy
from albench.strategy import Round, Strategy
from albench.temporary import temporary_folder

_TURNS = 5
_SLICES = 960 if synthetic.DEVICE.type == "cuda" else 400  # a tenth is labeled


def measure() -> Iterator[Row]:
    """The query without its second training, in bare forward passes of the segmenter over the unlabeled slices.

    It includes the prediction of every eighth slice alone, which the record compares with the propagated masks
    (Fig. 3b of the paper).
    """
    strategy = make_strategy("star", {})
    with temporary_folder() as folder:
        prepared = synthetic.made_up(_SLICES, synthetic.SIDE, folder)
        ctx = synthetic.after_training(strategy, prepared, synthetic.NETWORK)
        passes = in_passes(strategy, ctx, _TURNS)
    yield Row("whole query", passes, "<= 1.6")


def in_passes(strategy: Strategy, ctx: Round, turns: int) -> Spread:
    """Queries that do not train, in bare forward passes over as many slices as are unlabeled."""
    images = synthetic.images_of(ctx, len(ctx.pool.unlabeled))
    ctx.learner.optimize = lambda *arguments, **options: None  # type: ignore[method-assign, assignment]
    variants = {"bare": bare_passes(ctx.learner, images)[0], "query": lambda: strategy.query(ctx)}
    seconds = interleaved(variants, turns, synthetic.DEVICE)
    return ratio(seconds["query"], seconds["bare"])


if __name__ == "__main__":
    main("star_query", measure)

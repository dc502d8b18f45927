"""How many forward passes over the pool does the query of STAR cost, without its training?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.inference import bare_passes
from albench.benchmarks.speed.interleave import interleaved, ratio
from albench.benchmarks.speed.record import Finding, Row, main
from albench.resolve import make_strategy


def measure() -> Finding:
    """The query without its second training, in bare forward passes of the segmenter over the unlabeled slices.

    It includes the prediction of every eighth slice alone, which the record compares with the propagated masks
    (Fig. 3b of the paper).
    """
    strategy = make_strategy("star", {})
    with tempfile.TemporaryDirectory() as folder:
        prepared = synthetic.made_up(400, synthetic.SIDE, Path(folder))
        ctx = synthetic.after_training(strategy, prepared, synthetic.NETWORK)
        ctx.learner.optimize = lambda *arguments, **options: None
        variants = {"bare": bare_passes(ctx)[0], "query": lambda: strategy.query(ctx)}
        seconds = interleaved(variants, 5, synthetic.DEVICE)
    rows = [Row("whole query", ratio(seconds["query"], seconds["bare"]), "<= 1.6")]
    return Finding("What does the query of STAR cost, in forward passes over the pool?", rows)


if __name__ == "__main__":
    main("star_query", measure)

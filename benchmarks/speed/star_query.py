"""How many forward passes over the pool does STAR's query cost, its training aside?"""

from __future__ import annotations

import tempfile
from pathlib import Path

from albench.benchmarks.speed import scene
from albench.benchmarks.speed.inference import bare_passes
from albench.benchmarks.speed.interleave import interleaved, ratio
from albench.benchmarks.speed.record import Finding, Row, main


def measure() -> Finding:
    """The query without its second training, in bare forward passes of the segmenter over the unlabeled slices.

    One pass of it predicts every slice alone, for the record's comparison with the propagated masks (Fig. 3b of the
    paper); what chooses is the rest.
    """
    strategy = scene.make_strategy("star")
    with tempfile.TemporaryDirectory() as folder:
        prepared = scene.made_up(200, 64, Path(folder))
        ctx = scene.make_round(strategy, prepared, scene.LAPTOP)
        learner = ctx.learner
        learner.optimize = lambda *arguments, **options: None
        unlabeled = ctx.pool.unlabeled
        ways = {
            "bare": bare_passes(ctx)[0],
            "alone": lambda: [None for _ in learner.predict(learner.slices, unlabeled)],
            "query": lambda: strategy.query(ctx),
        }
        seconds = interleaved(ways, 7, scene.DEVICE)
    chooses = [query - alone for query, alone in zip(seconds["query"], seconds["alone"], strict=True)]
    rows = [
        Row("propagation and choice", ratio(chooses, seconds["bare"]), "<= 1.6"),
        Row("whole query, with the pass for comparison", ratio(seconds["query"], seconds["bare"]), "<= 1.6"),
    ]
    return Finding("What does STAR's query cost, in forward passes over the pool?", rows)


if __name__ == "__main__":
    main("star_query", measure)

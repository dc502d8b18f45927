"""How fast is the mutual information of BAL, compared with a loop over numpy.histogram2d?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from albench.benchmarks.speed.interleave import Spread, interleaved
from albench.benchmarks.speed.record import Finding, Row, main
from albench.mutual_information import mutual_information, quantize

_CANDIDATES, _LABELED, _SIDE, _BINS = 1000, 800, 64, 20
_SAMPLE = 400  # pairs in the timed loop


def measure() -> Finding:
    """1,000 candidates x 800 labeled slices of 64 x 64 with 20 levels; the loop is timed on 400 pairs."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(_CANDIDATES, 8, 8)).repeat(8, 1).repeat(8, 2)
    images = (noise + 0.5 * rng.normal(size=(_CANDIDATES, _SIDE, _SIDE))).reshape(_CANDIDATES, -1)
    levels = quantize(torch.from_numpy(images), _BINS)
    pairs = rng.integers([_CANDIDATES, _LABELED], size=(_SAMPLE, 2))
    found = mutual_information(levels, levels[:_LABELED], _BINS).numpy()
    errors = [abs(found[i, j] - by_histogram2d(images[i], images[j])) for i, j in pairs]
    variants = {
        "ours": lambda: mutual_information(levels, levels[:_LABELED], _BINS),
        "loop": lambda: [by_histogram2d(images[i], images[j]) for i, j in pairs],
    }
    seconds = interleaved(variants, 5)
    ours = [s / (_CANDIDATES * _LABELED) for s in seconds["ours"]]
    loop = [s / _SAMPLE for s in seconds["loop"]]
    rows = [
        Row("speedup over histogram2d", Spread.of([b / a for a, b in zip(ours, loop, strict=True)]), ">= 30"),
        Row("largest difference", Spread.of([float(max(errors))]), "<= 1e-6", "nats"),
        Row("time per pair", Spread.of([s * 1e6 for s in ours]), unit="us", floor=_SIDE**2 / 4.5e9 * 1e6),
    ]
    return Finding(
        "How fast is the mutual information of BAL?",
        rows,
        {"floor": "one count per cycle at 4.5 GHz, on one core; counting uses no more"},
    )


def by_histogram2d(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Mutual information in nats of two images of the same shape."""
    joint = np.histogram2d(first, second, bins=_BINS)[0]
    probs = joint / joint.sum()
    expected = probs.sum(1, keepdims=True) * probs.sum(0, keepdims=True)
    seen = probs > 0
    return float((probs[seen] * np.log(probs[seen] / expected[seen])).sum())


if __name__ == "__main__":
    main("mutual_information", measure)

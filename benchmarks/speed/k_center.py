"""How fast is the greedy part of k-center, compared with scikit-activeml's CoreSet and with a full distance matrix?"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import cdist
from skactiveml.pool import CoreSet
from torch import Tensor

from albench.benchmarks.speed.floor import seconds_of_arithmetic
from albench.benchmarks.speed.interleave import Spread, interleaved, ratio
from albench.benchmarks.speed.record import Finding, Row, main
from albench.covering import k_center

_POOL, _DIMENSIONS, _LABELED, _PICKS = 7750, 1024, 800, 100


def measure() -> Finding:
    """100 of 7,750 embeddings of 1,024 numbers, 800 of them labeled; compared with the selection in float64."""
    features = torch.randn(_POOL, _DIMENSIONS, generator=torch.Generator().manual_seed(0))
    array, labels = features.numpy(), np.full(_POOL, np.nan)
    labels[:_LABELED] = 0
    variants = {
        "ours": lambda: k_center(features[_LABELED:], features[:_LABELED], _PICKS),
        "core-set": lambda: CoreSet(random_state=0).query(array, labels, batch_size=_PICKS),
        "matrix": lambda: by_matrix(features, _LABELED, _PICKS),
    }
    expected = in_float64(features, _LABELED, _PICKS)
    picks = variants["ours"]().tolist()
    seconds = interleaved(variants, 3)
    flops = 2 * (_POOL - _LABELED) * _LABELED * _DIMENSIONS
    floor = seconds_of_arithmetic(flops)
    rows = [
        Row("speedup over scikit-activeml", ratio(seconds["core-set"], seconds["ours"]), ">= 1.5"),
        Row("speedup over the n x n matrix", ratio(seconds["matrix"], seconds["ours"]), ">= 2.5"),
        Row(
            "selected slices that differ from float64",
            Spread.of([float(sum(map(int.__ne__, picks, expected)))]),
            "<= 0",
        ),
        Row("time", Spread.of(seconds["ours"]), unit="s", floor=floor),
    ]
    return Finding(
        "How fast is the greedy part of k-center?", rows, {"floor": "distances to the labeled slices, float32"}
    )


def by_matrix(features: Tensor, labeled: int, count: int) -> list[int]:
    """Selection by the full distance matrix, as in the baselines of STAR's authors; the first rows are labeled."""
    squares = features.square().sum(1)
    distances = (squares[:, None] + squares - 2 * features @ features.T).clamp_min_(0).sqrt_()
    nearest = distances[:, :labeled].amin(1)
    chosen: list[int] = []
    for _ in range(count):
        row = int(nearest.argmax())
        chosen.append(row - labeled)
        nearest = torch.minimum(nearest, distances[row])
    return chosen


def in_float64(features: Tensor, labeled: int, count: int) -> list[int]:
    """Selection by float64 distances of SciPy, one center after another."""
    points = features.double().numpy()
    candidates = points[labeled:]
    nearest = cdist(candidates, points[:labeled], "sqeuclidean").min(1)
    chosen: list[int] = []
    for _ in range(count):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, cdist(candidates, candidates[chosen[-1:]], "sqeuclidean")[:, 0])
        nearest[chosen] = -1
    return chosen


if __name__ == "__main__":
    main("k_center", measure)

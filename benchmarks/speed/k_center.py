"""How fast is the greedy part of k-center, compared with scikit-activeml's CoreSet and with a full distance matrix?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.floor import seconds_of_arithmetic
from albench.benchmarks.speed.interleave import Spread, interleaved, ratio
from albench.benchmarks.speed.record import Row, main
from albench.covering import k_center

_POOL, _DIMENSIONS, _LABELED, _PICKS = 7750, 1024, 800, 100


def measure() -> Iterator[Row]:
    """100 of 7,750 embeddings of 1,024 numbers, 800 of them labeled.

    On a CPU compared with other implementations, on a GPU with the selection of a CPU.
    """
    features = torch.randn(_POOL, _DIMENSIONS, generator=torch.Generator().manual_seed(0))
    yield from _on_gpu(features) if synthetic.DEVICE.type == "cuda" else _on_cpu(features)


def _on_gpu(features: Tensor) -> Iterator[Row]:
    ours = _ours(features.to(synthetic.DEVICE))
    yield _differing("selected slices that differ from those on a CPU", ours(), _ours(features)().tolist())
    seconds = interleaved({"ours": ours}, 9, synthetic.DEVICE)["ours"]
    yield Row("time", Spread.of([s * 1e3 for s in seconds]), "<= 15", "ms")


def _on_cpu(features: Tensor) -> Iterator[Row]:
    from skactiveml.pool import CoreSet  # a tool of developers, which a benchmark of a GPU does without

    array, labels = features.numpy(), np.full(_POOL, np.nan)
    labels[:_LABELED] = 0
    variants = {
        "ours": _ours(features),
        "core-set": lambda: CoreSet(random_state=0).query(array, labels, batch_size=_PICKS),
        "matrix": lambda: by_matrix(features, _LABELED, _PICKS),
    }
    expected = in_float64(features, _LABELED, _PICKS)
    yield _differing("selected slices that differ from float64", variants["ours"](), expected)
    seconds = interleaved(variants, 3)
    yield Row("speedup over scikit-activeml", ratio(seconds["core-set"], seconds["ours"]), ">= 1.5")
    yield Row("speedup over the n x n matrix", ratio(seconds["matrix"], seconds["ours"]), ">= 2.5")
    flops = 2 * (_POOL - _LABELED) * _LABELED * _DIMENSIONS
    floor, note = seconds_of_arithmetic(flops), "floor: distances to the labeled slices, float32"
    yield Row("time", Spread.of(seconds["ours"]), unit="s", floor=floor, note=note)


def _ours(features: Tensor) -> Callable[[], Tensor]:
    return lambda: k_center(features[_LABELED:], features[:_LABELED], _PICKS)


def _differing(name: str, picks: Tensor, expected: list[int]) -> Row:
    return Row(name, Spread.of([float(sum(map(int.__ne__, picks.tolist(), expected)))]), "<= 0")


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

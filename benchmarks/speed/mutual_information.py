"""How fast is the mutual information of BAL, compared with a loop over `numpy.histogram2d`?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from albench.benchmarks.speed import synthetic
from albench.benchmarks.speed.interleave import Spread, interleaved, ratio
from albench.benchmarks.speed.record import Row, main
from albench.mutual_information import mutual_information, quantize

_CANDIDATES, _LABELED, _SIDE, _BINS = 1000, 800, 64, 20
_SAMPLE = 400  # pairs in the timed loop
_PAIRS = {"ours": _CANDIDATES * _LABELED, "loop": _SAMPLE}


def measure() -> Iterator[Row]:
    """1,000 candidates x 800 labeled slices of 64 x 64 with 20 levels; the loop, on a CPU, is timed on 400 pairs."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(_CANDIDATES, _SIDE // 8, _SIDE // 8)).repeat(8, 1).repeat(8, 2)
    images = (noise + 0.5 * rng.normal(size=(_CANDIDATES, _SIDE, _SIDE))).reshape(_CANDIDATES, -1)
    levels = quantize(torch.from_numpy(images).to(synthetic.DEVICE), _BINS)
    pairs = rng.integers([_CANDIDATES, _LABELED], size=(_SAMPLE, 2))

    def ours() -> torch.Tensor:
        return mutual_information(levels, levels[:_LABELED], _BINS)

    def loop() -> list[float]:
        return [by_histogram2d(images[i], images[j]) for i, j in pairs]

    found = ours().cpu().numpy()
    errors = [abs(found[i, j] - value) for (i, j), value in zip(pairs, loop(), strict=True)]
    yield Row("largest difference", Spread.of([float(max(errors))]), "<= 1e-6", "nats")
    if synthetic.DEVICE.type == "cuda":
        seconds = interleaved({"ours": ours}, 9, synthetic.DEVICE)["ours"]
        yield Row(
            "time", Spread.of([s * 1e3 for s in seconds]), "<= 60", "ms", note=f"{_CANDIDATES} x {_LABELED} pairs"
        )
        return
    turns = interleaved({"ours": ours, "loop": loop}, 5)
    one, other = ([s / count for s in turns[name]] for name, count in _PAIRS.items())
    yield Row("speedup over histogram2d", ratio(other, one), ">= 30")
    yield Row(
        "time per pair",
        Spread.of([s * 1e6 for s in one]),
        unit="us",
        floor=_SIDE**2 / 4.5e9 * 1e6,
        note="floor: one count per cycle at 4.5 GHz, on one core; counting uses no more",
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

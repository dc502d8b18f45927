"""What STAR stores for figures in a round: a histogram of similarities, and attention maps (Fig. 3a)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from albench.acquisition import Scores
from albench.masks import Mask, PackedMasks
from albench.pool import Pool
from albench.strategies._star.attention_examples import Attention

Arrays = dict[str, NDArray[np.generic]]


def histogram(similarity: Scores, bins: int = 20) -> dict[str, list[float]]:
    """`similarity_counts` (bins,) and `similarity_edges` (bins + 1,)."""
    counts, edges = np.histogram(similarity, bins)
    return {"similarity_counts": counts.tolist(), "similarity_edges": edges.tolist()}


def attention_arrays(
    shown: Sequence[Attention], predicted: PackedMasks, memory: Mapping[int, Mask], pool: Pool
) -> Arrays:
    """Arrays that show slices and the labeled slices that they attend to, without the dataset.

    The i-th slice attends to n labeled slices and comes before them in arrays of n + 1 elements: `attention_i_ids` and
    `attention_i_positions` (n + 1,), `attention_i_images` (n + 1, h, w) uint8 of the first channel, and
    `attention_i_masks` (n + 1, h, w) uint8, predicted and labeled. `attention_i_weights` is (n, h', w'), and
    `attention_i_stride` (2,) the height and width in pixels of what a position of it covers.
    """
    arrays: Arrays = {}
    slices = pool.slices
    for index, attention in enumerate(shown):
        ids = np.array([attention.slice_id, *attention.memory])
        height, width = slices.valid[ids[0]]
        inside = np.s_[:, :height, :width]
        masks = np.stack([predicted[attention.slice_id], *(memory[int(i)] for i in attention.memory)])
        arrays |= {
            f"attention_{index}_ids": ids,
            f"attention_{index}_positions": slices.position[ids],
            f"attention_{index}_images": _gray(slices.read(ids)[:, 0][inside].astype(np.float32)),
            f"attention_{index}_masks": masks[inside],
            f"attention_{index}_weights": attention.weights,
            f"attention_{index}_stride": np.divide(slices.shape[1:], attention.weights.shape[1:]),
        }
    return arrays


def _gray(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Scale intensities from the lowest to the highest to 0 to 255."""
    low, high = images.min(), images.max()
    return np.rint((images - low) / max(high - low, 1e-6) * 255).astype(np.uint8)

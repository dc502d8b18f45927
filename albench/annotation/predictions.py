"""What the network of a finished round predicts, on the grids of the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from albench.annotation.segmentations import normalized_entropy
from albench.callback import NullCallback
from albench.data import Dataset, SliceStack
from albench.masks import Mask
from albench.probabilities import predicted_masks
from albench.resolve import ResolvedRun
from albench.run_session import Execution, RunSession
from albench.training.evaluation import to_own_grid
from albench.training.learner import Weights


@dataclass(frozen=True)
class PredictedSlice:
    """A slice as a network segments it.

    Attributes:
        position: as in `SliceStack`.
        mask: (h, w) label map on the grid of the file.
        uncertainty: (h, w) entropy there, 0 to 1 (`normalized_entropy`).
    """

    position: int
    mask: Mask
    uncertainty: NDArray[np.float32]


class TrainedNetwork:
    """A network with the weights of a finished round.

    Args:
        resolved: the run of the round.
        dataset: of the run.
        weights: at the end of the round.
        execution: how it is computed.
    """

    def __init__(self, resolved: ResolvedRun, dataset: Dataset, weights: Weights, execution: Execution) -> None:
        self._prepared, self._dataset = resolved.prepared, dataset
        session = RunSession(resolved, execution, NullCallback())
        session.network.load_state_dict(weights)
        self._predictor = session.predictor

    def predict(self, case: str, positions: Sequence[int] | None = None) -> Iterator[PredictedSlice]:
        """Segment slices of a volume, in their order; None are all. Raises AlbenchError."""
        slices = self._prepared.stack([case])
        ids = np.arange(len(slices)) if positions is None else np.array(positions, dtype=np.int64)
        sides = self._dataset.file_grid(case).slices[1:]
        for batch in self._predictor.predict(slices, ids):
            for index, probs in zip(batch.ids.tolist(), self._on_file(batch.probs, slices, sides), strict=True):
                inside = probs.new_ones(()).expand(1, *sides)
                mask = predicted_masks(probs[None], inside)[0].cpu().numpy()
                yield PredictedSlice(int(slices.position[index]), mask, normalized_entropy(probs[None])[0])

    @staticmethod
    def _on_file(probs: Tensor, slices: SliceStack, sides: tuple[int, int]) -> Iterator[Tensor]:
        """(k, h, w) probabilities of each slice, one after the other: the slices of a file may be large."""
        height, width = slices.valid[0].tolist()
        for one in probs[:, :, :height, :width]:
            yield one if (height, width) == sides else to_own_grid(one[None], sides)[0]

"""Named random streams: every random number of a run is determined by seed, dataset, purpose and round."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Streams:
    """The random streams of one run.

    The strategy is deliberately not part of the key. Strategies with the same seed share initial weights, batch order
    and random numbers, so that their results can be compared in pairs.

    Attributes:
        seed: of the run.
        dataset: the name under which its results are filed.
    """

    seed: int
    dataset: str

    def numpy(self, purpose: str, round_index: int = 0) -> np.random.Generator:
        """A new NumPy generator at the start of a stream."""
        return np.random.default_rng(self._sequence(purpose, round_index))

    def integer(self, purpose: str, round_index: int = 0) -> int:
        """A seed for torch, derived from a stream."""
        return int(self._sequence(purpose, round_index).generate_state(1, np.uint64)[0]) >> 1

    @contextmanager
    def torch(self, purpose: str, round_index: int = 0) -> Iterator[None]:
        """Seed torch's global generators from a stream for a block, and restore their state afterwards."""
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(self.integer(purpose, round_index))
            yield

    def _sequence(self, purpose: str, round_index: int) -> np.random.SeedSequence:
        names = [zlib.crc32(name.encode()) for name in (self.dataset, purpose)]
        return np.random.SeedSequence([self.seed, *names, round_index])

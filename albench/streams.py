"""Named random streams: every draw of a run comes from (seed, dataset, purpose, round), never from global state."""

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

    The strategy is deliberately not part of the key: strategies of one seed see the same initial weights, batch
    order and random draws, so that their curves can be compared pair by pair.
    """

    seed: int
    dataset: str

    def numpy(self, purpose: str, round_index: int = 0) -> np.random.Generator:
        """A fresh NumPy generator at the start of the stream."""
        return np.random.default_rng(self._sequence(purpose, round_index))

    def integer(self, purpose: str, round_index: int = 0) -> int:
        """A seed for torch at the start of the stream."""
        return int(self._sequence(purpose, round_index).generate_state(1, np.uint64)[0] >> 1)

    @contextmanager
    def torch(self, purpose: str, round_index: int = 0) -> Iterator[None]:
        """Run a block with torch's global generators seeded from the stream, and restore them afterwards."""
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(self.integer(purpose, round_index))
            yield

    def _sequence(self, purpose: str, round_index: int) -> np.random.SeedSequence:
        names = [zlib.crc32(name.encode()) for name in (self.dataset, purpose)]
        return np.random.SeedSequence([self.seed, *names, round_index])

"""A question: everything that a fresh process needs to ask a strategy for a query, and nothing that it must not see."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from albench.config import RunConfig, build
from albench.data import Prepared, Split
from albench.masks import Mask
from albench.registry import NETWORKS, STRATEGIES, find
from albench.resolve import ResolvedRun
from albench.runs.records import FitSummary
from albench.training.learner import Weights


@dataclass(frozen=True)
class Fitted:
    """Where a query starts, after the training of its round.

    Attributes:
        weights: of the network.
        rng: state of the random stream of the query; None at its beginning.
    """

    weights: Weights
    rng: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Question:
    """The state at the start of a query.

    Attributes:
        config: of the run.
        prepared: the data, without images and masks.
        split: cases of each part.
        index: of the round.
        labeled: {id: (h, w) mask} of the labeled slices.
        pseudo: {id: (h, w) mask} that the round trains on.
        previous: weights at the end of the round before; None in round 0.
        steps: optimizer steps of the query before.
        fitted: where the query starts; None to train the round again first.
        fit: the recorded trainings of `fit`.
        query: likewise of `query`.
        device: where to compute.
        threads: of the CPU.
        graphs: as in `Execution`.
    """

    config: RunConfig
    prepared: Prepared
    split: Split
    index: int
    labeled: Mapping[int, Mask]
    pseudo: Mapping[int, Mask]
    previous: Weights | None
    steps: int
    fitted: Fitted | None
    fit: Sequence[FitSummary]
    query: Sequence[FitSummary]
    device: str
    threads: int
    graphs: bool

    @property
    def recorded(self) -> Sequence[FitSummary]:
        """Trainings that are repeated."""
        return self.query if self.fitted else (*self.fit, *self.query)

    def resolved(self, folder: Path) -> ResolvedRun:
        """The run, with images and masks of a prepared set on disk. Raises AlbenchError."""
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "masks")}
        made = {}
        for section, group, choice in (
            ("strategy", STRATEGIES, self.config.strategy),
            ("network", NETWORKS, self.config.network),
        ):
            prefix, places = f"{section}.", self.config.files.items()
            files = {name.removeprefix(prefix): path for name, path in places if name.startswith(prefix)}
            made[section] = build(find(group, choice.spec), choice.options | files, section)
        return ResolvedRun(self.config, **made, prepared=replace(self.prepared, **arrays), split=self.split)


def without_arrays(prepared: Prepared) -> Prepared:
    """The same without images, and without masks and what is known of them."""
    nothing = np.empty(0, np.float16), np.empty(0, np.uint8)
    return replace(prepared, images=nothing[0], masks=nothing[1], own_grids=None, clipped=(), labels=(), read=())


def write(path: Path, value: object) -> None:
    """Pickle a question or an answer."""
    path.write_bytes(pickle.dumps(value))


def read(path: Path) -> Any:
    """What `write` wrote."""
    return pickle.loads(path.read_bytes())

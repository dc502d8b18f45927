"""Datasets that stand for others: those of a plan whose files are not there, and made-up slices to time a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from albench.data import Dataset, Prepared, Progress, PublishedSize, Volume, outlined
from albench.errors import DataError, MissingDataError
from albench.registry import options_of
from albench.resolve import Datasets


class StandIn(Dataset):
    """As many cases as a dataset has, with its defaults, but without their content.

    Args:
        real: the dataset.
        published: how many cases and slices.
    """

    real: Dataset
    published: PublishedSize

    def __init__(self, real: Dataset, published: PublishedSize) -> None:  # no fields, which would be options
        super().__init__(context=real.context)
        object.__setattr__(self, "real", real)
        object.__setattr__(self, "published", published)

    @property
    def name(self) -> str:  # type: ignore[override]  # of other classes the same for all objects
        """That of the dataset."""
        return self.real.name

    @property
    def title(self) -> str:
        """That of the dataset."""
        return self.real.title

    def hashed_options(self) -> dict[str, object]:
        """The options of the dataset; nothing is decided by data."""
        return options_of(self.real)

    def cases(self) -> Sequence[str]:
        """case-0000, case-0001, ..."""
        return [f"case-{index:04d}" for index in range(self.published.cases)]

    def load(self, case: str) -> Volume:
        """Raises DataError: there is nothing to read."""
        raise DataError(f"a plan must not read volumes, '{case}' of '{self.title}' stands for one that is not there")

    def defaults(self) -> Mapping[str, object]:
        """Those of the dataset."""
        return self.real.defaults()

    def outline(self) -> Prepared:
        """The prepared cases, without content."""
        return replace(outlined(self.cases(), self.published.counts, self.published.shape), context=self.context)


class PlannedDatasets(Datasets):
    """Datasets of a plan. Those whose files are not there, and that nobody says are elsewhere, have a stand-in."""

    def make(self, spec: str, settings: Mapping[str, object]) -> Dataset:
        """The dataset, or what stands for it. Raises MissingDataError if its size is not known."""
        data = super().make(spec, settings)
        try:
            data.cases()
        except MissingDataError:
            published = data.published_size()
            told = any(getattr(data, name) is not None for name in data.locations)
            if published is None or told:
                raise
            return StandIn(data, published)
        return data

    def prepare(
        self, spec: str, settings: Mapping[str, object], progress: Progress | None, workers: int | None
    ) -> Prepared:
        """As `Datasets.prepare`; of a stand-in, its outline."""
        data = self.make(spec, settings)
        return data.outline() if isinstance(data, StandIn) else super().prepare(spec, settings, progress, workers)


class MadeUpDatasets(Datasets):
    """Some made-up cases for any dataset, with slices of its size: smooth noise with a bright disk in most of them.

    Args:
        cases: their number.
        depth: slices of each.
        shape: channels, height and width of a slice.
    """

    def __init__(self, cases: int, depth: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self._size = PublishedSize(cases, cases * depth, shape, "made up")
        self._content: Prepared | None = None

    def make(self, spec: str, settings: Mapping[str, object]) -> Dataset:
        """What stands for the dataset."""
        return StandIn(super().make(spec, settings), self._size)

    def prepare(
        self, spec: str, settings: Mapping[str, object], progress: Progress | None, workers: int | None
    ) -> Prepared:
        """The made-up slices, the same for every dataset."""
        if self._content is None:
            data = self.make(spec, settings)
            assert isinstance(data, StandIn)
            self._content = _filled(data.outline())
        return self._content


def _filled(empty: Prepared) -> Prepared:
    """The same cases with content: noise of unit deviation, and a disk in the middle half of the slices of a case."""
    rng = np.random.default_rng(0)
    total, channels, height, width = empty.images.shape
    coarse = rng.normal(size=(total, channels, -(-height // 8), -(-width // 8))).astype(np.float16)
    images = coarse.repeat(8, 2).repeat(8, 3)[..., :height, :width]
    y, x = np.ogrid[:height, :width]
    disk = np.hypot((y - height / 2) / height, (x - width / 2) / width) < 0.2
    depth = total // len(empty.cases)
    inside = np.abs(np.arange(total) % depth - depth // 2) <= depth // 4
    masks = (inside[:, None, None] & disk).astype(np.uint8)
    return replace(empty, images=images + 3 * masks[:, None].astype(np.float16), masks=masks)

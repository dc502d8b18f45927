"""The pool: all training slices, with the masks that a strategy may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from albench.data import SliceStack
from albench.errors import StrategyError
from albench.masks import Ids, Mask


@dataclass(frozen=True)
class Pool:
    """All training slices, with the masks of the labeled ones and of no others.

    Attributes:
        slices: images, cases and positions; the id of a slice is its row.
    """

    slices: SliceStack
    _masks: Mapping[int, Mask] = field(default_factory=dict)
    _withheld: frozenset[int] = frozenset()

    @property
    def labeled(self) -> Ids:
        """Ids of the labeled slices, ascending."""
        return np.array(sorted(self._masks), dtype=np.int64)

    @property
    def unlabeled(self) -> Ids:
        """Ids of all other slices that can be queried, ascending: those of which any label is known."""
        others = np.setdiff1d(np.flatnonzero(self.slices.annotatable), self.labeled)
        return np.setdiff1d(others, list(self._withheld)) if self._withheld else others

    @property
    def undrawn(self) -> Ids:
        """Ids of the slices of which no label is known, ascending: they are never queried, but can be learned from."""
        return np.flatnonzero(~self.slices.annotatable)

    def mask(self, slice_id: int) -> Mask:
        """(h, w) mask of a labeled slice.

        Raises:
            StrategyError: the slice is unlabeled.
        """
        if slice_id not in self._masks:
            raise StrategyError(
                f"only masks of labeled slices can be read, {self.slices.label(slice_id)} is unlabeled: "
                "return its id from query() to have it annotated"
            )
        return self._masks[slice_id]

    def masks(self) -> dict[int, Mask]:
        """{id: (h, w) mask} of the labeled slices, by ascending id."""
        return {i: self._masks[i] for i in self.labeled.tolist()}

    def without(self, ids: Ids) -> Pool:
        """A pool in which these slices are neither labeled nor can be queried."""
        return replace(self, _withheld=self._withheld | set(np.asarray(ids).tolist()))

    def with_masks(self, masks: Mapping[int, Mask]) -> Pool:
        """A pool in which these slices are labeled too."""
        return replace(self, _masks={**self._masks, **masks})

"""The size of a public dataset as its publication states it, known before anybody has its files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedSize:
    """What a plan needs to know of a dataset that is not there. It is an estimate: cases count as equally deep.

    Attributes:
        cases: with a mask.
        slices: of all cases together.
        shape: channels, height and width of a slice on the working grid, with padding.
        source: where the numbers are from, in words that follow them.
        archive: bytes of the public archive; None if there is none, or its size is not known.
    """

    cases: int
    slices: int
    shape: tuple[int, int, int]
    source: str
    archive: int | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """(cases,) slices of each, as equal as whole numbers are."""
        return tuple(self.slices * (i + 1) // self.cases - self.slices * i // self.cases for i in range(self.cases))

"""The files of one volume: its images, and masks that may be of one organ each or of several raters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MaskFile:
    """A file with a mask.

    Attributes:
        path: of the file.
        organ: the one that its voxels above 0 belong to; None if its values say what they are.
        called: what its name says beside that of its image, where masks whose names differ in a number are of raters
            unless `data.organs` calls them organs: `vertebrae_L1`; empty if it says nothing.
    """

    path: Path
    organ: str | None = None
    called: str = ""


@dataclass(frozen=True)
class Files:
    """The files of one volume.

    Attributes:
        images: one file, or one for every channel.
        masks: on the grid of the images. Several of one organ, or of none, are those of several raters. Without any,
            all labels are unknown.
    """

    images: tuple[Path, ...]
    masks: tuple[MaskFile, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (*self.images, *(mask.path for mask in self.masks))

    @property
    def organs(self) -> tuple[str, ...]:
        """The organs that masks are of, each once, in their order."""
        return tuple(dict.fromkeys(mask.organ for mask in self.masks if mask.organ is not None))

    @property
    def raters(self) -> int:
        """The most masks of one organ, or of none."""
        organs = [mask.organ for mask in self.masks]
        return max((organs.count(organ) for organ in organs), default=0)

"""What the intensities of images mean: what is clipped, and whose percentiles, mean and deviation are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from albench.data.volume import Volume
from albench.errors import DataError
from albench.masks import foreground

Rule = Literal["volume", "mr", "ct", "none"]
Clip = tuple[float, float] | Literal["auto"] | None

_PERCENTILES = (0.5, 99.5)
_OUTSIDE = -1024.0  # Hounsfield units: at and below it, a scanner has measured nothing
_PADDING = 0.01  # part of all voxels, below which those with a value of padding may be measured
_NORMALIZED = 1000.0  # beyond it, half precision has steps of more than a half
_MANY = 0.1  # part of the target, from which it is told that it is clipped


@dataclass(frozen=True)
class Intensities:
    """How the intensities of a dataset are read.

    Attributes:
        window: lowest and highest intensity; None takes percentiles.
        clip: these percentiles; `auto` takes the 0.5th and the 99.5th, but does not clip an `mr` volume with padding,
            whose brightest parts are often the target. None does not clip.
        rule: whose percentiles, mean and deviation: of all voxels (`volume`), of those that are not padding with zeros
            or the lowest value (`mr`), or of those above -1024 Hounsfield units (`ct`). `none`: intensities are
            normalized already.
    """

    window: tuple[float, float] | None = None
    clip: Clip = "auto"
    rule: Rule = "volume"

    def body(self, channel: NDArray[np.float32]) -> NDArray[np.bool_] | None:
        """Whether each voxel counts, of any shape; None if all do, also where too few look like padding."""
        if self.rule == "ct":
            padding = channel <= _OUTSIDE
        elif self.rule == "mr":
            values = {0.0, float(channel.min())}
            many = [value for value in values if (channel == value).mean() >= _PADDING]
            padding = np.isin(channel, many)
        else:
            return None
        return None if padding.mean() < _PADDING or padding.all() else ~padding

    def bounds(self, channel: NDArray[np.float32], body: NDArray[np.bool_] | None) -> tuple[float, float]:
        """The lowest and the highest intensity that stay as they are."""
        if self.window:
            return self.window
        clip = self.clip
        if clip == "auto":
            clip = None if self.rule == "mr" and body is not None else _PERCENTILES
        if clip is None or self.rule == "none":
            return -np.inf, np.inf
        low, high = np.percentile(channel if body is None else channel[body], clip)
        return low, high

    def in_words(self) -> str:
        """What is made of them."""
        if self.rule == "none":
            return "as they are"
        of = {"mr": " of what is no padding", "ct": f" of what is above {_OUTSIDE:g}"}.get(self.rule, "")
        low, high = self.percentiles
        limits = (
            f"{self.window[0]:g} to {self.window[1]:g} (data.window)"
            if self.window
            else f"the {low:g}th and {high:g}th percentiles{of}"
        )
        return f"clipped to {limits}, then mean 0 and standard deviation 1 per case{of}"

    @property
    def percentiles(self) -> tuple[float, float]:
        """Those that clip, unless there is a window; all if none do."""
        return _PERCENTILES if self.clip == "auto" else self.clip or (0, 100)


@dataclass(frozen=True)
class ClippedTarget:
    """Voxels of the foreground of a case, or of several, that clipping makes equal.

    Attributes:
        voxels: of the foreground, on the grid of the file.
        below: the largest number in any channel that is below the lowest intensity.
        above: likewise above the highest.
        padded: whether a part of a volume does not count as body.
    """

    voxels: int
    below: int
    above: int
    padded: bool

    @classmethod
    def within(cls, volume: Volume, bounds: Sequence[tuple[float, float]], *, padded: bool) -> ClippedTarget:
        """Of one case as read, with the bounds of every channel."""
        target = foreground(volume.mask)
        inside = [(channel[target], *both) for channel, both in zip(volume.image, bounds, strict=True)]
        below = max(int((values < low).sum()) for values, low, _ in inside)
        above = max(int((values > high).sum()) for values, _, high in inside)
        return cls(int(target.sum()), below, above, padded)

    @classmethod
    def sum(cls, cases: Iterable[ClippedTarget]) -> ClippedTarget:
        """Of all together."""
        each = list(cases)
        return cls(
            sum(case.voxels for case in each),
            sum(case.below for case in each),
            sum(case.above for case in each),
            any(case.padded for case in each),
        )

    def in_words(self) -> str:
        """Both shares."""
        voxels = max(1, self.voxels)
        return f"{self.below / voxels:.2%} below, {self.above / voxels:.2%} above"


def check_normalized(volume: Volume, case: str) -> None:
    """Reject an image that is not normalized. Raises DataError."""
    low, high = float(volume.image.min()), float(volume.image.max())
    if max(-low, high) > _NORMALIZED:
        raise DataError(
            f"case '{case}' must be normalized with data.intensity=none, within -{_NORMALIZED:g} and {_NORMALIZED:g}, "
            f"it has {low:g} to {high:g}: choose volume, mr or ct"
        )


def clipping_warnings(title: str, intensities: Intensities, cases: Sequence[ClippedTarget]) -> Iterator[str]:
    """A sentence if much of the target of a dataset is clipped."""
    total = ClippedTarget.sum(cases)
    limits = [f"the {percentile:g}th percentile of their volume" for percentile in intensities.percentiles]
    if intensities.window:
        limits = [f"data.window={[*intensities.window]}"] * 2
    for number, where in ((total.below, f"below {limits[0]}"), (total.above, f"above {limits[1]}")):
        if total.voxels and number > _MANY * total.voxels:
            remedy = "data.clip=none, or data.window to a range"
            if intensities.window:
                remedy = "a wider data.window"
            elif intensities.rule == "volume":
                remedy = f"data.intensity=mr if they are MR images with padding, {remedy}"
            yield (
                f"the voxels of the target should keep their intensities, {number / total.voxels:.1%} of those of "
                f"dataset '{title}' are {where} and become equal: set {remedy} that contains them"
            )

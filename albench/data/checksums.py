"""Checksums of a prepared volume: of all of it, and of a sample that is compared whenever the set is opened."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Checksum:
    """What the slices of a volume must be, without padding.

    Attributes:
        content: SHA-256 of the image and then of the mask.
        place: slice and row of the sample, the row with the most pixels in the mask, which is not all zeros.
        sample: CRC-32 of this row of the image, channel by channel, and of the mask.
    """

    content: str
    place: tuple[int, int]
    sample: int

    @classmethod
    def of(cls, image: NDArray[np.float16], mask: NDArray[np.uint8]) -> Checksum:
        """From (d, c, h, w) slices of the image and (d, h, w) of the mask."""
        filled = np.count_nonzero(mask, axis=2)
        z, y = (int(i) for i in np.unravel_index(filled.argmax(), filled.shape))
        return cls(_content(image, mask), (z, y), _sample(image[z, :, y], mask[z, y]))

    def fits(self, images: NDArray[np.float16], masks: NDArray[np.uint8], valid: tuple[int, int]) -> bool:
        """Whether padded slices are unchanged, padding included.

        Args:
            images: (d, c, H, W) of the volume.
            masks: (d, H, W).
            valid: height and width without padding.
        """
        height, width = valid
        image, mask = images[..., :height, :width], masks[:, :height, :width]
        if self.content != _content(image, mask):
            return False
        fill = image.min()
        bottom_and_right = ((..., slice(height, None), slice(None)), (..., slice(height), slice(width, None)))
        return all((images[part] == fill).all() and not masks[part].any() for part in bottom_and_right)

    def sample_fits(self, images: NDArray[np.float16], masks: NDArray[np.uint8], width: int) -> bool:
        """Whether the sample is unchanged; `images` and `masks` as in `fits`, `width` without padding."""
        z, y = self.place
        return self.sample == _sample(images[z, :, y, :width], masks[z, y, :width])


def _content(image: NDArray[np.float16], mask: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256()
    for values in (image, mask):
        for plane in values:
            digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()


def _sample(image: NDArray[np.float16], mask: NDArray[np.uint8]) -> int:
    """Of (c, w) and (w,) pixels."""
    return zlib.crc32(np.ascontiguousarray(mask).data, zlib.crc32(np.ascontiguousarray(image).data))

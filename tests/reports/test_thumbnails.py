"""Thumbnails of slices: proportions, contours in the color of their class, hatches, and no contour at the border."""

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from albench.masks import UNKNOWN
from albench.reports.figures.imaging import ShownSlice
from albench.reports.thumbnails import SIDE, thumbnail

BLUE, RED = "#0000FF", "#FF0000"


def shown(truth, aspect=1.0, gray=0):
    return ShownSlice(np.full(truth.shape, gray, np.uint8), truth.astype(np.uint8), "x", 0, aspect)


def pixels(address):
    """(h, w, 3) values from 0 to 1 of an image in an address."""
    kind, _, text = address.partition(",")
    assert kind == "data:image/webp;base64"
    return imread(io.BytesIO(base64.b64decode(text)), format="webp")[..., :3] / 255


def mostly(picture, channel):
    """(h, w) whether a pixel is red, green or blue; the compression makes thin lines darker."""
    others = np.delete(picture, channel, axis=2).max(2)
    return (picture[..., channel] > 0.35) & (others < 0.6 * picture[..., channel])


@pytest.mark.parametrize(
    ("shape", "aspect", "size"),
    [
        ((40, 20), 1.0, (SIDE, SIDE // 2)),
        ((20, 20), 3.0, (SIDE, SIDE // 3)),
        ((20, 40), 0.5, (SIDE // 4, SIDE)),
        ((300, 300), 1.0, (SIDE, SIDE)),
        ((2, 400), 1.0, (1, SIDE)),
    ],
)
def test_a_thumbnail_has_the_proportions_of_the_slice_in_millimeters(shape, aspect, size):
    address, width, height = thumbnail(shown(np.zeros(shape), aspect), [BLUE])
    assert (height, width) == size == pixels(address).shape[:2]


def test_the_image_is_that_of_the_slice():
    image = np.repeat(np.arange(32, dtype=np.uint8) * 8, 32).reshape(32, 32)
    one = ShownSlice(image, np.zeros_like(image), "x", 0, 1.0)
    picture = pixels(thumbnail(one, [BLUE])[0])
    rows = np.interp((np.arange(SIDE) + 0.5) * 32 / SIDE - 0.5, np.arange(32), image[:, 0] / 255)
    assert np.abs(picture - rows[:, None, None]).max() < 0.05


def test_the_contour_of_every_class_has_its_color_and_lies_on_the_inner_border():
    truth = np.zeros((48, 48))
    truth[8:40, 8:40], truth[20:28, 20:28] = 1, 2
    picture = pixels(thumbnail(shown(truth), [BLUE, RED])[0])
    red, blue = mostly(picture, 0), mostly(picture, 2)
    assert blue[16, 20:76].all()  # the first row of the class, where a pixel of the slice is two of the thumbnail
    assert blue[20:76, 79].all()
    assert red[40, 43:53].all()
    assert not blue[:14].any()
    assert not blue[24:36, 24:72].any()
    assert not red[:38].any()


def test_a_class_that_fills_the_slice_or_is_not_in_it_has_no_contour():
    for value in (0, 1):
        picture = pixels(thumbnail(shown(np.full((32, 32), value)), [BLUE])[0])
        assert picture.max() < 0.05


def test_pixels_whose_label_is_unknown_are_hatched():
    truth = np.zeros((32, 32))
    truth[:16] = UNKNOWN
    picture = pixels(thumbnail(shown(truth), [BLUE])[0])
    assert 0.1 < (picture[:46] > 0.6).mean() < 0.4
    assert picture[50:].max() < 0.1

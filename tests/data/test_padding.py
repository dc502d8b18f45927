"""The share of padding, and the warning of a large one."""

import numpy as np
import pytest
from support.samples import invoke, write_pair

from albench.data import padding_share, padding_warnings
from albench.data.padding import padded_to

USUAL = np.array([[256, 216]] * 5)


def test_the_share_counts_every_slice():
    sides, counts = np.array([[16, 16], [8, 16]]), np.array([1, 3])
    assert padding_share(sides, counts, (16, 16)) == pytest.approx(3 * 0.5 / 4)
    assert padding_share(sides, counts, (16, 32)) == pytest.approx((0.5 + 3 * 0.75) / 4)


@pytest.mark.parametrize(("size", "padded"), [(None, (272, 224)), ((320, 240), (320, 240))])
def test_slices_are_padded_to_the_largest_on_the_grid_or_to_the_size(size, padded):
    assert padded_to(np.array([[256, 216], [257, 100]]), size) == padded


def sentences(sides: np.ndarray, size: tuple[int, int] | None = None) -> list[str]:
    names = [f"c{index}" for index in range(len(sides))]
    return list(padding_warnings("set", names, sides, np.full(len(sides), 6), size))


def test_the_case_that_enlarges_all_others_is_named_with_the_size_that_avoids_it():
    assert sentences(np.concatenate([USUAL, [[512, 432]]])) == [
        "at most half of all pixels should be padding, 62% of those of dataset 'set' are, because every slice is "
        "padded to 512 x 432 pixels for 'c5' (512 x 432): set data.size=[256,224] to scale all slices to what "
        "256 x 216 need, which is the median"
    ]


def test_two_cases_are_named_if_one_is_the_tallest_and_another_one_the_widest():
    (sentence,) = sentences(np.concatenate([USUAL, [[512, 100], [100, 432]]]))
    assert "for 'c5' (512 x 100) and 'c6' (100 x 432): set data.size=[256,224]" in sentence


def test_a_size_of_other_proportions_is_named_as_the_cause():
    (sentence,) = sentences(np.array([[512, 100]] * 3), (512, 512))
    assert "80% of those of dataset 'set' are" in sentence
    assert "for data.size: set data.size=[512,112]" in sentence


@pytest.mark.parametrize("sides", [[[256, 216]] * 5, [[40, 30], [48, 48], [33, 32]], [[4, 4]] * 3])
def test_padding_that_no_size_avoids_or_that_is_small_is_not_warned_of(sides):
    assert sentences(np.array(sides)) == []


def test_info_and_check_tell_the_cost(tmp_path, monkeypatch):
    monkeypatch.setenv("ALBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, side in (("a", 32), ("b", 32), ("c", 32), ("d", 64)):
        image = rng.normal(100, 20, (side, side, 4)).astype(np.float32)
        write_pair(tmp_path / "set", name, image, (image > 100).astype(np.uint8))
    said = "for 'd' (64 x 64): set data.size=[32,32] to scale all slices to what 32 x 32 need, which is the median"
    told = invoke("data", "info", "folder", "--data-root", tmp_path / "set")[1]
    assert "pixels 64 x 64, 1 channel, 56% of them padding" in told
    assert f"to 64 x 64 pixels {said}" in told
    assert "1 warning" in invoke("data", "check", tmp_path / "set")[1]
    told = invoke("data", "info", "folder", "--data-root", tmp_path / "set", "--set", "data.size=[32,32]")[1]
    assert "pixels 32 x 32, 1 channel, 0% of them padding" in told
    assert "warning" not in told

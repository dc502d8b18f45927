import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from albench.mutual_information import _histograms_by_count, _histograms_by_product, mutual_information, quantize


@given(st.integers(0, 1000), st.integers(2, 30))
@settings(max_examples=25, deadline=None)
def test_both_algorithms_for_joint_histograms_are_exact(seed, bins):
    rng = np.random.default_rng(seed)
    first, second = (torch.from_numpy(rng.integers(0, bins, (n, 5000)).astype(np.uint8)) for n in (2, 3))
    first[0] = second[0] = 1  # one cell holds more counts than half precision can tell apart
    edges = np.arange(bins + 1) - 0.5
    for histograms in (_histograms_by_count, _histograms_by_product):
        found = torch.full((2, 3, bins, bins), -1)
        for rows, columns, joint in histograms(first, second, bins):
            found[rows, columns] = joint
        for i, j in np.ndindex(2, 3):
            expected = np.histogram2d(first[i].numpy(), second[j].numpy(), bins=(edges, edges))[0]
            np.testing.assert_array_equal(found[i, j].numpy(), expected)


def test_mutual_information_does_not_depend_on_the_number_of_images():
    levels = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (150, 40)).astype(np.uint8))
    whole = mutual_information(levels[:2], levels, 3)
    parts = [mutual_information(levels[:2], part, 3) for part in levels.split(7)]
    assert torch.equal(whole, torch.cat(parts, 1))


@given(st.integers(0, 1000), st.integers(2, 30))
@settings(max_examples=25, deadline=None)
def test_mutual_information_equals_histogram2d_and_scikit_learn(seed, bins):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 400)), rng.normal(size=(3, 400)) ** 3
    second[0] += first[0]
    found = mutual_information(
        quantize(torch.from_numpy(first), bins), quantize(torch.from_numpy(second), bins), bins
    ).numpy()
    for i, one in enumerate(first):
        for j, two in enumerate(second):
            joint = np.histogram2d(one, two, bins=bins)[0]
            p = joint / joint.sum()
            outer = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
            seen = p > 0
            assert found[i, j] == pytest.approx((p[seen] * np.log(p[seen] / outer[seen])).sum(), abs=1e-6)
            assert found[i, j] == pytest.approx(mutual_info_score(None, None, contingency=joint), abs=1e-6)


def test_mutual_information_of_a_uniform_image_is_the_log_of_its_levels_with_itself_and_0_with_a_constant():
    uniform = torch.arange(400.0)[None] % 20
    constant = torch.full((1, 400), 3.0)
    levels = quantize(torch.cat([uniform, constant]), 20)
    information = mutual_information(levels, levels, 20)
    assert information[0, 0].item() == pytest.approx(np.log(20), abs=1e-9)
    assert information[0, 1].item() == information[1, 1].item() == 0

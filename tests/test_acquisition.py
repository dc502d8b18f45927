import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy

from albench.acquisition import binary_entropy, highest, margin, mean_over_valid


def test_entropy_of_one_half_is_ln_2_and_of_certainty_is_0():
    assert binary_entropy(torch.tensor([0.5])).item() == pytest.approx(np.log(2))
    assert binary_entropy(torch.tensor([0.0, 1.0])).tolist() == [0.0, 0.0]


def test_entropy_equals_scipy():
    probs = np.random.default_rng(0).random(100)
    expected = scipy_entropy(np.stack([probs, 1 - probs]))
    np.testing.assert_allclose(binary_entropy(torch.from_numpy(probs)).numpy(), expected, rtol=1e-12)


def test_margin_is_0_at_one_half_and_1_when_certain():
    assert margin(torch.tensor([0.5, 0.0, 1.0, 0.75])).tolist() == [0.0, 1.0, 1.0, 0.5]


def test_mean_margin_ranks_as_mean_least_confidence():
    probs = torch.from_numpy(np.random.default_rng(1).random((30, 8, 8)))
    confidence = torch.maximum(probs, 1 - probs).mean((1, 2))
    assert torch.equal(margin(probs).mean((1, 2)).argsort(), confidence.argsort())


def test_mean_over_valid_ignores_padding():
    values = torch.tensor([[[1.0, 100.0], [3.0, 100.0]]])
    valid = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert mean_over_valid(values, valid).tolist() == [2.0]


def test_highest_breaks_ties_by_the_lower_id():
    ids = np.array([7, 3, 9, 1])
    assert highest(np.array([1.0, 1.0, 2.0, 1.0]), ids, 3).tolist() == [9, 1, 3]

import pytest
import torch
from monai.losses import FocalLoss

from albench.training.losses import focal


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 8, 8, generator=generator)
    return logits, (torch.rand(3, 1, 8, 8, generator=generator) > 0.7).float(), torch.ones(3, 1, 8, 8)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_scalar_focal_is_alpha_times_monai(batch, gamma):
    logits, target, valid = batch
    expected = 0.6 * FocalLoss(gamma=gamma)(logits, target)
    torch.testing.assert_close(focal(logits, target, valid, alpha=0.6, gamma=gamma), expected)


def test_balanced_focal_is_monai_with_alpha(batch):
    logits, target, valid = batch
    expected = FocalLoss(gamma=2.0, alpha=0.6)(logits, target)
    torch.testing.assert_close(focal(logits, target, valid, alpha_mode="balanced"), expected)


def test_focal_ignores_padding(batch):
    logits, target, valid = batch
    valid[..., 4:] = 0
    wild = logits.clone()
    wild[..., 4:] = 50
    assert focal(wild, target, valid) == focal(logits, target, valid)
    torch.testing.assert_close(focal(logits, target, valid), focal(logits[..., :4], target[..., :4], valid[..., :4]))

import pytest
import torch
from monai.losses import DiceLoss, FocalLoss

from albench.training.losses import focal, soft_dice


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


@pytest.fixture
def classes():
    """Logits of three classes and the background, labels and known pixels."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 4, 8, 8, generator=generator)
    return logits, torch.randint(4, (3, 1, 8, 8), generator=generator).float(), torch.ones(3, 1, 8, 8)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_of_several_classes_is_that_of_monai(classes, gamma):
    logits, target, known = classes
    # MONAI averages over the channels too, of which all but one are 0
    expected = 0.6 * 4 * FocalLoss(gamma=gamma, use_softmax=True, to_onehot_y=True)(logits, target)
    torch.testing.assert_close(focal(logits, target, known, alpha=0.6, gamma=gamma), expected)


def test_balanced_focal_weights_all_classes_alike_against_the_background(classes):
    logits, target, known = classes
    weights = torch.where(target > 0, 0.7, 0.3)
    each = torch.stack([focal(logits, target, weights * (target == label), alpha=1.0) for label in range(4)])
    sizes = torch.stack([(weights * (target == label)).sum() for label in range(4)])
    expected = (each * sizes).sum() / known.sum()
    torch.testing.assert_close(focal(logits, target, known, alpha=0.7, alpha_mode="balanced"), expected)


def test_dice_loss_of_several_classes_is_that_of_monai(classes):
    logits, target, known = classes
    loss = DiceLoss(softmax=True, to_onehot_y=True, include_background=False, batch=True, smooth_nr=0, smooth_dr=0)
    torch.testing.assert_close(soft_dice(logits, target, known), loss(logits, target))


def test_two_classes_of_which_one_never_occurs_have_the_focal_loss_of_one(batch):
    logits, target, known = batch
    never = torch.full_like(logits, -torch.inf)
    several = torch.cat([torch.zeros_like(logits), logits, never], 1)
    expected = focal(logits, target, known)
    torch.testing.assert_close(focal(several, target, known), expected)


@pytest.mark.parametrize("loss", [focal, soft_dice])
@pytest.mark.parametrize("which", ["batch", "classes"])
def test_labels_and_predictions_of_unknown_pixels_change_no_loss(loss, which, request):
    logits, target, known = request.getfixturevalue(which)
    known[..., 2:5] = 0
    wild, other = logits.clone(), target.clone()
    wild[..., 2:5], other[..., 2:5] = 7, 1 - target[..., 2:5].clamp_max(1)
    assert loss(wild, other, known) == loss(logits, target, known)

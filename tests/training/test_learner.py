import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.learners import OPTIONS, equal, evaluation_of, examples, make_learner, padded, supervised
from torch import nn

from albench.errors import StrategyError
from albench.training.learner import Learner, TrainingLog
from albench.training.stopping import Validation


def optimize_with(learner: Learner, val_losses: list[float], val_dice: list[float] | None = None, **more) -> tuple:
    """Train with given results of validation; returns the summary and the weights at every validation."""
    after, left = [], iter(zip(val_losses, val_dice or [0.0] * len(val_losses), strict=True))

    def validate() -> Validation:
        after.append(learner.weights())
        return Validation(*next(left))

    def losses(parts, epoch):
        for rows in parts:
            yield learner.network(learner.batch(learner.slices, rows, padded().masks(rows)).images).square().mean()

    return learner.optimize(losses, 7, validate, purpose="made-up", lr=1e-3, **more), after


def focal_by_hand(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-logits))
    p_true = np.where(truth == 1, p, 1 - p)
    return -0.6 * (1 - p_true) ** 2 * np.log(p_true)


def test_the_weights_of_the_lowest_validation_loss_are_kept():
    learner = make_learner(epochs=4, patience=9)
    fit, after = optimize_with(learner, [3.0, 1.0, 2.0, 1.5])
    assert (fit.epochs, fit.best_epoch, fit.val_loss, fit.steps) == (4, 2, 1.0, 12)
    assert equal(learner.weights(), after[1])
    assert not equal(after[1], after[3])
    assert [training.summary for training in learner.log] == [fit]


def test_the_log_holds_the_seconds_of_every_epoch(monkeypatch):
    learner, now = make_learner(epochs=4, patience=9), iter([0.0, 1.0, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    fit, _ = optimize_with(learner, [3.0, 1.0, 2.0, 1.5])
    assert learner.log == [TrainingLog(fit, (1.0, 2.0, 4.0, 8.0))]


def test_trainings_are_logged_in_order():
    learner = make_learner(epochs=1)
    summaries = [learner.fit(examples(), supervised), optimize_with(learner, [1.0])[0]]
    log = learner.log
    assert [training.summary for training in log] == summaries
    assert [summary.purpose for summary in summaries] == ["training", "made-up"]
    assert all(training.made and len(training.epoch_seconds) == 1 for training in log)


def test_fit_keeps_the_weights_with_the_lowest_reported_validation_loss():
    losses, after = [], []
    learner = make_learner(epochs=6, patience=9, lr=0.03)

    def report(epoch, epochs, loss, val_loss):
        assert (epoch, epochs) == (len(losses) + 1, 6)
        losses.append(val_loss)
        after.append(learner.weights())

    learner._on_epoch = report
    fit = learner.fit(examples(), supervised)
    best = int(np.argmin(losses))
    assert 0 <= best < 5, "the learning rate must be so high that the last epoch is not the best"
    assert (fit.best_epoch, fit.val_loss) == (best + 1, losses[best])
    assert equal(learner.weights(), after[best])
    assert learner.validate().loss == losses[best]


@pytest.mark.parametrize(
    ("losses", "epochs", "best"),
    [([1, 2, 2, 2, 0], 4, 1), ([1, 1, 1, 1, 0], 4, 1), ([4, 5, 5, 3, 5, 5, 5, 0], 7, 4), ([9, 8, 7, 6, 5], 5, 5)],
)
def test_training_stops_after_patience_epochs_without_a_lower_validation_loss(losses, epochs, best):
    learner = make_learner(epochs=len(losses), patience=3)
    fit, _ = optimize_with(learner, [float(loss) for loss in losses])
    assert (fit.epochs, fit.best_epoch) == (epochs, best)


def test_by_dice_the_highest_is_kept_and_the_lower_loss_of_equal_ones():
    learner = make_learner(epochs=5, patience=9, stop="val_dice")
    fit, after = optimize_with(learner, [0.1, 0.2, 0.9, 0.8, 0.85, 0.0], [0.0, 0.0, 0.6, 0.6, 0.6, 0.5])
    assert (fit.best_epoch, fit.best_step, fit.val_loss, fit.val_dice) == (3, 9, 0.8, 0.6)
    assert equal(learner.weights(), after[3])


def test_by_dice_the_starting_weights_can_be_kept():
    learner = make_learner(epochs=3, patience=9, stop="val_dice")
    fit, after = optimize_with(learner, [0.1, 0.05, 0.05, 0.05], [0.7, 0.6, 0.5, 0.4])
    assert (fit.best_epoch, fit.best_step, fit.steps, fit.val_dice) == (0, 0, 9, 0.7)
    assert equal(learner.weights(), after[0])


@pytest.mark.parametrize(
    ("stop", "losses", "dice"),
    [
        ("val_loss", [3.0, 1.0, 2.0, 4.0, 4.0], None),
        ("val_dice", [0.1, 0.2, 0.9, 0.8, 0.85, 0.8], [0.0, 0.0, 0.6, 0.5, 0.5, 0.5]),
        ("val_dice", [0.1, 0.05, 0.05, 0.05], [0.7, 0.6, 0.5, 0.4]),
    ],
)
def test_a_recorded_training_is_repeated_whatever_validation_says(stop, losses, dice):
    first, second = (make_learner(epochs=9, patience=3, stop=stop) for _ in range(2))
    fit, _ = optimize_with(first, losses, dice)
    second._recorded = [fit]
    again, after = optimize_with(second, [9.0 - i for i in range(10)], [i / 10 for i in range(10)])
    assert again == fit
    assert equal(second.weights(), first.weights())
    assert equal(second.weights(), after[-1]) == (fit.best_epoch == fit.epochs), "otherwise nothing is shown"


def test_while_nothing_is_segmented_a_falling_loss_is_progress():
    fit, _ = optimize_with(make_learner(epochs=9, patience=2, stop="val_dice"), [9, 8, 7, 6, 7, 7], [0.0] * 6)
    assert (fit.epochs, fit.best_epoch) == (5, 3)


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({"patience": 2}, 3),  # epochs of 3 steps, the best is the first one
        ({"patience": 2, "patience_steps": 8}, 4),
        ({"patience": 4, "patience_steps": 8}, 5),  # whichever is longer
        ({"patience": 2, "min_steps": 17}, 6),
        ({"patience": 2, "epochs": 2}, 2),
        ({"patience": 2, "epochs": 2, "min_steps": 10}, 4),  # a floor under epochs, too
    ],
)
def test_patience_is_the_longer_of_epochs_and_steps_over_a_floor(settings, epochs):
    fit, _ = optimize_with(make_learner(**{"epochs": 10} | settings), [1.0] + [2.0] * 9)
    assert (fit.epochs, fit.best_epoch, fit.steps) == (epochs, 1, 3 * epochs)


def test_validation_waits_for_its_steps_and_follows_the_last_epoch():
    learner = make_learner(epochs=5, patience=9, val_steps=5)
    fit, after = optimize_with(learner, [3.0, 2.0, 1.0])  # after epochs 2, 4 and 5
    assert (fit.best_epoch, fit.best_step) == (5, 15)
    assert equal(learner.weights(), after[2])


def test_a_fixed_number_of_steps_needs_no_validation_and_keeps_the_last_weights():
    learner = make_learner(stop="steps", steps=5, epochs=1)
    learner.validation = None
    fit, after = optimize_with(learner, [])
    assert (fit.steps, fit.epochs, fit.best_step, fit.val_loss, fit.val_dice, after) == (5, 2, 5, None, None, [])
    other = make_learner(stop="steps", steps=6)
    optimize_with(other, [])
    assert not equal(learner.weights(), other.weights())


def test_allowed_steps_replace_every_other_number_and_the_best_weights_are_kept():
    learner = make_learner(epochs=1, patience=1)
    learner.allow(8)
    fit, after = optimize_with(learner, [3.0, 1.0, 2.0])
    assert (fit.steps, fit.epochs, fit.best_epoch) == (8, 3, 2)
    assert equal(learner.weights(), after[1])
    learner.check_spent()


def test_trainings_share_the_allowed_steps():
    learner = make_learner(stop="steps")
    learner.allow(7)
    assert optimize_with(learner, [], share=0.5)[0].steps == 3
    with pytest.raises(
        StrategyError, match=r"fit must take all 7 optimizer steps that are left for it, 4 were not taken"
    ):
        learner.check_spent()
    assert optimize_with(learner, [])[0].steps == 4
    learner.check_spent()
    with pytest.raises(
        StrategyError, match=r"must take at least one of the 7 optimizer steps of its round, 0 are left"
    ):
        optimize_with(learner, [])


def test_slices_are_counted_as_often_as_training_reads_them():
    learner = make_learner(epochs=2)

    def both(model, batch, unlabeled, epoch):
        next(unlabeled)
        return supervised(model, batch, unlabeled, epoch)

    labeled = 2 * 7
    assert learner.fit(examples(), supervised).slices == labeled
    assert learner.fit(examples(), both).slices == labeled + 3 + 3 + 1 + 3 + 3 + 1


def test_notes_of_a_training_are_in_its_summary():
    assert make_learner().fit(examples(), supervised, notes=lambda: {"weight": 0.5}).notes == {"weight": 0.5}


def test_validation_dice_is_that_of_the_evaluation():
    learner = make_learner(epochs=8, lr=0.02)
    learner.fit(examples(), lambda model, batch, unlabeled, epoch: -model(batch.images).mean())
    found = learner.validate().dice
    assert found == pytest.approx(evaluation_of(learner, padded()).metrics().dice_volume, abs=1e-6)
    assert 0.1 < found < 0.99


def test_a_validation_loss_of_nan_is_never_the_best():
    fit, _ = optimize_with(make_learner(epochs=3, patience=9), [math.nan, 2.0, math.nan])
    assert (fit.epochs, fit.best_epoch, fit.val_loss) == (3, 2, 2.0)


def test_a_validation_loss_that_is_never_finite_is_an_error():
    with pytest.raises(
        StrategyError,
        match="loss of made-up must be finite at least once, it was not in 3 epochs: lower",
    ):
        optimize_with(make_learner(epochs=3, patience=9), [math.nan] * 3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_an_error(value):
    with pytest.raises(StrategyError, match=rf"loss of training must be finite, it is {value} in epoch 1: lower the"):
        make_learner().fit(examples(), lambda model, batch, unlabeled, epoch: supervised(model, batch, 0, 0) * value)


def test_training_without_examples_is_an_error():
    with pytest.raises(StrategyError, match="training needs at least one labeled slice, got none"):
        make_learner().fit({}, supervised)


def test_a_network_is_in_training_mode_only_during_training():
    learner, seen = make_learner(), []
    assert not learner.network.training
    learner.fit(examples(), lambda model, *rest: (seen.append(model.training), supervised(model, *rest))[1])
    assert seen == [True] * 6
    assert not any(module.training for module in learner.network.modules())


def test_validation_restores_the_training_mode_of_dropout_and_batch_norm():
    learner = make_learner(epochs=3, patience=9)
    modes = []

    def loss(model, batch, unlabeled, epoch):
        modes.append({module.training for module in model.modules()})
        return supervised(model, batch, unlabeled, epoch)

    learner.fit(examples(), loss)
    assert modes == [{True}] * 9


def test_fit_is_determined_by_seed_and_round():
    def trained(**streams: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(len(streams))  # the global state must not matter
        learner = make_learner(**streams)
        learner.fit(examples(), supervised)
        return learner.weights()

    assert equal(trained(), trained(seed=0, round_index=0))
    assert not equal(trained(), trained(round_index=1))
    assert not equal(trained(), trained(seed=1))


def test_the_order_of_batches_depends_on_ids_seed_and_round_only():
    def order(loss_draws: int = 0, network: nn.Module | None = None, **streams: int) -> list[list[float]]:
        learner = make_learner(network, augment=False, **streams)
        seen = []

        def loss(model, batch, unlabeled, epoch):
            torch.rand(loss_draws)
            seen.append(batch.images.mean((1, 2, 3)).tolist())
            return supervised(model, batch, unlabeled, epoch)

        learner.fit(dict(reversed(examples().items())), loss)
        return seen

    first = order()
    assert first == order(loss_draws=5, network=nn.Conv2d(1, 1, 1))
    assert first != order(round_index=1)
    assert first != order(seed=1)
    means = padded().slices.images.astype(np.float32).mean((1, 2, 3))
    for epoch in (first[:3], first[3:]):
        assert sorted(mean for batch in epoch for mean in batch) == pytest.approx(sorted(means), abs=1e-6)
    assert first[:3] != first[3:]


def test_random_numbers_of_a_loss_depend_on_seed_and_round():
    def drawn(**streams: int) -> list[float]:
        draws = []

        def loss(model, batch, unlabeled, epoch):
            draws.append(float(torch.rand(())))
            return supervised(model, batch, unlabeled, epoch)

        make_learner(augment=False, options=replace(OPTIONS, dropout=0), **streams).fit(examples(), loss)
        return draws

    assert drawn() == drawn()
    assert not set(drawn()) & set(drawn(round_index=1))
    assert not set(drawn()) & set(drawn(seed=1))


def test_the_first_step_is_that_of_adam_with_the_learning_rate_of_the_learner():
    learner = make_learner(options=replace(OPTIONS, dropout=0), epochs=1, batch_size=7, augment=False, lr=0.01)
    learner.lr = 0.003
    twin = copy.deepcopy(learner.network).train()
    batches = []

    def loss(model, batch, unlabeled, epoch):
        batches.append(batch)
        return supervised(model, batch, unlabeled, epoch)

    learner.fit(examples(), loss)
    (batch,) = batches
    bce = nn.functional.binary_cross_entropy_with_logits(twin(batch.images), batch.masks, reduction="none")
    focal = 0.6 * (1 - (-bce).exp()) ** 2 * bce
    (focal[batch.valid == 1].mean()).backward()
    trained = dict(learner.network.named_parameters())
    for name, parameter in twin.named_parameters():
        gradient = parameter.grad
        certain = gradient.abs() > 1e-6  # the sign of the others is rounding error
        expected = parameter - 0.003 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(trained[name][certain], expected[certain], rtol=1e-3, atol=1e-6)


def test_validation_loss_is_the_mean_over_all_valid_pixels_of_all_slices():
    learner, labeled = make_learner(), padded()
    learner.network.eval()
    with torch.no_grad():
        logits = learner.network(torch.from_numpy(labeled.slices.images).float())[:, 0].double().numpy()
    pixels = []
    for row, (height, width) in enumerate(labeled.slices.valid):
        truth = labeled.masks(np.array([row]))[0]
        pixels.append(focal_by_hand(logits[row], truth)[:height, :width].ravel())
    assert learner.validate().loss == pytest.approx(np.concatenate(pixels).mean(), rel=1e-5)


def test_validation_loss_does_not_depend_on_the_batch_size():
    losses = [make_learner(batch_size=size).validate().loss for size in (1, 2, 3, 100)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-5)


def test_unlabeled_batches_cover_the_pool_once_and_are_read_on_request(monkeypatch):
    learner = make_learner(epochs=1, augment=False)
    pulled, read = [], []
    images_of = learner.images
    monkeypatch.setattr(
        learner, "images", lambda slices, ids, *place: read.append(len(ids)) or images_of(slices, ids, *place)
    )

    def loss(model, batch, unlabeled, epoch):
        pulled.append(next(unlabeled).images)
        return supervised(model, batch, unlabeled, epoch)

    learner.fit(examples(3), loss)
    assert read[:2] == [3, 3]
    assert len(pulled) == 1
    learner.training = replace(learner.training, epochs=3)
    pulled.clear()
    learner.fit(examples(3), loss)
    means = torch.cat(pulled).mean((1, 2, 3)).sort().values
    pool = torch.from_numpy(padded().slices.images).float().mean((1, 2, 3)).sort().values
    torch.testing.assert_close(means, pool)


def test_weights_are_a_copy():
    learner = make_learner()
    before = learner.weights()
    kept = {key: value.clone() for key, value in before.items()}
    learner.fit(examples(), supervised)
    assert equal(before, kept)
    assert not equal(before, learner.weights())


def test_weights_are_exchanged_with_a_snapshot_and_back_also_where_layers_share_them():
    layer = nn.Conv2d(1, 1, 1)
    learner = make_learner(nn.Sequential(layer, nn.BatchNorm2d(1), layer))
    snapshot = learner.snapshot()
    before = learner.weights()
    learner.fit(examples(), supervised)
    trained = learner.weights()
    assert not equal(trained, before)
    learner.exchange(snapshot)
    assert equal(learner.weights(), before)
    learner.exchange(snapshot)
    assert equal(learner.weights(), trained)

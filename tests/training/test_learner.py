import copy
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from albench.acquisition import mean_over_valid
from albench.config import Network, Training
from albench.data import LabeledStack
from albench.data.prepared import Prepared
from albench.errors import StrategyError
from albench.strategy import score_slices
from albench.streams import Streams
from albench.training.device_cache import DeviceCache
from albench.training.learner import Learner, concat_batches
from albench.training.networks import Segmenter, Task

CPU = torch.device("cpu")
OPTIONS = Network(backbone="resnet18", width=0.125, decoder_width=4, stem_stride=2)


def padded() -> LabeledStack:
    """Seven slices of two cases of different size on one grid of 32 x 48."""
    rng = np.random.default_rng(0)
    counts, valid = np.array([3, 4]), np.array([[20, 33], [32, 48]])
    images = rng.normal(size=(7, 1, 32, 48)).astype(np.float16)
    masks = np.zeros((7, 32, 48), np.uint8)
    for row, (height, width) in enumerate(np.repeat(valid, counts, axis=0)):
        masks[row, :height, :width] = rng.random((height, width)) > 0.6
    prepared = Prepared("key", images, masks, ("a", "b"), counts, valid, np.ones((2, 3)), ("a", "b"))
    return prepared.labeled_stack(("a", "b"))


def make_learner(
    network: nn.Module | None = None, *, options: Network = OPTIONS, seed: int = 0, round_index: int = 0, **settings
) -> Learner:
    """A learner whose pool and validation set are the padded slices; batches of three leave a smaller last one."""
    streams, labeled = Streams(seed, "padded"), padded()
    with Streams(0, "padded").torch("weights"):
        network = network or Segmenter(Task(1, (32, 48), options))
    training = Training(**{"epochs": 2, "batch_size": 3, "lr": 1e-3} | settings)
    return Learner(
        network, labeled.slices, labeled, training, streams, round_index=round_index, lr=training.lr, device=CPU
    )


def examples(count: int = 7) -> dict[int, np.ndarray]:
    masks = padded().masks(np.arange(count))
    return dict(enumerate(masks))


def supervised(model, batch, unlabeled, epoch):
    return batch.supervised(model(batch.images))


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def optimize_with(learner: Learner, val_losses: list[float], **more) -> tuple:
    """Train with made-up validation losses; the fit and the weights after every epoch."""
    after, left = [], iter(val_losses)

    def validation_loss() -> float:
        after.append(learner.weights())
        return next(left)

    def step(rows, epoch):
        return learner.network(learner.batch(learner.slices, rows, padded().masks(rows)).images).square().mean()

    return learner.optimize(step, 7, validation_loss, purpose="made-up", lr=1e-3, **more), after


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
    assert learner.log == [fit]


def test_fit_keeps_the_best_of_what_it_reports():
    losses, after = [], []
    learner = make_learner(epochs=6, patience=9, lr=0.03)

    def report(epoch, epochs, loss, val_loss):
        assert (epoch, epochs) == (len(losses) + 1, 6)
        losses.append(val_loss)
        after.append(learner.weights())

    learner._on_epoch = report
    fit = learner.fit(examples(), supervised)
    best = int(np.argmin(losses))
    assert 0 <= best < 5, "the learning rate must be high enough for a last epoch that is not the best"
    assert (fit.best_epoch, fit.val_loss) == (best + 1, losses[best])
    assert equal(learner.weights(), after[best])
    assert learner.validation_loss() == losses[best]


@pytest.mark.parametrize(
    ("losses", "epochs", "best"),
    [([1, 2, 2, 2, 0], 4, 1), ([1, 1, 1, 1, 0], 4, 1), ([4, 5, 5, 3, 5, 5, 5, 0], 7, 4), ([9, 8, 7, 6, 5], 5, 5)],
)
def test_training_stops_after_patience_epochs_without_a_lower_validation_loss(losses, epochs, best):
    learner = make_learner(epochs=len(losses), patience=3)
    fit, _ = optimize_with(learner, [float(loss) for loss in losses])
    assert (fit.epochs, fit.best_epoch) == (epochs, best)


def test_a_validation_loss_that_is_nan_for_a_while_is_never_the_best():
    fit, _ = optimize_with(make_learner(epochs=3, patience=9), [math.nan, 2.0, math.nan])
    assert (fit.epochs, fit.best_epoch, fit.val_loss) == (3, 2, 2.0)


def test_a_validation_loss_that_never_is_finite_is_refused():
    with pytest.raises(StrategyError, match="the validation loss of made-up must be finite at least once, it never"):
        optimize_with(make_learner(epochs=3, patience=9), [math.nan] * 3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_refused(value):
    with pytest.raises(StrategyError, match=rf"loss of training must be finite, it is {value} in epoch 1: lower the"):
        make_learner().fit(examples(), lambda model, batch, unlabeled, epoch: supervised(model, batch, 0, 0) * value)


def test_training_on_nothing_is_refused():
    with pytest.raises(StrategyError, match="training needs at least one labeled slice, got none"):
        make_learner().fit({}, supervised)


def test_modules_are_put_back_in_the_mode_they_were_in():
    learner = make_learner()
    learner.network.train()
    learner.network.encoder.layer2.eval()
    before = [module.training for module in learner.network.modules()]
    assert len(set(before)) == 2
    seen = []

    def modes() -> list[bool]:
        return [module.training for module in learner.network.modules()]

    ids = np.arange(7)
    learner.network.decoder.register_forward_hook(lambda *_: seen.append(any(modes())))
    for stream in (
        learner.predict(learner.slices, ids),
        learner.predict_mc(learner.slices, ids, 2),
    ):
        for _ in stream:
            assert modes() == before
        assert modes() == before
    learner.embed(learner.slices, ids)
    learner.validation_loss()
    assert modes() == before
    assert seen == [False] * 3 + [True] * 6 + [False] * 3


def test_a_network_is_in_evaluation_mode_before_and_after_its_training():
    learner, seen = make_learner(), []
    assert not learner.network.training
    learner.fit(examples(), lambda model, *rest: (seen.append(model.training), supervised(model, *rest))[1])
    assert seen == [True] * 6
    assert not any(module.training for module in learner.network.modules())


def weak_reference_to_probabilities(prediction) -> weakref.ref:
    return weakref.ref(prediction[1])


@pytest.mark.parametrize("what", ["predict", "predict_mc"])
def test_a_batch_is_let_go_before_the_next_is_made(what):
    learner, made, alive = make_learner(), [], []
    learner.network.encoder.register_forward_hook(lambda *_: alive.append([one() is not None for one in made]))
    more = {"passes": 2} if what == "predict_mc" else {}
    stream = getattr(learner, what)(learner.slices, np.arange(7), **more)
    for reference in map(weak_reference_to_probabilities, stream):
        made.append(reference)
    assert alive == [[], [False], [False, False]]


def test_scoring_lets_a_batch_go_before_the_next_is_made():
    made, alive = [], []

    def prediction(number: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        alive.append([one() is not None for one in made])
        probs = torch.full((3, 4, 4), number / 10)
        made.append(weakref.ref(probs))
        return np.arange(3), probs, torch.ones(3, 4, 4)

    scores = score_slices(map(prediction, range(3)), lambda probs: probs, mean_over_valid)
    np.testing.assert_allclose(scores, np.repeat([0, 0.1, 0.2], 3), rtol=1e-6)
    assert alive == [[], [False], [False, False]]


def test_parts_are_joined_as_torch_joins_them():
    torch.manual_seed(0)
    maps = torch.rand(7, 3, 4, 5).to(memory_format=torch.channels_last)
    whole = maps, torch.rand(7, 6, 4).transpose(1, 2), torch.rand(7, 2) < 0.5, torch.rand(7, 2).bfloat16()
    parts = [tensor.split(3) for tensor in whole]
    found = concat_batches(zip(*parts, strict=True), 7)
    for ours, theirs in zip(found, map(torch.cat, parts), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()


def test_modules_are_put_back_when_prediction_fails():
    learner = make_learner()
    learner.network.train()
    learner.network.decoder.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        learner.validation_loss()
    assert all(module.training for module in learner.network.modules())


def test_validation_inside_training_leaves_dropout_and_batch_norm_training():
    learner = make_learner(epochs=3, patience=9)
    modes = []

    def loss(model, batch, unlabeled, epoch):
        modes.append({module.training for module in model.modules()})
        return supervised(model, batch, unlabeled, epoch)

    learner.fit(examples(), loss)
    assert modes == [{True}] * 9


def test_predict_equals_a_forward_pass_of_each_batch():
    learner = make_learner()
    ids = np.array([5, 0, 3, 6])
    learner.network.eval()
    images = torch.from_numpy(padded().slices.images[ids]).float()
    with torch.no_grad():
        expected = torch.cat([torch.sigmoid(learner.network(images[:3])), torch.sigmoid(learner.network(images[3:]))])
    parts = list(learner.predict(learner.slices, ids))
    assert [chunk.tolist() for chunk, _, _ in parts] == [[5, 0, 3], [6]]
    torch.testing.assert_close(torch.cat([probs for _, probs, _ in parts]), expected[:, 0])
    valid = torch.cat([valid for _, _, valid in parts])
    for row, (height, width) in enumerate([(32, 48), (20, 33), (32, 48), (32, 48)]):
        inside = torch.zeros(32, 48)
        inside[:height, :width] = 1
        assert torch.equal(valid[row], inside)


def test_ids_are_rows_of_the_given_stack_not_of_the_prepared_set():
    labeled = padded()
    part = replace(labeled.slices, rows=labeled.slices.rows[3:], valid=labeled.slices.valid[3:])
    learner = make_learner()
    whole = torch.cat([probs for _, probs, _ in learner.predict(labeled.slices, np.array([3, 4, 5]))])
    own = torch.cat([probs for _, probs, _ in learner.predict(part, np.array([0, 1, 2]))])
    assert torch.equal(own, whole)


@pytest.mark.parametrize("what", ["predict", "predict_mc"])
def test_inference_reads_a_batch_when_it_is_asked_for_and_no_more_at_once(what):
    learner = make_learner()
    sizes = []
    learner.network.encoder.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    more = {"passes": 5} if what == "predict_mc" else {}
    stream = getattr(learner, what)(learner.slices, np.arange(7), **more)
    assert sizes == []
    first = next(stream)
    assert sizes == [3]
    assert max(part.numel() for part in first[1:]) <= 3 * 32 * 48 * more.get("passes", 1)
    list(stream)
    assert sizes == [3, 3, 1]


def test_fit_is_the_same_for_the_same_streams_and_another_in_another_round_or_seed():
    def trained(**streams: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(len(streams))  # a global state that must not matter
        learner = make_learner(**streams)
        learner.fit(examples(), supervised)
        return learner.weights()

    assert equal(trained(), trained(seed=0, round_index=0))
    assert not equal(trained(), trained(round_index=1))
    assert not equal(trained(), trained(seed=1))


def test_batch_order_depends_on_ids_seed_and_round_only():
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


def test_what_a_loss_draws_depends_on_seed_and_round():
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


def test_the_first_step_is_adams_with_the_learners_rate():
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
        certain = gradient.abs() > 1e-6  # of the others the sign is rounding
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
    assert learner.validation_loss() == pytest.approx(np.concatenate(pixels).mean(), rel=1e-5)


def test_validation_loss_does_not_depend_on_the_batch_size():
    losses = [make_learner(batch_size=size).validation_loss() for size in (1, 2, 3, 100)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-5)


def test_unlabeled_batches_hold_the_whole_pool_once_an_epoch_and_are_read_when_pulled(monkeypatch):
    learner = make_learner(epochs=1, augment=False)
    pulled, read = [], []
    images_of = learner._images
    monkeypatch.setattr(learner, "_images", lambda slices, ids: read.append(len(ids)) or images_of(slices, ids))

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


def test_dropout_samples_differ_between_passes_and_slices_and_leave_batch_norm_alone():
    learner = make_learner()
    learner.network.train()
    before = learner.weights()
    encoded = []
    learner.network.encoder.register_forward_hook(lambda module, inputs, output: encoded.append(len(inputs[0])))
    learner.slices = replace(learner.slices, rows=np.zeros_like(learner.slices.rows))  # seven times the same image
    ids = np.arange(7)
    parts = list(learner.predict_mc(learner.slices, ids, 4))
    samples = torch.cat([probs for _, probs, _ in parts], 1)
    assert samples.shape == (4, 7, 32, 48)
    assert len(samples.flatten(0, 1).unique(dim=0)) == 4 * 7
    assert sum(encoded) == 7
    assert equal(learner.weights(), before)
    assert np.concatenate([chunk for chunk, _, _ in parts]).tolist() == ids.tolist()


def test_dropout_samples_are_those_of_decoding_anew_every_time():
    learner, ids = make_learner(), np.arange(3)
    torch.manual_seed(0)
    ((_, found, _),) = learner.predict_mc(learner.slices, ids, 4)
    network = learner.network.eval()
    network.dropout.train()
    torch.manual_seed(0)
    images = torch.from_numpy(padded().slices.images[ids]).float()
    with torch.no_grad():
        expected = [torch.sigmoid(network.decode(network.encode(images), images.shape[-2:]))[:, 0] for _ in range(4)]
    assert torch.equal(found, torch.stack(expected))


def test_a_set_that_fits_is_copied_once_and_gives_what_the_memory_map_gives():
    images = padded().slices.images
    small, roomy = (DeviceCache(images, CPU, capacity) for capacity in (images.nbytes - 1, images.nbytes))
    rows = np.array([5, 0, 5])
    expected = torch.from_numpy(images[rows])
    assert torch.equal(small.batch(images, rows), expected)
    assert torch.equal(roomy.batch(images, rows), expected)
    assert small._whole is None
    copied = roomy._whole
    assert copied is not None
    assert torch.equal(roomy.batch(images, rows[:1]), expected[:1])
    assert roomy._whole is copied
    other = images[::-1].copy()
    assert torch.equal(roomy.batch(other, rows), torch.from_numpy(other[rows])), "rows of another set"


def test_training_on_resident_images_is_the_same_as_from_the_memory_map():
    def trained(capacity: int) -> dict[str, torch.Tensor]:
        learner = make_learner()
        learner._device_cache = DeviceCache(learner.slices.images, CPU, capacity)
        learner.fit(examples(), supervised)
        assert (learner._device_cache._whole is not None) == (capacity > 0)
        return learner.weights()

    assert equal(trained(0), trained(1 << 30))


class Coin(Segmenter):
    """Foreground exactly where dropout keeps a one."""

    def decode(self, features, size):
        kept = self.dropout(torch.ones(len(features.r4), 1, *size)) > 0
        return torch.where(kept, 50.0, -50.0)


def test_the_mean_of_many_dropout_samples_is_the_probability_of_keeping():
    learner = make_learner(Coin(Task(1, (32, 48), replace(OPTIONS, dropout=0.3))))
    ((_, probs, _),) = learner.predict_mc(learner.slices, np.arange(2), 200)
    deviation = math.sqrt(0.3 * 0.7 / probs.numel())
    assert float(probs.mean()) == pytest.approx(0.7, abs=5 * deviation)
    together = (probs[:, 0] * probs[:, 1]).mean()
    assert float(together) == pytest.approx(0.49, abs=0.01), "slices must have masks of their own"


def test_dropout_samples_need_dropout_and_a_segmenter():
    learner = make_learner(options=replace(OPTIONS, dropout=0))
    with pytest.raises(StrategyError, match=r"network.dropout is 0: use --set network.dropout=0.5"):
        list(learner.predict_mc(learner.slices, np.arange(2), 2))
    learner = make_learner(nn.Conv2d(1, 1, 1))
    with pytest.raises(StrategyError, match=r"dropout samples need a network that is .*Segmenter, got Conv2d: derive"):
        list(learner.predict_mc(learner.slices, np.arange(2), 2))
    with pytest.raises(StrategyError, match=r"embeddings need a network that is .*Segmenter, got Conv2d: derive"):
        learner.embed(learner.slices, np.arange(2))


def test_a_pooled_embedding_is_the_mean_over_the_valid_pixels():
    learner = make_learner()
    learner.network.eval()
    with torch.no_grad():
        maps = learner.network.encode(torch.from_numpy(padded().slices.images).float()).r4
    scale = 32 // maps.shape[-2]
    assert scale > 1
    fine = maps.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    expected = torch.stack([fine[i, :, :h, :w].mean((1, 2)) for i, (h, w) in enumerate(padded().slices.valid)])
    sizes = []
    hook = learner.network.encoder.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    found = learner.embed(learner.slices, np.arange(7))
    assert sizes == [3, 3, 1]
    hook.remove()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    other = np.array([5, 0, 6, 2])
    torch.testing.assert_close(learner.embed(learner.slices, other), found[other])


def test_a_flat_embedding_is_the_bottleneck_row_by_row():
    learner = make_learner()
    learner.network.eval()
    flat = learner.embed(learner.slices, np.array([4, 1]), pool=False)
    with torch.no_grad():
        maps = learner.network.encode(torch.from_numpy(padded().slices.images[[4, 1]]).float()).r4
    assert flat.shape == (2, maps[0].numel())
    torch.testing.assert_close(flat, maps.flatten(1))


def test_weights_are_a_copy():
    learner = make_learner()
    before = learner.weights()
    kept = {key: value.clone() for key, value in before.items()}
    learner.fit(examples(), supervised)
    assert equal(before, kept)
    assert not equal(before, learner.weights())

import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.learners import CPU, OPTIONS, equal, make_learner, padded
from torch import nn

from albench.acquisition import mean_over_valid
from albench.encoder_decoder import Features, Splits
from albench.errors import NetworkError
from albench.network import Task
from albench.networks.residual import Segmenter
from albench.strategy import score_slices
from albench.training.predictor import Prediction, Predictor


def test_a_predictor_needs_no_validation_set_and_predicts_as_a_learner():
    learner, ids = make_learner(), np.arange(7)
    predictor = Predictor(learner.network, learner.slices, batch_size=3, device=CPU)
    for ours, theirs in zip(predictor.predict(learner.slices, ids), learner.predict(learner.slices, ids), strict=True):
        assert torch.equal(ours[1], theirs[1])
    assert predictor.inference_batch == learner.inference_batch == 3


def test_prediction_restores_the_mode_of_every_module():
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
    learner.validate()
    assert modes() == before
    assert seen == [False] * 3 + [True] * 6 + [False] * 3


def weak_reference_to_probabilities(prediction) -> weakref.ref:
    return weakref.ref(prediction[1])


@pytest.mark.parametrize("what", ["predict", "predict_mc"])
def test_a_batch_is_released_before_the_next_is_computed(what):
    learner, made, alive = make_learner(), [], []
    learner.network.encoder.register_forward_hook(lambda *_: alive.append([one() is not None for one in made]))
    more = {"passes": 2} if what == "predict_mc" else {}
    stream = getattr(learner, what)(learner.slices, np.arange(7), **more)
    for reference in map(weak_reference_to_probabilities, stream):
        made.append(reference)
    assert alive == [[], [False], [False, False]]


def test_scoring_releases_a_batch_before_the_next_is_computed():
    made, alive = [], []

    def prediction(number: int) -> Prediction:
        alive.append([one() is not None for one in made])
        probs, pixels = torch.full((3, 1, 4, 4), number / 10), torch.ones(3, 4, 4)
        made.append(weakref.ref(probs))
        return Prediction(np.arange(3), probs, pixels, pixels)

    scores = score_slices(map(prediction, range(3)), lambda probs: probs[:, 0], mean_over_valid)
    np.testing.assert_allclose(scores, np.repeat([0, 0.1, 0.2], 3), rtol=1e-6)
    assert alive == [[], [False], [False, False]]


def test_a_failed_prediction_restores_the_mode_of_every_module():
    learner = make_learner()
    learner.network.train()
    learner.network.decoder.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        learner.validate()
    assert all(module.training for module in learner.network.modules())


def test_predict_equals_a_forward_pass_of_each_batch():
    learner = make_learner()
    ids = np.array([5, 0, 3, 6])
    learner.network.eval()
    images = torch.from_numpy(padded().slices.images[ids]).float()
    with torch.no_grad():
        expected = torch.cat([torch.sigmoid(learner.network(images[:3])), torch.sigmoid(learner.network(images[3:]))])
    parts = list(learner.predict(learner.slices, ids))
    assert [some.ids.tolist() for some in parts] == [[5, 0, 3], [6]]
    torch.testing.assert_close(torch.cat([some.probs for some in parts]), expected)
    valid = torch.cat([some.valid for some in parts])
    for row, (height, width) in enumerate([(32, 48), (20, 33), (32, 48), (32, 48)]):
        inside = torch.zeros(32, 48)
        inside[:height, :width] = 1
        assert torch.equal(valid[row], inside)


def test_ids_are_rows_of_the_given_stack_not_of_the_prepared_set():
    labeled = padded()
    part = replace(labeled.slices, rows=labeled.slices.rows[3:], valid=labeled.slices.valid[3:])
    learner = make_learner()
    whole = torch.cat([some.probs for some in learner.predict(labeled.slices, np.array([3, 4, 5]))])
    own = torch.cat([some.probs for some in learner.predict(part, np.array([0, 1, 2]))])
    assert torch.equal(own, whole)


@pytest.mark.parametrize("what", ["predict", "predict_mc"])
def test_prediction_reads_one_batch_at_a_time_and_only_on_request(what):
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


def test_dropout_samples_differ_between_passes_and_slices_and_do_not_change_batch_norm():
    learner = make_learner()
    learner.network.train()
    before = learner.weights()
    encoded = []
    learner.network.encoder.register_forward_hook(lambda module, inputs, output: encoded.append(len(inputs[0])))
    learner.slices = replace(learner.slices, rows=np.zeros_like(learner.slices.rows))  # seven times the same image
    ids = np.arange(7)
    parts = list(learner.predict_mc(learner.slices, ids, 4))
    samples = torch.cat([some.probs for some in parts], 1)
    assert samples.shape == (4, 7, 1, 32, 48)
    assert len(samples.flatten(0, 1).unique(dim=0)) == 4 * 7
    assert sum(encoded) == 7
    assert equal(learner.weights(), before)
    assert np.concatenate([some.ids for some in parts]).tolist() == ids.tolist()


def test_dropout_samples_equal_full_passes_of_the_decoder():
    learner, ids = make_learner(), np.arange(3)
    torch.manual_seed(0)
    ((_, found, *_),) = learner.predict_mc(learner.slices, ids, 4)
    network = learner.network.eval()
    network.dropout.train()
    torch.manual_seed(0)
    images = torch.from_numpy(padded().slices.images[ids]).float()
    with torch.no_grad():
        expected = [
            torch.sigmoid(network.decode(network.prepare(network.encode(images)), images.shape[-2:])) for _ in range(4)
        ]
    assert torch.equal(found, torch.stack(expected))


class Coin(Segmenter):
    """Predicts foreground exactly where dropout keeps a value."""

    def decode(self, features, size):
        kept = self.dropout(torch.ones(len(features.deepest), 1, *size)) > 0
        return torch.where(kept, 50.0, -50.0)


def test_the_mean_of_many_dropout_samples_is_the_probability_that_dropout_keeps_a_value():
    learner = make_learner(Coin(Task(1, (32, 48), OPTIONS), replace(OPTIONS, dropout=0.3)))
    ((_, probs, *_),) = learner.predict_mc(learner.slices, np.arange(2), 200)
    deviation = math.sqrt(0.3 * 0.7 / probs.numel())
    assert float(probs.mean()) == pytest.approx(0.7, abs=5 * deviation)
    together = (probs[:, 0] * probs[:, 1]).mean()
    assert float(together) == pytest.approx(0.49, abs=0.01), "every slice must have its own dropout mask"


@pytest.mark.parametrize("network", [None, nn.Conv2d(1, 1, 1)])
def test_dropout_samples_need_dropout(network):
    learner = make_learner(network, options=replace(OPTIONS, dropout=0))
    with pytest.raises(NetworkError, match=r"(Segmenter|Conv2d) has none above 0: use --set network.dropout=0.5 if"):
        list(learner.predict_mc(learner.slices, np.arange(2), 2))


def whole() -> nn.Sequential:
    """A network without parts, with dropout of whole channels after its first layer."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Dropout2d(0.5), nn.BatchNorm2d(6), nn.Conv2d(6, 1, 1))


def test_dropout_samples_of_a_network_without_parts_run_it_again_with_only_dropout_in_training_mode():
    learner = make_learner(whole())
    network, images = learner.network.eval(), torch.from_numpy(padded().slices.images[:3]).float()
    torch.manual_seed(3)
    found = next(learner.predict_mc(learner.slices, np.arange(3), 4)).probs
    assert not any(module.training for module in network.modules())
    network[1].train()
    torch.manual_seed(3)
    with torch.no_grad():
        expected = torch.stack([torch.sigmoid(network(images)) for _ in range(4)])
    assert torch.equal(found, expected)
    assert not torch.equal(found[0], found[1])


class Early(Splits):
    """Has parts, and drops in both."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = nn.Dropout(0.5), nn.Dropout(0.5)

    def encode(self, images):
        return Features(self.early(images), ())

    def decode(self, features, size):
        return self.late(features.deepest)

    def forward(self, images):
        return self.decode(self.encode(images), images.shape[-2:])


def test_dropout_samples_of_a_network_that_drops_before_the_split_run_all_of_it():
    learner = make_learner(Early())
    probs = torch.cat([one.probs for one in learner.predict_mc(learner.slices, np.arange(7), 400)], 1)
    kept = (probs != 0.5).float().mean((0, 1))[0, :20, :33]  # a zero logit is dropped, in one part or the other
    assert float(kept.mean()) == pytest.approx(0.25, abs=0.01)
    both = (probs[:200] != 0.5) & (probs[200:] != 0.5)
    assert float(both[:, 4:, 0].float().mean()) == pytest.approx(0.25**2, abs=0.01), "masks must be drawn anew"


def test_embeddings_come_from_the_layer_that_is_named_or_else_the_network_must_be_another():
    network = whole()
    learner = make_learner(network)
    with pytest.raises(NetworkError, match=r"method embedding, or with the name of a layer .* Sequential has neither"):
        learner.embed(learner.slices, np.arange(2))
    network.embedding_layer = "2"
    images = torch.from_numpy(padded().slices.images[[4, 1]]).float()
    with torch.no_grad():
        maps = learner.network.eval()[:3](images)
    torch.testing.assert_close(learner.embed(learner.slices, np.array([4, 1]), pool=False), maps.flatten(1))
    network.embedding_layer = "nothing"
    with pytest.raises(NetworkError, match="must name a layer of Sequential, got 'nothing': take a name"):
        learner.embed(learner.slices, np.arange(2))


def test_a_pooled_embedding_is_the_mean_over_the_valid_pixels():
    learner = make_learner()
    learner.network.eval()
    with torch.no_grad():
        maps = learner.network.encode(torch.from_numpy(padded().slices.images).float()).deepest
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


def test_a_flat_embedding_is_the_flattened_bottleneck():
    learner = make_learner()
    learner.network.eval()
    flat = learner.embed(learner.slices, np.array([4, 1]), pool=False)
    with torch.no_grad():
        maps = learner.network.encode(torch.from_numpy(padded().slices.images[[4, 1]]).float()).deepest
    assert flat.shape == (2, maps[0].numel())
    torch.testing.assert_close(flat, maps.flatten(1))

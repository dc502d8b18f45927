"""STAR's network: attention, encoders and similarities, without pool and loop."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from albench.encoder_decoder import Features
from albench.errors import NetworkError
from albench.network import Task
from albench.networks.residual import Residual
from albench.strategies._star.network import (
    LabeledEncoder,
    StarNetwork,
    aggregate,
    attend,
    attention_map,
    valid_positions,
)
from albench.strategies._star.similarity import flat, multiscale, positional
from albench.training.batches import Batch


def network(
    share_kv: bool = False,
    identity: bool = False,
    size: tuple[int, int] = (64, 64),
    classes: int = 1,
    **options: object,
) -> StarNetwork:
    settings: dict[str, object] = {"backbone": "resnet18", "width": 0.125, "decoder_width": 4} | options
    task = Task(1, size, Residual(**settings), classes)  # type: ignore[arg-type]
    return StarNetwork(task, share_kv=share_kv, identity=identity)


def labeled(images: torch.Tensor, masks: torch.Tensor | None = None, known: torch.Tensor | None = None) -> Batch:
    """Labeled slices without padding, by default without foreground and with all labels known."""
    valid = torch.ones_like(images)
    masks = torch.zeros_like(images) if masks is None else masks
    return Batch(images, masks, valid, valid if known is None else known, lambda *_: torch.zeros(()))


def with_more_inputs(labeled_encoder: LabeledEncoder) -> nn.Module:
    """The encoder with one first convolution of image, masks and background."""
    whole, old = copy.deepcopy(labeled_encoder.encoder), labeled_encoder.encoder.conv1
    stems = [old.weight, labeled_encoder.mask_stem.weight, labeled_encoder.background_stem.weight]
    weights = torch.cat(stems, 1)
    whole.conv1 = nn.Conv2d(weights.shape[1], len(weights), old.kernel_size, old.stride, old.padding, bias=False)
    whole.conv1.weight = nn.Parameter(weights)
    return whole


def memory(positions: int = 12, keys: int = 4, values: int = 6) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    queries, k, v = (
        torch.randn(2, n, d, generator=generator) for n, d in ((5, keys), (positions, keys), (positions, values))
    )
    return queries, k, v, torch.ones(2, positions, dtype=torch.bool)


def test_the_papers_network_has_38_91_million_parameters():
    with torch.device("meta"):
        whole = StarNetwork(Task(1, (240, 240), Residual()), share_kv=False, identity=False)
    assert round(sum(p.numel() for p in whole.parameters()) / 1e6, 2) == 38.91


@pytest.mark.parametrize("size", [240, 512])
def test_keys_and_values_have_the_papers_shapes(size):
    with torch.device("meta"):
        whole = StarNetwork(Task(1, (size, size), Residual()), share_kv=False, identity=False)
        features = whole.labeled_encoder(labeled(torch.empty(1, 1, size, size)))
        kv = whole.memory_head(features.deepest)
    positions = (size // 16) ** 2
    assert features.deepest.shape == (1, 1024, size // 16, size // 16)
    assert [maps.shape for maps in features.skips] == [(1, 512, size // 8, size // 8), (1, 256, size // 4, size // 4)]
    assert kv.keys.shape == (1, positions, 128)
    assert kv.values.shape == (1, positions, 512)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_the_segmenter_inside_has_the_weights_that_the_seed_gives_it_alone(backbone):
    task = Task(1, (64, 64), Residual(backbone=backbone, width=0.125, decoder_width=4))
    torch.manual_seed(5)
    alone = task.build().state_dict()
    torch.manual_seed(5)
    inside = StarNetwork(task, share_kv=False, identity=True)
    images = torch.randn(2, 1, 64, 64)
    assert all(torch.equal(inside.plain.state_dict()[name], value) for name, value in alone.items())
    assert inside(images).shape == (2, 1, 64, 64)


def test_one_key_value_head_can_serve_both_encoders():
    shared, separate = network(share_kv=True), network()
    assert shared.memory_head is shared.query_head
    assert separate.memory_head is not separate.query_head


def test_value_heads_can_start_as_copies_of_half_of_the_channels_each():
    net = network(identity=True).eval()
    r4 = net.encode(torch.randn(2, 1, 64, 64)).deepest
    depth = r4.shape[1]
    torch.testing.assert_close(net.memory_head.value(r4), r4[:, : depth // 2])
    torch.testing.assert_close(net.query_head.value(r4), r4[:, depth // 2 :])
    assert not torch.allclose(network().query_head.value(r4), r4[:, depth // 2 :])


def test_a_width_without_a_multiple_of_8_channels_is_an_error():
    with pytest.raises(
        NetworkError, match=r"multiple of 8 channels, this one has 13: change the options of the network"
    ):
        network(width=0.05)


def test_attention_equals_a_naive_loop_in_float64():
    queries, keys, values, valid = memory()
    valid[1, 4:7] = False
    read = attend(queries, keys, values, valid)
    for b in range(2):
        for p in range(queries.shape[1]):
            weights = []
            for m in range(keys.shape[1]):
                score = sum(float(a) * float(c) for a, c in zip(queries[b, p], keys[b, m], strict=True))
                weights.append(np.exp(score / np.sqrt(keys.shape[2])) if valid[b, m] else 0.0)
            expected = sum(w * values[b, m].double().numpy() for m, w in enumerate(weights)) / sum(weights)
            np.testing.assert_allclose(read[b, p].numpy(), expected, atol=1e-5)


def test_attention_weights_sum_to_one_over_all_positions_of_all_memory_slices():
    queries, keys, values, valid = memory()
    valid[0, :3] = False
    weights = attention_map(queries, keys, valid)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 5))
    assert not weights[0, :, :3].any()
    torch.testing.assert_close(weights @ values, attend(queries, keys, values, valid))


def test_the_order_of_memory_slices_does_not_matter():
    queries, keys, values, valid = memory()
    permuted = [part.reshape(2, 3, 4, -1)[:, [2, 0, 1]].reshape(2, 12, -1) for part in (keys, values)]
    torch.testing.assert_close(attend(queries, *permuted, valid), attend(queries, keys, values, valid))


def test_repeating_the_memory_changes_nothing_and_repeating_one_slice_does():
    queries, keys, values, valid = memory()
    once = attend(queries, keys, values, valid)
    twice = attend(queries, keys.repeat(1, 2, 1), values.repeat(1, 2, 1), valid.repeat(1, 2))
    torch.testing.assert_close(twice, once)
    more = [torch.cat([part, part[:, :4]], 1) for part in (keys, values, valid)]
    assert not torch.allclose(attend(queries, *more), once, atol=1e-3)


def test_equal_keys_read_the_mean_of_the_values():
    queries, keys, values, valid = memory()
    read = attend(queries, torch.ones_like(keys), values, valid)
    torch.testing.assert_close(read, values.mean(1, keepdim=True).expand(2, 5, 6))


def test_values_from_the_memory_come_before_those_of_the_slice():
    net = network().eval()
    features = net.encode(torch.randn(2, 1, 64, 64))
    query, known = net.query_head(features.deepest), net.memory_head(features.deepest)
    valid = torch.ones(2, 16, dtype=torch.bool)
    r4 = aggregate(query, known, valid, features.deepest.shape[-2:])
    depth = r4.shape[1]
    assert r4.shape == features.deepest.shape
    torch.testing.assert_close(r4[:, depth // 2 :], net.query_head.value(features.deepest))
    read = attend(query.keys, known.keys, known.values, valid)
    torch.testing.assert_close(r4[:, : depth // 2], read.transpose(1, 2).reshape(2, depth // 2, 4, 4))


def test_copying_the_encoder_leaves_the_stems_of_the_masks_unchanged():
    net = network()
    net.train()
    net.encode(torch.randn(4, 1, 64, 64))  # running statistics move
    labeled = net.labeled_encoder
    before = [stem.weight.clone() for stem in (labeled.mask_stem, labeled.background_stem)]
    assert not torch.equal(labeled.encoder.bn1.running_mean, net.plain.encoder.bn1.running_mean)
    net.share_encoder()
    states = labeled.encoder.state_dict(), net.plain.encoder.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    assert {name.split(".")[0] for name in states[1]} == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    assert all(
        torch.equal(stem.weight, old)
        for stem, old in zip((labeled.mask_stem, labeled.background_stem), before, strict=True)
    )
    with torch.no_grad():
        labeled.encoder.conv1.weight.zero_()
    assert net.plain.encoder.conv1.weight.any()  # a copy, not a reference


def test_stems_of_image_mask_and_background_are_summed_before_normalization():
    net = network().eval().labeled_encoder
    image, mask = torch.randn(1, 1, 64, 64), (torch.rand(1, 1, 64, 64) > 0.5).float()
    expected = with_more_inputs(net)(torch.cat([image, mask, 1 - mask], 1))
    torch.testing.assert_close(net(labeled(image, mask)).deepest, expected.deepest)
    assert not torch.allclose(net(labeled(image, mask)).deepest, net(labeled(image, 1 - mask)).deepest)


def test_every_class_has_a_stem_and_none_sees_what_is_unknown():
    net = network(classes=3).eval().labeled_encoder
    image, mask = torch.randn(1, 1, 64, 64), torch.randint(4, (1, 1, 64, 64)).float()
    known = torch.ones_like(mask)
    known[..., 40:] = 0
    masks = torch.cat([(mask == label).float() for label in (1, 2, 3)], 1) * known
    expected = with_more_inputs(net)(torch.cat([image, masks, (mask == 0) * known], 1))
    given = labeled(image, mask * known, known)
    torch.testing.assert_close(net(given).deepest, expected.deepest)
    swapped = labeled(image, torch.where(mask == 1, 2, torch.where(mask == 2, 1, mask)) * known, known)
    assert not torch.allclose(net(swapped).deepest, net(given).deepest)


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
def test_the_network_works_for_any_size(stem_stride):
    net = network(size=(48, 80), stem_stride=stem_stride).eval()
    images = torch.randn(2, 1, 48, 80)
    assert net.propagate(images, labeled(images)).shape == (2, 1, 48, 80)
    several = network(size=(48, 80), stem_stride=stem_stride, classes=2).eval()
    assert several.propagate(images, labeled(images)).shape == (2, 3, 48, 80)


def test_memory_in_the_padding_is_not_attended_to():
    net = network().eval()
    image, memory_image = torch.randn(1, 1, 64, 64), torch.randn(1, 1, 64, 64)
    valid = torch.zeros(1, 1, 64, 64)
    valid[..., :32, :] = 1
    padded = replace(labeled(memory_image), valid=valid, known=valid)
    encoded = net.labeled_encoder(padded)
    inside = valid_positions(valid, encoded.deepest)
    assert inside[0, :2].all()
    assert not inside[0, 2:].any()
    weights = attention_map(
        net.query_head(net.encode(image).deepest).keys, net.memory_head(encoded.deepest).keys, inside.flatten(1)
    )
    assert not weights[..., 8:].any()
    assert not torch.equal(net.propagate(image, padded), net.propagate(image, labeled(memory_image)))


def test_a_slice_without_valid_pixels_is_valid_everywhere():
    assert valid_positions(torch.zeros(1, 1, 64, 64), torch.zeros(1, 8, 4, 4)).all()


def layers(maps: Features) -> tuple[torch.Tensor, ...]:
    return maps.deepest, *maps.skips


def features(count: int, seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((16, 2, 3), (8, 4, 6), (4, 8, 12))
    deepest, *skips = (torch.randn(count, *shape, generator=generator) for shape in shapes)
    return Features(deepest, tuple(skips))


def test_similarities_are_cosines_of_whole_maps_or_averaged_over_positions():
    ours, theirs = features(3, 0), features(2, 1)
    valid = torch.ones(3, 1, 32, 48)
    for i in range(3):
        for j in range(2):
            a, b = ours.deepest[i].double(), theirs.deepest[j].double()
            whole = (a * b).sum() / a.norm() / b.norm()
            by_position = ((a * b).sum(0) / a.norm(dim=0) / b.norm(dim=0)).mean()
            for describe, expected in ((flat, whole), (positional, by_position)):
                found = describe(ours, valid) @ describe(theirs, valid[:2]).T
                assert float(found[i, j]) == pytest.approx(float(expected), abs=1e-6)


def test_the_multiscale_similarity_is_the_mean_cosine_of_three_layers_resampled_with_their_channels():
    ours, theirs = features(1, 0), features(1, 1)
    valid = torch.ones(1, 1, 32, 48)
    stacks = []
    for each in (ours, theirs):
        resized = [
            torch.nn.functional.interpolate(maps[None], (4, 8, 12), mode="trilinear")[0, 0] for maps in layers(each)
        ]
        stacks.append(torch.cat(resized).double())
    a, b = stacks
    expected = ((a * b).sum(0) / a.norm(dim=0) / b.norm(dim=0)).mean()
    found = multiscale(ours, valid) @ multiscale(theirs, valid).T
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("describe", [flat, positional, multiscale])
def test_padding_does_not_change_a_similarity(describe):
    ours, theirs = features(1, 0), features(1, 1)
    valid = torch.zeros(1, 1, 32, 48)
    valid[..., :16, :] = 1
    cut = [Features(each.deepest[:, :, : each.deepest.shape[2] // 2], ()) for each in (ours, theirs)]
    if describe is multiscale:  # interpolation crosses the edge
        other = Features(ours.deepest, tuple(maps.clone() for maps in ours.skips))
        other.skips[1][:, :, 6:] += 5
        torch.testing.assert_close(describe(other, valid), describe(ours, valid))
        return
    whole = describe(ours, valid) @ describe(theirs, valid).T
    torch.testing.assert_close(whole, describe(cut[0], valid[:, :, :16]) @ describe(cut[1], valid[:, :, :16]).T)


@pytest.mark.parametrize("describe", [flat, positional, multiscale])
def test_a_slice_is_most_similar_to_itself(describe):
    ours = features(4, 0)
    cosines = describe(ours, torch.ones(4, 1, 32, 48))
    cosines = cosines @ cosines.T
    torch.testing.assert_close(cosines.diagonal(), torch.ones(4))
    assert (cosines <= 1 + 1e-5).all()

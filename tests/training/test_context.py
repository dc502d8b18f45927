"""Neighbors as channels: what a network gets of a slice with `data.context`."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.learners import CPU, read
from support.samples import TINY
from support.slow import slow_but

from albench import run
from albench.callback import NullCallback
from albench.data import Prepared, prepare
from albench.data.prepared import content_key
from albench.registry import DATASETS, find
from albench.resolve import resolve
from albench.run_session import Execution, RunSession
from albench.training.device_cache import DeviceCache


def two_channels(context: int):
    """Seven slices of two cases with two channels, in the reverse order of cases."""
    images = np.random.default_rng(0).normal(size=(7, 2, 32, 48)).astype(np.float16)
    counts, valid = np.array([3, 4]), np.array([[20, 33], [32, 48]])
    masks = np.zeros((7, 32, 48), np.uint8)
    prepared = Prepared("key", images, masks, ("a", "b"), counts, valid, np.ones((2, 3)), ("a", "b"), context=context)
    return prepared.stack(("b", "a"))


def neighbors(slices, slice_id: int, context: int) -> np.ndarray:
    """The slice, the one below, the one above, two below, ..., from the volume of its case."""
    case = slices.of(slices.case[slice_id])
    volume, z = slices.images[slices.rows[case]], slices.position[slice_id]
    order = [0] + [sign * distance for distance in range(1, context + 1) for sign in (-1, 1)]
    return np.concatenate([volume[min(max(z + offset, 0), len(volume) - 1)] for offset in order])


@pytest.mark.parametrize("context", [0, 1, 2, 5])
@pytest.mark.parametrize("capacity", [0, 10**9])
def test_a_network_gets_the_slice_and_its_neighbors_and_never_one_of_another_case(context, capacity):
    slices = two_channels(context)
    ids = np.array([6, 0, 3, 4, 2])
    found = read(DeviceCache(slices.images, CPU, capacity), slices, ids)
    assert found.shape == (5, slices.inputs, 32, 48)
    expected = np.stack([neighbors(slices, i, context) for i in ids.tolist()])
    assert torch.equal(found, torch.from_numpy(expected))
    assert np.array_equal(found[:, :2].numpy(), slices.read(ids))
    assert slices.read(ids).shape[1:] == slices.shape


def test_neighbors_are_not_part_of_the_prepared_set_but_of_the_digest():
    cls = find(DATASETS, "phantom")
    one, two = cls(count=6, depth=8, side=32), cls(count=6, depth=8, side=32, context=1)
    assert content_key(one) == content_key(two)
    assert (prepare(one).context, prepare(two).context) == (0, 1)
    configs = [resolve("random", "phantom", settings=TINY | {"data.context": context}).config for context in (0, 1)]
    assert configs[0].data_key == configs[1].data_key
    assert configs[0].digest() != configs[1].digest()


def test_pool_validation_and_test_slices_have_neighbors():
    resolved = resolve("random", "phantom", settings=TINY | {"data.context": 1})
    session = RunSession(resolved, Execution(CPU), NullCallback())
    assert session.network.encoder.conv1.in_channels == 3
    for slices in (session.slices, session.val.slices, session.test.slices):
        images = read(session.device_cache, slices, np.array([1]))
        assert np.array_equal(images[0, :, :, :].numpy(), neighbors(slices, 1, 1))


@pytest.mark.parametrize("strategy", slow_but(["star"], ["entropy", "bal", "k-center", "star", "taal"]))
def test_strategies_run_with_neighbors_and_show_the_slice_itself(strategy, tmp_path):
    settings = TINY | {"data.context": 1, "protocol.rounds": 1, "training.epochs": 1}
    with_context = run(strategy, "phantom", settings=settings, out=tmp_path / "one", device="cpu")
    alone = run(strategy, "phantom", settings=settings | {"data.context": 0}, out=tmp_path / "two", device="cpu")
    assert with_context.records[0].test != alone.records[0].test
    shown = [one.snapshots()["images"] for one in (with_context, alone)]
    np.testing.assert_array_equal(*shown)


def test_repeating_every_slice_gives_a_context_of_itself():
    slices = replace(two_channels(1), case=np.arange(7))
    found = read(DeviceCache(slices.images, CPU, 0), slices, np.arange(7))
    assert torch.equal(found, torch.from_numpy(slices.read(np.arange(7))).repeat(1, 3, 1, 1))

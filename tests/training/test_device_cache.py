from dataclasses import replace

import numpy as np
import torch
from support.learners import CPU, equal, examples, make_learner, padded, read, supervised

from albench.training.device_cache import DeviceCache


def test_a_set_that_fits_is_copied_once_and_equals_the_memory_map():
    slices, ids = padded().slices, np.array([2, 0, 2])
    slices = replace(slices, rows=slices.rows[3:])  # ids are not rows of the set
    expected = torch.from_numpy(slices.images[[5, 3, 5]])
    size = slices.images.nbytes
    too_small, large_enough = (DeviceCache(slices.images, CPU, capacity) for capacity in (size - 1, size))
    assert torch.equal(read(too_small, slices, ids), expected)
    assert torch.equal(read(large_enough, slices, ids), expected)
    assert too_small._copy is None
    copy = large_enough._copy
    assert copy is not None
    assert torch.equal(read(large_enough, slices, ids[:1]), expected[:1])
    assert large_enough._copy is copy


def test_slices_of_another_set_are_read_without_the_cache():
    slices, ids = padded().slices, np.array([5, 0, 5])
    cache = DeviceCache(slices.images, CPU, slices.images.nbytes)
    other = replace(slices, images=slices.images[::-1].copy())
    assert torch.equal(read(cache, other, ids), torch.from_numpy(other.images[ids]))
    assert cache._copy is None


def test_training_gives_the_same_weights_with_and_without_the_cache():
    def trained(capacity: int) -> dict[str, torch.Tensor]:
        learner = make_learner()
        learner._device_cache = DeviceCache(learner.slices.images, CPU, capacity)
        learner.fit(examples(), supervised)
        assert (learner._device_cache._copy is not None) == (capacity > 0)
        return learner.weights()

    assert equal(trained(0), trained(1 << 30))

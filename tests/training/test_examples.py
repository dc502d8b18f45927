"""Examples from masks that are given, and from a labeled set, whose masks are sent packed."""

import numpy as np
import pytest
import torch
from support.learners import padded

from albench.training import examples
from albench.training.examples import Examples

CPU = torch.device("cpu")


@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4, 5, 6], [1, 4, 6], []])
def test_examples_of_a_labeled_set_are_those_of_its_masks(monkeypatch, ids):
    monkeypatch.setattr(examples, "_BLOCK", 2)
    labeled, chosen = padded(), np.array(ids, dtype=np.int64)
    given = Examples.of_masks(labeled.slices, dict(zip(ids, labeled.masks(chosen), strict=True)), CPU)
    found = Examples.of_labeled(labeled, chosen, CPU)
    assert found.slices is labeled.slices
    assert np.array_equal(found.ids, given.ids)
    assert found.masks.dtype == given.masks.dtype == torch.uint8
    assert torch.equal(found.masks, given.masks)
    assert found.masks.any() == bool(ids)

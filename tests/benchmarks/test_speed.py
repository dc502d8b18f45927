"""What is measured where, and the measurement that needs a GPU at a size that a CPU can do."""

import math
import subprocess
import sys

import pytest
import torch
from support.samples import SMALL_BRATS

from albench.benchmarks.speed.__main__ import plan
from albench.benchmarks.speed.brats_size import _PARTS, _SETTINGS, _STRATEGIES, parts


@pytest.mark.parametrize("strategy", _STRATEGIES)
def test_the_parts_of_a_run_are_timed_at_the_size_of_brats(strategy):
    assert _SETTINGS.keys() - SMALL_BRATS.keys() == {"protocol.rounds", "training.lr", "training.lr_incremental"}
    found = parts(strategy, {**_SETTINGS, **SMALL_BRATS})
    assert tuple(found) == _PARTS
    assert all(0 < spread.low <= spread.median <= spread.high < math.inf for spread in found.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_is_told_so():
    command = [sys.executable, "-m", "albench.benchmarks.speed.brats_size"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "brats_size needs a CUDA device, this machine has none: leave it out\n"


def test_what_a_gpu_is_measured_with_sees_it_and_the_rest_does_not():
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    assert plan(("training", "scale"), gpu=False) == [("training", hidden), ("scale", hidden)]
    assert plan(("training", "scale"), gpu=True) == [("training", hidden), ("scale", hidden), ("training", {})]
    assert plan(("brats_size",), gpu=True) == plan(("brats_size",), gpu=False) == [("brats_size", {})]

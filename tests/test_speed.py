"""The measurement that needs a GPU, at a size that a CPU can do."""

import math
import subprocess
import sys

import pytest
import torch

from albench.benchmarks.speed.brats_size import _PARTS, _SETTINGS, _STRATEGIES, parts

SMALL = {
    **{"data.count": 5, "data.depth": 12, "data.side": 64, "protocol.budget": 4, "protocol.split": [3, 1, 1]},
    **{"network.backbone": "resnet18", "network.width": 0.125, "network.decoder_width": 8, "network.stem_stride": 2},
    **{"training.batch_size": 8, "training.epochs": 1},
}


@pytest.mark.parametrize("strategy", _STRATEGIES)
def test_the_parts_of_a_run_are_timed_at_the_size_of_brats(strategy):
    assert _SETTINGS.keys() - SMALL.keys() == {"protocol.rounds", "training.lr", "training.lr_incremental"}
    found = parts(strategy, {**_SETTINGS, **SMALL})
    assert tuple(found) == _PARTS
    assert all(0 < spread.low <= spread.median <= spread.high < math.inf for spread in found.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_is_told_so():
    command = [sys.executable, "-m", "albench.benchmarks.speed.brats_size"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "brats_size needs a CUDA device, this machine has none: leave it out\n"

"""The list of measurements, and the measurement that needs a GPU, at a size that a CPU can do."""

import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.samples import SMALL_BRATS

from albench.benchmarks import speed
from albench.benchmarks.speed import start_time, synthetic
from albench.benchmarks.speed.__main__ import _GPU_ONLY, _GPU_TOO, _LONG_QUESTIONS, _QUESTIONS, plan
from albench.benchmarks.speed.brats_size import _PARTS, _SETTINGS, _STRATEGIES, parts
from albench.config import PAPER_STOP
from albench.resolve import make_strategy


@pytest.mark.parametrize("strategy", _STRATEGIES)
def test_the_parts_of_a_run_are_timed(strategy):
    rates = {"protocol.rounds", "training.lr", "training.lr_incremental"}
    assert _SETTINGS.keys() - SMALL_BRATS.keys() - PAPER_STOP.keys() == rates
    found = parts(strategy, {**_SETTINGS, **SMALL_BRATS})
    assert tuple(found) == _PARTS
    assert all(0 < spread.low <= spread.median <= spread.high < math.inf for spread in found.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_measurement_that_needs_a_gpu_says_so():
    command = [sys.executable, "-m", "albench.benchmarks.speed.brats_size"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "brats_size needs a CUDA device, this machine has none: leave it out\n"


def test_a_training_that_is_measured_is_one_epoch(tmp_path):
    strategy = make_strategy("random", {})
    ctx = synthetic.make_round(strategy, synthetic.made_up(80, 32, tmp_path), synthetic.SMALLEST)
    validations, validate = [], ctx.learner.validate
    ctx.learner.validate = lambda: validations.append(validate()) or validations[-1]
    trained = ctx.learner.fit(ctx.examples(), strategy.loss)
    assert (trained.epochs, len(validations)) == (1, 1)


def test_every_question_is_a_module_that_measures():
    for name in (*_QUESTIONS, *_GPU_ONLY, *_LONG_QUESTIONS):
        assert importlib.util.find_spec(f"{speed.__name__}.{name}"), name
        assert f'main("{name}", measure)' in (Path(speed.__path__[0]) / f"{name}.py").read_text()
    assert set(_GPU_TOO) <= set(_QUESTIONS)


@pytest.mark.slow
def test_the_start_is_timed_and_relative_to_torch(monkeypatch):
    monkeypatch.setattr(start_time, "_REPEATS", 1)
    rows = {row.name: row for row in start_time.measure().rows}
    assert rows["albench --help"].unit == rows["import torch"].unit == "s"
    relative = rows["import albench.strategy, relative to torch"]
    expected = rows["import albench.strategy"].value.median / rows["import torch"].value.median
    assert relative.value.median == pytest.approx(expected)


def test_only_measurements_of_a_gpu_see_it():
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    assert plan(("training", "scale"), gpu=False) == [("training", hidden), ("scale", hidden)]
    assert plan(("training", "scale"), gpu=True) == [("training", hidden), ("scale", hidden), ("training", {})]
    assert plan(("brats_size",), gpu=True) == plan(("brats_size",), gpu=False) == [("brats_size", {})]

"""What needs a GPU: `make test-gpu`, which pretends one where there is none."""

import math

import numpy as np
import pytest
import torch
from support.samples import SMALL_BRATS, TINY

from albench.acquisition import k_center, mutual_information, quantize
from albench.benchmarks.speed import brats_size, floor, inference, scene, star_query, taal_step, training
from albench.loop import Execution, NullCallback, run
from albench.registry import STRATEGIES, available
from albench.resolve import resolve
from albench.runs.store import read_records
from albench.streams import Streams
from albench.training.augment import augment
from albench.training.device_cache import DeviceCache
from albench.training.learner import Learner

pytestmark = pytest.mark.gpu


def test_the_device_keeps_its_tensors_to_itself(gpu):
    there = torch.arange(6.0, device=gpu).view(2, 3)
    assert there.device == torch.device("cuda", 0)
    assert there.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert float(there[1, 2]) == 5
    for mixed in (
        lambda: there + torch.ones(3),
        lambda: torch.cat([there, torch.ones(1, 3)]),
        lambda: torch.ones(2, 3)[there.long()[0]],
        lambda: there.index_add_(0, torch.zeros(1, dtype=torch.long, device=gpu), torch.ones(1, 3)),
        lambda: torch.rand(2, device=gpu, generator=torch.Generator()),
    ):
        with pytest.raises(RuntimeError, match=r"device|cuda"):
            mixed()
    with pytest.raises((TypeError, RuntimeError), match=r"numpy"):
        there.numpy()
    assert (there + 1)[torch.tensor([1])].cpu().numpy().tolist() == [[4, 5, 6]]


def test_autocast_and_backward_passes_work_on_it(gpu):
    layer = torch.nn.Linear(3, 2).to(gpu)
    with torch.autocast("cuda", torch.bfloat16):
        out = layer(torch.ones(4, 3, device=gpu))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad.device == torch.device("cuda", 0)
    assert layer.weight.grad.tolist() == [[4, 4, 4]] * 2


@pytest.mark.parametrize("name", [entry.name for entry in available(STRATEGIES)])
def test_every_strategy_runs_to_the_end(gpu, tmp_path, name):
    resolved = resolve(name, "phantom", settings=TINY)
    run(resolved.config, resolved.strategy, resolved.prepared, tmp_path, Execution(gpu), NullCallback())
    (folder,) = tmp_path.glob("*/*/*")
    records = read_records(folder)
    assert len(records) == (1 if name == "full" else 1 + TINY["protocol.rounds"])
    assert all(math.isfinite(record["test"]["dice_slice"]) for record in records)
    assert all(record["cost"]["peak_device_memory"] > 0 for record in records)


@pytest.mark.parametrize("name", ["random", "taal", "star"])
def test_a_training_step_does_not_wait_for_the_device(gpu, tmp_path, monkeypatch, name):
    steps, optimize = [], Learner.optimize

    def watched(learner, step, *arguments, **options):
        def quiet(rows, epoch):
            steps.append(epoch)
            torch.cuda.set_sync_debug_mode("error" if len(steps) > 1 else "default")  # the first brings the images
            try:
                return step(rows, epoch)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        return optimize(learner, quiet, *arguments, **options)

    monkeypatch.setattr(Learner, "optimize", watched)
    resolved = resolve(name, "phantom", settings=TINY)
    run(resolved.config, resolved.strategy, resolved.prepared, tmp_path, Execution(gpu, share=False), NullCallback())
    assert len(steps) > 10


def test_waiting_is_told(gpu):
    there = torch.ones(3, device=gpu)
    for wait in (
        lambda: torch.ones(2).to(gpu),
        there.tolist,
        there.sum().item,
        lambda: there[torch.tensor([0])],
        lambda: there[there > 0],
    ):
        torch.cuda.set_sync_debug_mode("error")
        try:
            with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
                wait()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_probabilities_are_those_of_a_cpu_to_bfloat16(gpu, make_round):
    here, there = make_round(), on(gpu, make_round())
    ids = here.pool.unlabeled
    expected = torch.cat([probs for _, probs, _ in here.learner.predict(here.pool.slices, ids)])
    found = torch.cat([probs for _, probs, _ in there.predict(here.pool.slices, ids)])
    assert found.device.type == "cuda"
    assert (found.cpu() - expected).abs().max() < 0.01 < expected.std()


def on(device, ctx):
    """The round's learner, on another device."""
    one, streams = ctx.learner, Streams(0, "gpu")
    return Learner(
        one.network, one.slices, one.validation, one.training, streams, round_index=1, lr=one.lr, device=device
    )


def test_images_on_the_device_are_those_of_the_memory_map(gpu, tiny):
    whole, parts = DeviceCache(tiny.images, gpu), DeviceCache(tiny.images, gpu, capacity=tiny.images.nbytes - 1)
    rows = np.array([5, 0, 17])
    expected = torch.from_numpy(tiny.images[rows])
    for device_cache in (whole, parts):
        found = device_cache.batch(tiny.images, rows)
        assert found.device.type == "cuda"
        assert torch.equal(found.cpu(), expected)
    assert whole._whole is not None
    assert parts._whole is None


def test_augmentation_is_that_of_a_cpu(gpu):
    torch.manual_seed(0)
    images, valid = torch.rand(16, 2, 24, 32), torch.ones(16, 1, 24, 32)
    torch.manual_seed(1)
    expected, *_ = augment(images, valid, valid)
    torch.manual_seed(1)
    with torch.autocast("cuda", torch.bfloat16):
        found, *_ = augment(images.to(gpu), valid.to(gpu), valid.to(gpu))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)


def test_draws_on_the_device_come_from_the_stream(gpu):
    def drawn(seed):
        with Streams(seed, "gpu").torch("purpose"):
            return torch.rand(4, device=gpu).tolist()

    assert drawn(0) == drawn(0) != drawn(1)


def test_k_center_picks_as_on_a_cpu(gpu):
    features = torch.randn(300, 16, generator=torch.Generator().manual_seed(0))
    expected = k_center(features[40:], features[:40], 30)
    assert k_center(features[40:].to(gpu), features[:40].to(gpu), 30).tolist() == expected.tolist()


def test_mutual_information_is_that_of_a_cpu(gpu):
    images = torch.rand(12, 400, generator=torch.Generator().manual_seed(0))
    levels, there = quantize(images, 20), quantize(images.to(gpu), 20)
    assert torch.equal(there.cpu(), levels)
    expected = mutual_information(levels, levels[:5], 20)
    found = mutual_information(there, there[:5], 20).cpu()
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


@pytest.fixture
def small(gpu, monkeypatch):
    """The measurements at a size that a pretended GPU can do."""
    monkeypatch.setattr(scene, "DEVICE", gpu)
    monkeypatch.setattr(scene, "SIDE", 32)
    monkeypatch.setattr(scene, "NETWORK", scene.SMALLEST)
    monkeypatch.setattr(scene, "PAPER", scene.SMALLEST)
    monkeypatch.setattr(inference, "_SLICES", 60)
    monkeypatch.setattr(floor, "_SIDE", 64)
    monkeypatch.setattr(floor, "_NUMBERS", 1 << 10)


@pytest.mark.parametrize("module", [floor, training, inference, star_query, taal_step])
def test_a_measurement_ends(small, module):
    rows = module.measure().rows
    assert rows
    assert all(0 < row.value.low <= row.value.median <= row.value.high < math.inf for row in rows)
    if module is training:
        assert rows[0].limit == ">= 0.95"


@pytest.mark.parametrize("strategy", brats_size._STRATEGIES)
def test_the_parts_of_a_run_are_timed(small, strategy):
    found = brats_size.parts(strategy, {**brats_size._SETTINGS, **SMALL_BRATS})
    assert tuple(found) == brats_size._PARTS

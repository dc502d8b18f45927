"""Tests that need a GPU: `make test-gpu`, which simulates one on machines without."""

import math
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.learners import make_learner, padded, read
from support.samples import TINY

from albench.callback import NullCallback
from albench.config import Training
from albench.covering import k_center
from albench.loop import Execution, run
from albench.mutual_information import mutual_information, quantize
from albench.network import Task
from albench.pool import Pool
from albench.registry import STRATEGIES, available
from albench.resolve import make_strategy, resolve
from albench.strategies.bal import BAL
from albench.streams import Streams
from albench.training.augment import Moves, augment, draw_moves
from albench.training.device_cache import DeviceCache
from albench.training.evaluation import evaluate
from albench.training.learner import Learner
from albench.training.predictor import Predictor

pytestmark = pytest.mark.gpu


def test_tensors_of_the_device_cannot_be_mixed_with_cpu_tensors(gpu):
    remote = torch.arange(6.0, device=gpu).view(2, 3)
    assert remote.device == torch.device("cuda", 0)
    assert remote.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert float(remote[1, 2]) == 5
    for mixed in (
        lambda: remote + torch.ones(3),
        lambda: torch.cat([remote, torch.ones(1, 3)]),
        lambda: torch.ones(2, 3)[remote.long()[0]],
        lambda: remote.index_add_(0, torch.zeros(1, dtype=torch.long, device=gpu), torch.ones(1, 3)),
        lambda: torch.rand(2, device=gpu, generator=torch.Generator()),
    ):
        with pytest.raises(RuntimeError, match=r"device|cuda"):
            mixed()
    with pytest.raises((TypeError, RuntimeError), match=r"numpy"):
        remote.numpy()
    assert (remote + 1)[torch.tensor([1])].cpu().numpy().tolist() == [[4, 5, 6]]


def test_autocast_and_backward_passes_work(gpu):
    layer = torch.nn.Linear(3, 2).to(gpu)
    with torch.autocast("cuda", torch.bfloat16):
        out = layer(torch.ones(4, 3, device=gpu))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad.device == torch.device("cuda", 0)
    assert layer.weight.grad.tolist() == [[4, 4, 4]] * 2


@pytest.mark.parametrize("name", [entry.name for entry in available(STRATEGIES)])
def test_every_strategy_runs_to_the_end(gpu, tmp_path, name):
    told: list[str] = []
    callback = NullCallback()
    callback.on_notice = told.append
    resolved = resolve(name, "phantom", settings=TINY)
    records = run(resolved, tmp_path, Execution(gpu), callback).records
    assert not [text for text in told if text.startswith("round 0")]  # whose network is compared on the device
    assert len(records) == (1 if name == "full" else 1 + TINY["protocol.rounds"])
    assert all(math.isfinite(record.test.dice_slice) for record in records)
    assert all(record.cost.peak_device_memory > 0 for record in records)


@pytest.mark.parametrize("name", ["random", "taal", "star"])
def test_a_training_step_does_not_wait_for_the_device(gpu, tmp_path, monkeypatch, name):
    steps, optimize = [], Learner.optimize

    def watched(learner, losses, *arguments, **options):
        def strict(parts, epoch):
            asked = losses(parts, epoch)
            for _ in parts:
                steps.append(epoch)
                torch.cuda.set_sync_debug_mode("error" if len(steps) > 1 else "default")  # the first copies the images
                try:
                    value = next(asked)
                finally:
                    torch.cuda.set_sync_debug_mode("default")
                yield value

        return optimize(learner, strict, *arguments, **options)

    monkeypatch.setattr(Learner, "optimize", watched)
    resolved = resolve(name, "phantom", settings=TINY)
    run(resolved, tmp_path, Execution(gpu, share=False))
    assert len(steps) > 10


def test_an_operation_that_waits_for_the_device_is_an_error(gpu):
    remote = torch.ones(3, device=gpu)
    for wait in (
        lambda: torch.ones(2).to(gpu),
        remote.tolist,
        remote.sum().item,
        lambda: remote[torch.tensor([0])],
        lambda: remote[remote > 0],
    ):
        torch.cuda.set_sync_debug_mode("error")
        try:
            with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
                wait()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_probabilities_equal_those_of_a_cpu_up_to_bfloat16(gpu, make_round):
    here, there = make_round(), on(gpu, make_round())
    ids = here.pool.unlabeled
    expected = torch.cat([some.probs for some in here.learner.predict(here.pool.slices, ids)])
    found = torch.cat([some.probs for some in there.predict(here.pool.slices, ids)])
    assert found.device.type == "cuda"
    assert (found.cpu() - expected).abs().max() < 0.01 < expected.std()


def test_a_stream_of_predictions_that_is_not_read_to_its_end_does_not_affect_training(gpu, make_round):
    trained = []
    for begun in (False, True):
        ctx = make_round()
        learner = on(gpu, ctx)
        stream = learner.predict(ctx.pool.slices, ctx.pool.unlabeled)
        if begun:
            next(stream)
        learner.fit(ctx.examples(), make_strategy("random", {}).loss)
        trained.append(learner.weights())
    assert all(torch.equal(value, trained[1][key]) for key, value in trained[0].items())


def on(device, ctx):
    """The learner of a round, on another device."""
    one, streams = ctx.learner, Streams(0, "gpu")
    return Learner(
        one.network, one.slices, one.validation, one.training, streams, round_index=1, lr=one.lr, device=device
    )


def test_images_on_the_device_equal_those_of_the_memory_map(gpu, tiny):
    copied, not_copied = (DeviceCache(tiny.images, gpu, capacity) for capacity in (None, tiny.images.nbytes - 1))
    slices, ids = tiny.stack(tiny.cases[1:]), np.array([5, 0, 17])
    expected = torch.from_numpy(slices.read(ids))
    for cache in (copied, not_copied):
        found = read(cache, slices, ids)
        assert found.device.type == "cuda"
        assert torch.equal(found.cpu(), expected)
    assert copied._copy is not None
    assert not_copied._copy is None


def test_augmentation_equals_that_of_a_cpu(gpu):
    torch.manual_seed(0)
    images, valid = torch.rand(16, 2, 24, 32), torch.ones(16, 1, 24, 32)
    torch.manual_seed(1)
    moves = draw_moves(16, (24, 32))
    expected, *_ = augment(images, valid, valid, moves)
    with torch.autocast("cuda", torch.bfloat16):
        found, *_ = augment(images.to(gpu), valid.to(gpu), valid.to(gpu), Moves(*(each.to(gpu) for each in moves)))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)


def test_random_numbers_on_the_device_come_from_the_stream(gpu):
    def drawn(seed):
        with Streams(seed, "gpu").torch("purpose"):
            return torch.rand(4, device=gpu).tolist()

    assert drawn(0) == drawn(0) != drawn(1)


def test_k_center_selects_what_it_selects_on_a_cpu(gpu):
    features = torch.randn(300, 16, generator=torch.Generator().manual_seed(0))
    expected = k_center(features[40:], features[:40], 30)
    assert k_center(features[40:].to(gpu), features[:40].to(gpu), 30).tolist() == expected.tolist()


def test_mutual_information_equals_that_of_a_cpu(gpu):
    images = torch.rand(12, 400, generator=torch.Generator().manual_seed(0))
    levels, there = quantize(images, 20), quantize(images.to(gpu), 20)
    assert torch.equal(there.cpu(), levels)
    expected = mutual_information(levels, levels[:5], 20)
    found = mutual_information(there, there[:5], 20).cpu()
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def test_bal_compares_the_images_that_it_compares_on_a_cpu(gpu):
    here = padded()
    there = Learner(
        make_learner().network,
        here.slices,
        here,
        Training(batch_size=3),
        Streams(0, "x"),
        round_index=0,
        lr=1,
        device=gpu,
    )
    ids = np.array([5, 0, 2, 6])
    for resize in (16, 64):  # averages, and repetition
        found, expected = (
            BAL(resize=resize)._images(SimpleNamespace(pool=Pool(here.slices), learner=learner), ids)
            for learner in (there, make_learner())
        )
        assert found.device.type == "cuda"
        torch.testing.assert_close(found.cpu(), expected)


@pytest.mark.parametrize("parts", [1, 2])
def test_scaled_slices_are_scored_on_the_grid_of_the_file_as_on_a_cpu(gpu, tmp_path, parts):
    scaled = {"data.side": 48, "data.size": [32, 32], "data.parts": parts, "protocol.rounds": 0}
    resolved = resolve("random", "phantom", settings=TINY | scaled)
    labeled = resolved.prepared.labeled_stack(resolved.split.test, own_grid=True)
    with Streams(0, "phantom").torch("weights"):
        network = Task(1, (32, 32), resolved.network, parts).build()
    found = []
    for device in (torch.device("cpu"), gpu):
        predictor = Predictor(network, labeled.slices, batch_size=8, device=device)
        with ThreadPoolExecutor(2) as threads:
            found.append(evaluate(predictor, labeled, 1.0, threads).result())
    here, there = found
    for name, scores in here.cases.items():
        assert there.cases[name].all.dice_volume == pytest.approx(scores.all.dice_volume, abs=0.02)
    assert [counts.pixels.sum() for counts in there.thresholds] == [counts.pixels.sum() for counts in here.thresholds]

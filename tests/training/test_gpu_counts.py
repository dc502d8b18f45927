"""What a GPU waits for stays within the limits of `tests/gpu_limits.yaml`: `make test-gpu`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from support.gpu_counts import counting

from albench.acquisition import aggregate
from albench.benchmarks.speed import synthetic
from albench.networks.residual import Residual
from albench.registry import STRATEGIES, available
from albench.resolve import make_strategy
from albench.training.evaluation import evaluate
from albench.training.graphs import PassGraphs
from albench.training.learner import Learner

pytestmark = pytest.mark.gpu

LIMITS = yaml.safe_load((Path(__file__).parents[1] / "gpu_limits.yaml").read_text())
NETWORK = Residual(backbone="resnet50", width=0.0625, decoder_width=8)  # as many layers as that of the paper
SIDE = 32
TRAINING = replace(synthetic.TRAINING, batch_size=8)


@pytest.fixture
def make_round(gpu, monkeypatch, tmp_path):
    """Rounds on a GPU with so many slices, of which every tenth is labeled."""
    monkeypatch.setattr(synthetic, "DEVICE", gpu)

    def make(name, slices, budget=8):
        folder = tmp_path / str(slices)
        folder.mkdir(exist_ok=True)
        strategy = make_strategy(name, {})
        prepared = synthetic.made_up(slices, SIDE, folder)
        return strategy, synthetic.make_round(strategy, prepared, NETWORK, budget=budget, training=TRAINING)

    return make


def test_kernels_reads_and_bytes_are_counted(gpu):
    remote = torch.arange(6.0, device=gpu)
    with counting() as counts:
        (remote.view(2, 3).T * 2).sum()
    assert (counts.kernels, counts.reads, counts.copied) == (2, 0, 0)
    for read in (remote.sum().item, remote.cpu, lambda: remote[remote > 1], remote.nonzero):
        with counting() as counts:
            read()
        assert counts.reads == 1
    with counting() as counts:
        torch.ones(3).pin_memory().to(gpu, non_blocking=True)
        remote.cpu()
    assert (counts.kernels, counts.reads, counts.copied) == (0, 1, 12 + 24)
    weight = torch.ones(6, device=gpu, requires_grad=True)
    with counting() as forward:
        loss = (weight * remote).sum()
    with counting() as backward:
        loss.backward()
    assert backward.kernels >= 1 <= forward.kernels


@pytest.mark.parametrize("name", [entry.name for entry in available(STRATEGIES) if entry.name != "full"])
def test_a_query_keeps_its_limits(make_round, monkeypatch, name):
    monkeypatch.setattr(Learner, "optimize", lambda *arguments, **options: None)  # the second stage of STAR

    def asked(slices, budget):
        strategy, ctx = make_round(name, slices, budget)
        synthetic.images_of(ctx, 1)  # copies the images to the device
        with counting() as counts:
            strategy.query(ctx)
        return counts, ctx

    limit = LIMITS["queries"][name]
    (few, small), (many, large), (more_picks, _) = asked(100, 8), asked(200, 8), asked(100, 16)
    assert few.reads == many.reads == more_picks.reads == limit["reads"]
    batches = [-(-len(ctx.pool.unlabeled) // ctx.learner.inference_batch) for ctx in (small, large)]
    by_batch = (many.kernels - few.kernels) / (batches[1] - batches[0])
    assert limit["passes"] - 0.05 <= by_batch / forward_kernels(large) <= limit["passes"]
    assert few.kernels - batches[0] * by_batch <= limit["once"]
    assert (more_picks.kernels - few.kernels) / 8 <= limit["pick"]
    assert (many.copied - few.copied) / 100 <= limit["copied"]


def forward_kernels(ctx):
    """Kernels of a bare forward pass over a batch, after the first, which converts the weights."""
    images = synthetic.images_of(ctx, ctx.learner.inference_batch)
    with torch.no_grad(), ctx.learner.autocast():
        ctx.learner.network(images)
        with counting() as counts:
            ctx.learner.network(images)
    return counts.kernels


def test_every_query_has_limits():
    assert LIMITS["queries"].keys() == {entry.name for entry in available(STRATEGIES)} - {"full"}


def test_an_evaluation_never_waits_for_the_gpu(make_round):
    _, ctx = make_round("random", 100)
    labeled = ctx.learner.validation
    synthetic.images_of(ctx, 1)
    with ThreadPoolExecutor(2) as threads:
        with counting() as counts:
            scoring = evaluate(ctx.learner, labeled, 1.0, threads)
        assert counts.reads == 0
        assert scoring.result().cases.keys() == set(labeled.slices.cases)


def test_a_further_case_of_an_evaluation_costs_its_passes_and_packed_masks(make_round, tmp_path):
    _, ctx = make_round("random", 100)
    prepared = synthetic.made_up(100, SIDE, tmp_path)
    found = []
    with ThreadPoolExecutor(2) as threads:
        for cases in (prepared.cases[:1], prepared.cases[:1], prepared.cases[:2]):  # the first reads the images
            with counting() as counts:
                evaluate(ctx.learner, prepared.labeled_stack(cases), 1.0, threads).result()
            found.append(counts)
    _, one, two = found
    batches = len(ctx.learner.split(np.arange(synthetic.DEPTH)))
    assert (two.kernels - one.kernels) / batches <= LIMITS["evaluation"]["passes"] * forward_kernels(ctx)
    # Of this prepared set, images are sent, too. Label maps and the counts of every batch come back
    besides = synthetic.DEPTH * (2 + 1) * SIDE**2 + batches * 201 * 8
    assert (two.copied - one.copied - besides) / synthetic.DEPTH <= LIMITS["evaluation"]["copied"]


def test_the_highest_pixels_are_found_without_a_read(make_round):
    _, ctx = make_round("entropy", 100)
    synthetic.images_of(ctx, 1)
    with counting() as counts:
        make_strategy("entropy", {"strategy.aggregation": "top"}).query(ctx)
    assert counts.reads == 1


def test_scores_of_the_highest_pixels_equal_those_of_a_cpu(gpu):
    generator = torch.Generator().manual_seed(0)
    for height, width, top in ((24, 24, 0.01), (10, 10, 0.07), (5, 4, 1.0), (3, 3, 0.001)):
        values, valid = torch.rand(6, height, width, generator=generator), torch.ones(6, height, width)
        valid[2:, height // 2 :] = 0
        expected = aggregate(values, valid, "top", top)
        torch.testing.assert_close(aggregate(values.to(gpu), valid.to(gpu), "top", top).cpu(), expected)


@pytest.mark.parametrize(("name", "purpose"), [("random", "training"), ("taal", "training"), ("star", "propagation")])
def test_a_training_step_keeps_its_limits(make_round, monkeypatch, name, purpose):
    strategy, ctx = make_round(name, 200)  # 20 labeled slices: two full batches and a smaller one
    learner = ctx.learner
    learner._graphs = PassGraphs(learner.network, learner.batch_size, pytest.fail)
    marks, optimize = [], Learner.optimize

    def watched(learner, losses, *arguments, **options):
        def marked(parts, epoch):
            for rows, value in zip(parts, losses(parts, epoch), strict=True):
                marks.append((options["purpose"], epoch, len(rows), counts.kernels, counts.reads, counts.copied))
                yield value

        return optimize(learner, marked, *arguments, **options)

    monkeypatch.setattr(Learner, "optimize", watched)
    learner.training = replace(learner.training, epochs=2)
    with counting() as counts:
        strategy.fit(ctx)
        strategy.query(ctx)
    first, second = [mark for mark in marks if mark[:2] == (purpose, 2)][:2]
    assert first[2] == second[2] == learner.batch_size
    kernels, reads, copied = (b - a for a, b in zip(first[3:], second[3:], strict=True))
    limit = LIMITS["steps"][purpose if name != "taal" else name]
    assert limit["kernels"] - 3 <= kernels <= limit["kernels"]
    assert reads == 0
    assert copied / learner.batch_size <= limit["copied"]


def test_batches_of_a_gpu_are_equally_large(make_round):
    _, ctx = make_round("random", 100)
    learner, ids = ctx.learner, ctx.pool.unlabeled[:65]
    assert learner.inference_batch == 32
    assert list(learner.stream(learner.slices, ids, lambda some, _: len(some))) == [22, 22, 21]
    assert list(learner.stream(learner.slices, ids[:0], lambda some, _: len(some))) == []

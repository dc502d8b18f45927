"""Training passes that are replayed as CUDA graphs: `make test-gpu`."""

import re
from dataclasses import replace

import pytest
import torch
from support.breaking import out_of_memory, stopped
from support.gpu_counts import counting
from support.learners import Drifting, Wrapped, supervised, twice
from torch import nn

from albench.benchmarks.speed import synthetic
from albench.resolve import make_strategy
from albench.training.graphs import PassGraphs
from albench.training.learner import Learner

pytestmark = pytest.mark.gpu

BATCH = 4


@pytest.fixture
def make_learner(gpu, monkeypatch, tmp_path):
    """A round on a GPU with ten labeled slices, in batches of four, four and two; with graphs or without."""
    monkeypatch.setattr(synthetic, "DEVICE", gpu)
    prepared = synthetic.made_up(100, 32, tmp_path)
    training = replace(synthetic.TRAINING, batch_size=BATCH, epochs=2)

    def make(strategy="random", notices=None, network=None):
        strategy = make_strategy(strategy, {})
        ctx = synthetic.make_round(strategy, prepared, synthetic.SMALLEST, training=training)
        learner = ctx.learner
        if network is not None:
            learner.network = network(learner.network)
        if notices is not None:
            learner._graphs = PassGraphs(learner.network, BATCH, notices.append)
        return strategy, ctx

    return make


@pytest.fixture
def exactly(monkeypatch):
    """Trainings that round little, and in the same order wherever the libraries can."""
    monkeypatch.setattr(Learner, "autocast", lambda learner: torch.autocast("cuda", enabled=False))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


def assert_alike(weights, expected, start):
    """Differences are small beside what training changed: Adam enlarges rounding where a gradient is about 0.

    On a simulated GPU equal passes are rounded alike; on a real one, two equal trainings differ too.
    """
    allowed = 0.1 if torch.cuda.default_generators else 1e-3
    assert distance(weights, expected) < allowed * distance(start, expected) > 0


def distance(one, other):
    assert one.keys() == other.keys()
    return torch.stack([(one[key].double() - other[key].double()).norm() for key in one]).norm()


@pytest.mark.parametrize("name", ["random", "taal", "star"])
def test_a_training_with_graphs_gives_the_weights_of_one_without(make_learner, exactly, name):
    notices, weights = [], []
    for graphs in (None, notices):
        strategy, ctx = make_learner(name, graphs)
        start = ctx.learner.weights()
        strategy.fit(ctx)
        strategy.query(ctx)
        weights.append(ctx.learner.weights())
    assert notices == []
    expected = {"random": 2, "taal": 3, "star": 4}[name]  # training and validation; views; the second stage
    assert len(ctx.learner._graphs._recorded) == expected
    assert_alike(weights[1], weights[0], start)


class Asks(Wrapped):
    def forward(self, images):
        return self.inner(images) * (1 if images.mean() > 0 else 2)


class Transposed(Wrapped):
    """A parameter whose gradient lies in memory like its transpose."""

    def __init__(self, inner):
        super().__init__(inner)
        self.table = nn.Parameter(torch.ones(32, 32, device="cuda"))

    def forward(self, images):
        return self.inner(images) * self.table.t()


def assert_trained_as_usual(learner, make_learner, network, loss):
    _, ctx = make_learner(network=network)
    start = ctx.learner.weights()
    ctx.learner.fit(ctx.examples(), loss)
    assert_alike(learner.weights(), ctx.learner.weights(), start)


@pytest.mark.parametrize(
    ("network", "loss", "reason"),
    [
        (Asks, supervised, "(called a synchronizing CUDA operation|CUDA error: operation not permitted)"),
        (Drifting, supervised, "replayed passes differ by"),
        (nn.Sequential, twice, "the loss runs the network more than once"),
    ],
)
def test_what_cannot_be_replayed_is_said_once_and_trains_as_usual(make_learner, exactly, network, loss, reason):
    notices = []
    _, ctx = make_learner(notices=notices, network=network)
    ctx.learner.fit(ctx.examples(), loss)
    assert len(notices) == 1
    assert re.match(f"training without CUDA graphs: {reason}", notices[0])
    assert "forward" not in vars(ctx.learner.network)
    if network is not Drifting:  # which has been called more often
        assert_trained_as_usual(ctx.learner, make_learner, network, loss)


def test_gradients_lie_in_memory_like_their_parameters(make_learner, exactly, monkeypatch):
    notices, layouts, step = [], [], torch.optim.Adam.step

    def watched(optimizer):
        layouts.extend(
            (strides(value), strides(value.grad)) for group in optimizer.param_groups for value in group["params"]
        )
        return step(optimizer)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    _, ctx = make_learner(notices=notices, network=Transposed)
    ctx.learner.fit(ctx.examples(), supervised)
    assert notices == []
    assert all(own == gradient for own, gradient in layouts)
    assert not torch.equal(ctx.learner.weights()["table"], torch.ones(32, 32))
    assert_trained_as_usual(ctx.learner, make_learner, Transposed, supervised)


def strides(value):
    """Of the dimensions with several elements; those of others mean nothing."""
    return [stride for stride, size in zip(value.stride(), value.shape, strict=True) if size > 1]


@pytest.fixture
def make_failing(make_learner, monkeypatch):
    """A learner for which recording a pass raises an error, and the notices about it."""

    def make(error):
        def fail(*arguments, **options):
            raise error

        notices = []
        _, ctx = make_learner(notices=notices)
        monkeypatch.setattr(torch.cuda, "graph", fail)
        return ctx, notices

    return make


def test_graphs_for_which_there_is_no_memory_are_left_out(make_learner, make_failing):
    ctx, notices = make_failing(out_of_memory())
    ctx.learner.fit(ctx.examples(), supervised)
    assert notices == ["training without CUDA graphs: the GPU has no memory for them"]
    assert_trained_as_usual(ctx.learner, make_learner, None, supervised)


def test_a_gpu_that_stops_while_a_pass_is_recorded_is_not_taken_for_a_pass_that_cannot_be(make_failing):
    ctx, notices = make_failing(stopped())
    with pytest.raises(RuntimeError, match="CUDA error: uncorrectable ECC error"):
        ctx.learner.fit(ctx.examples(), supervised)
    assert notices == []


def test_passes_are_recorded_again_where_weights_have_moved(make_learner):
    strategy, ctx = make_learner(notices=[])
    learner = ctx.learner
    strategy.fit(ctx)
    first = list(learner._graphs._recorded.values())
    strategy.fit(ctx)
    assert list(learner._graphs._recorded.values()) == first
    weight = next(learner.network.parameters())
    weight.data = weight.data.clone()
    strategy.fit(ctx)
    assert not set(learner._graphs._recorded.values()) & set(first)


def test_a_step_with_graphs_launches_few_kernels(make_learner):
    counts = []
    for notices in (None, []):
        strategy, ctx = make_learner(notices=notices)
        strategy.fit(ctx)  # which records
        masks = dict(list(ctx.examples().items())[: 2 * BATCH])
        with counting() as two:
            ctx.learner.fit(masks, strategy.loss)
        with counting() as one:
            ctx.learner.fit(dict(list(masks.items())[:BATCH]), strategy.loss)
        counts.append((two.kernels - one.kernels) / 2)  # two epochs
    usual, replayed = counts
    assert replayed < 70 < 340 < usual

"""What `albench show` says of a strategy: what it costs, as it is measured, and when it fails."""

import inspect
import re
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.slow import slow_but
from torch import nn

from albench.benchmarks.speed import synthetic
from albench.networks.residual import Residual
from albench.registry import STRATEGIES, available, find
from albench.resolve import make_strategy
from albench.training.learner import Learner

NAMES = [entry.name for entry in available(STRATEGIES) if entry.cls and entry.cls.__module__.startswith(STRATEGIES)]
QUICK = ["badge", "ceal-entropy", "entropy", "k-center", "mc-dropout", "mixture", "random", "star", "taal"]


def measured(ctx, strategy) -> Counter[str]:
    """Slices that pass through the encoder and through the last layer of the decoder in a query."""
    counts: Counter[str] = Counter()
    network = getattr(ctx.learner.network, "plain", ctx.learner.network)

    def watch(name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda module, given, _: counts.update({name: len(given[0])}))

    watch("encoded", network.encoder)
    watch("decoded", network.decoder.predict)
    strategy.query(ctx)
    return counts


def predictions(ctx, strategy) -> float:
    """The same relative to the number of unlabeled slices; of encoder and decoder the larger one."""
    return max(measured(ctx, strategy).values(), default=0) / len(ctx.pool.unlabeled)


@pytest.mark.parametrize("name", slow_but(QUICK, NAMES))
def test_a_query_predicts_every_slice_as_often_as_the_strategy_says(make_round_of, monkeypatch, name):
    monkeypatch.setattr(Learner, "optimize", lambda *arguments, **options: None)  # a training is no part of it
    strategy = find(STRATEGIES, name)()
    said = strategy.predictions_per_slice()
    assert said is not None, f"{name} must say how often its query predicts a slice: define predictions_per_slice"
    ctx = make_round_of(strategy)
    found = predictions(ctx, strategy)
    labeled = len(ctx.pool.labeled) / len(ctx.pool.unlabeled)  # which a strategy of embeddings also takes
    assert said - 0.02 <= found <= said + (labeled + 0.15) * (said > 0), f"{name} says {said} and takes {found}"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bald", {"passes": 3}),
        ("bal", {"passes": 4}),
        ("mc-dropout", {"passes": 2}),
        ("taal", {"query_rule": "random"}),
        ("spread", {"inner.name": "bald", "inner.passes": 5}),
        ("stochastic-batches", {"inner": "taal"}),
        ("mixture", {"other.name": "bald", "other.passes": 2}),
    ],
)
def test_options_count_in_what_a_query_costs(make_round_of, name, settings):
    strategy = make_strategy(name, {f"strategy.{option}": value for option, value in settings.items()})
    ctx = make_round_of(strategy)
    said, counts = strategy.predictions_per_slice(), measured(ctx, strategy)
    share = counts["decoded"] / len(ctx.pool.unlabeled)
    assert share == pytest.approx(said, abs=0.4 if name == "mixture" else 1e-9)


@pytest.mark.parametrize("name", slow_but(QUICK, NAMES))
def test_scores_order_slices_by_how_much_they_are_wanted_if_the_strategy_says_so(make_round_of, monkeypatch, name):
    monkeypatch.setattr(Learner, "optimize", lambda *arguments, **options: None)
    strategy = find(STRATEGIES, name)()
    ctx = make_round_of(strategy)
    query = strategy.query(ctx)
    if strategy.ranks_by_score():
        assert query.scores is not None, f"{name} gives no scores: let ranks_by_score be false"
        queried = np.isin(ctx.pool.unlabeled, query.ids)
        assert query.wanted()[queried].mean() > query.wanted()[~queried].mean(), f"{name}: set lowest_first"


@pytest.fixture
def make_round_of(monkeypatch, tmp_path):
    """A round with the network of a strategy, on 200 slices of which every tenth is labeled."""
    monkeypatch.setattr(synthetic, "DEVICE", torch.device("cpu"))
    network = Residual(backbone="resnet18", width=0.125, decoder_width=4)
    prepared = synthetic.made_up(200, 32, tmp_path)
    training = replace(synthetic.TRAINING, batch_size=8)
    return lambda strategy: synthetic.make_round(strategy, prepared, network, budget=8, training=training)


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_says_when_it_fails(name):
    doc = inspect.cleandoc(sys.modules[find(STRATEGIES, name).__module__].__doc__ or "")
    paragraphs = [part for part in doc.split("\n\n") if part.startswith("When it fails: ")]
    assert len(paragraphs) == 1, (
        f"the docstring of the module of {name} must have one paragraph that begins with 'When it fails: ': write it"
    )
    assert 60 <= len(paragraphs[0]) <= 600
    before, _, after = doc.partition(paragraphs[0])
    assert before.count(".") >= 1
    assert not after.strip() or re.match(r"\[1\] ", after.strip()), "what a strategy does comes first, sources last"

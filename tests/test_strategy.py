"""Which strategies share the training of round 0."""

from dataclasses import dataclass

import pytest

from albench.query import Query
from albench.registry import STRATEGIES, available
from albench.strategies.bald import BALD
from albench.strategies.star import Star
from albench.strategies.taal import TAAL
from albench.strategy import Strategy


@dataclass(frozen=True)
class Plain(Strategy):
    """Defines nothing but its query."""

    def query(self, ctx):
        return Query.empty()


def test_all_strategies_share_round_zero_except_those_that_train_otherwise():
    training = {entry.name: entry.cls().trains_as() for entry in available(STRATEGIES)}
    assert {name for name, strategy in training.items() if not strategy.shares_round_zero} == {"taal", "full"}


def initial(self, initial, pool):
    return initial[1:]


def network(self, task):
    return task.build()


def loss(self, model, batch, unlabeled, epoch):
    return 2 * batch.supervised(model(batch.images))


def fit(self, ctx):
    ctx.learner.fit(ctx.examples(), self.loss)


@pytest.mark.parametrize("hook", [initial, network, loss, fit], ids=lambda hook: hook.__name__)
@pytest.mark.parametrize("base", [Plain, BALD, Star])
def test_a_strategy_that_defines_a_hook_of_training_does_not_share_round_zero_unless_it_states_so(base, hook):
    own = type("Own", (base,), {hook.__name__: hook})
    assert not own.shares_round_zero
    assert not type("Derived", (own,), {"query": Plain.query}).shares_round_zero
    mixin = type("Mixin", (), {hook.__name__: hook})
    assert not type("Mixed", (mixin, base), {}).shares_round_zero
    assert base.shares_round_zero
    stated = type("Stated", (base,), {hook.__name__: hook, "shares_round_zero": True})
    assert stated.shares_round_zero
    assert not type("Again", (stated,), {hook.__name__: hook}).shares_round_zero


def test_other_subclasses_inherit_whether_they_share_round_zero():
    own = {"query": Plain.query}
    assert type("Own", (BALD,), own).shares_round_zero
    assert type("Own", (Star,), own).shares_round_zero
    assert not type("Own", (TAAL,), own).shares_round_zero
    assert not type("Own", (Plain,), {**own, "shares_round_zero": False}).shares_round_zero


def test_a_dataclass_with_slots_keeps_what_it_states():
    @dataclass(frozen=True, slots=True)
    class Slotted(Plain):
        shares_round_zero = True

        def fit(self, ctx):
            ctx.learner.fit(ctx.examples(), self.loss)

    assert Slotted.shares_round_zero

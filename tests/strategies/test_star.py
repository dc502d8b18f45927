"""STAR as a strategy: propagation, queries, pseudo-labels and ablations."""

import signal
import sys
import weakref
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.forks import run_fork
from support.samples import TINY, tiny_arguments
from support.slow import slow_but
from torch.nn.functional import cosine_similarity

import albench.strategies.star as star_module
from albench.acquisition import entropy
from albench.callback import NullCallback
from albench.cli.catalog import describe
from albench.config import build
from albench.loop import Execution, run
from albench.masks import PackedMasks
from albench.network import Task
from albench.probabilities import predicted_masks
from albench.query import check_query
from albench.registry import options_of
from albench.resolve import resolve
from albench.runs import find_runs
from albench.strategies._star import propagation, training
from albench.strategies._star.attention_examples import largest_of_cases
from albench.strategies._star.propagation import Rules, propagate
from albench.strategies._star.similarity import SIMILARITIES
from albench.strategies._star.training import Pairs
from albench.strategies.star import PRESETS, TABLE_2, Star
from albench.strategy import Round
from albench.training.examples import Examples
from albench.training.predictor import eval_mode

PAPER = Star()
SETTINGS = [*TABLE_2, {"preset": "reference"}, {"share_kv": True}, {"propagation_loss": "focal"}]


@pytest.fixture
def star_round(make_round):
    """A round with an untrained network of STAR, and slices with padding if requested."""

    def make(strategy=PAPER, padding=False, **options) -> Round:
        ctx = make_round(**options)
        network = resolve("star", "phantom", settings=TINY | {"network.stem_stride": 2}).network
        torch.manual_seed(0)
        net = strategy.network(Task(1, (32, 32), network))
        for module in net.modules():  # without this, the features of all slices would be nearly equal
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 2)
                torch.nn.init.uniform_(module.bias, -1, 1)
        ctx.learner.network = net
        if padding:
            sizes = np.array([[32, 32], [20, 32], [32, 12], [24, 24]])
            slices = replace(ctx.pool.slices, valid=sizes[ctx.pool.slices.case])
            ctx.learner.slices = slices
            ctx = replace(ctx, pool=replace(ctx.pool, slices=slices))
        return ctx

    return make


def rules(aggregation="attention", similarity="flat"):
    return Rules(aggregation, SIMILARITIES[similarity], entropy)


def memory_of(ctx):
    return {int(i): ctx.pool.mask(int(i)) for i in ctx.pool.labeled}


def groups_of(strategy, ctx):
    return strategy._groups(ctx.pool, memory_of(ctx), ctx.interval)


def run_propagation(ctx, strategy=PAPER, ids=None, memory=None, shown=2, **options):
    memory = memory_of(ctx) if memory is None else memory
    groups = strategy._groups(ctx.pool, memory, ctx.interval)
    ids = ctx.pool.unlabeled if ids is None else ids
    return propagate(ctx.learner.network, ctx.learner, ids, memory, groups, rules(**options), shown=shown)


def slice_by_slice(ctx, groups, similarity):
    """The same for one slice and one group at a time, with a memory for each and attention in a loop."""
    net, learner, memory = ctx.learner.network, ctx.learner, memory_of(ctx)
    result = {}

    def inside(valid, maps):
        share = torch.nn.functional.adaptive_max_pool2d(valid, maps.shape[-2:])
        return (share[0, 0] > 0).double()

    def cosine(a, b, valid):
        if similarity == "flat":
            mask = inside(valid, a.deepest)
            return float(
                cosine_similarity((a.deepest * mask).flatten().double(), (b.deepest * mask).flatten().double(), dim=0)
            )
        mask = inside(valid, a.deepest)
        return float((cosine_similarity(a.deepest[0].double(), b.deepest[0].double(), dim=0) * mask).sum() / mask.sum())

    with eval_mode(*net.modules()), torch.no_grad():
        for group in (group for own in groups for group in own):
            members = [int(i) for i in group if int(i) in memory]
            for i in (int(i) for i in group if int(i) not in memory):
                batch = learner.batch(ctx.pool.slices, np.array([i]), np.zeros((1, 32, 32), dtype=np.uint8))
                own = net.encode(batch.images)
                known, cosines = [], []
                for m in members:
                    labeled = learner.batch(ctx.pool.slices, np.array([m]), memory[m][None].copy())
                    features = net.labeled_encoder(labeled)
                    cosines.append(cosine(own, features, batch.valid))
                    kv = net.memory_head(features.deepest)
                    keep = inside(labeled.valid, features.deepest).flatten().bool()
                    known.append((kv.keys[0][keep].double(), kv.values[0][keep].double()))
                query = net.query_head(own.deepest)
                keys, values = (torch.cat(part) for part in zip(*known, strict=True))
                read = []
                for position in query.keys[0].double():
                    weights = torch.exp(keys @ position / keys.shape[1] ** 0.5)
                    read.append((weights[:, None] * values).sum(0) / weights.sum())
                r4 = torch.cat([torch.stack(read).float(), query.values[0]], 1).T.reshape(own.deepest.shape)
                probs = torch.sigmoid(net.decode(net.prepare(own)._replace(deepest=r4), batch.images.shape[-2:]))[0, 0]
                result.setdefault(i, []).append((probs, float(np.mean(cosines)), batch.valid[0, 0]))
    merged = {}
    for i, found in result.items():
        probs, valid = torch.stack([p for p, _, _ in found]).mean(0), found[0][2]
        uncertainty = float((entropy(probs[None]) * valid).sum() / valid.sum())
        merged[i] = (float(np.mean([c for _, c, _ in found])), uncertainty, probs * valid)
    return merged


@pytest.mark.parametrize("similarity", ["flat", "positional"])
@pytest.mark.parametrize("grouping", ["fixed", "sliding"])
def test_propagation_equals_that_slice_by_slice(star_round, monkeypatch, grouping, similarity):
    ctx = star_round(padding=True, interval=3)
    strategy = Star(grouping=grouping)
    merged = []
    original = propagation._Block._probabilities

    def watched(*arguments):
        merged.append(original(*arguments))
        return merged[-1]

    monkeypatch.setattr(propagation._Block, "_probabilities", watched)
    found = run_propagation(ctx, strategy, similarity=similarity)
    slow = slice_by_slice(ctx, groups_of(strategy, ctx), similarity)
    assert sorted(slow) == found.ids.tolist() == ctx.pool.unlabeled.tolist()
    np.testing.assert_allclose(found.similarity, [slow[i][0] for i in sorted(slow)], atol=1e-4)
    np.testing.assert_allclose(found.entropy, [slow[i][1] for i in sorted(slow)], atol=1e-4)
    for i, ours in zip(sorted(slow), torch.cat(merged)[:, 0], strict=True):
        probs = slow[i][2]
        height, width = ctx.pool.slices.valid[i]
        torch.testing.assert_close(ours[:height, :width], probs[:height, :width], atol=1e-4, rtol=0)
        certain = (probs - 0.5).abs().numpy() > 1e-4
        assert np.array_equal(found.masks[i][certain], (probs >= 0.5).numpy()[certain])
    assert found.similarity.std() > 1e-3  # otherwise the comparison would be meaningless


def test_a_batch_is_released_before_the_next_is_computed(star_round, monkeypatch):
    ctx = star_round()
    made, alive = [], []
    original = propagation._Block._probabilities

    def watched(block, rows, members, features, size):
        alive.append(any(one() is not None for one in made))
        probs = original(block, rows, members, features, size)
        made.extend(map(weakref.ref, (features.deepest, probs)))
        return probs

    monkeypatch.setattr(propagation._Block, "_probabilities", watched)
    run_propagation(ctx)
    assert len(alive) > 2
    assert not any(alive)


def test_a_slice_in_two_groups_has_the_mean_of_both(star_round, monkeypatch):
    ctx = star_round(interval=4)
    case = next(s for s in range(4) if len(ctx.pool.slices.of(s)) % 4 in (2, 3))
    own = ctx.pool.slices.of(case)
    *_, first, second = groups_of(Star(), ctx)[case]
    shared = sorted(set(first) & set(second) & set(ctx.pool.unlabeled.tolist()))
    assert shared

    probabilities = []
    average = propagation.mean_over_valid
    monkeypatch.setattr(propagation, "mean_over_valid", lambda v, m: probabilities.append(v) or average(v, m))

    def predict(groups):
        everywhere = [groups if s == case else [] for s in range(4)]
        rule = Rules("attention", SIMILARITIES["flat"], lambda p: p[:, 0])
        found = propagate(ctx.learner.network, ctx.learner, np.array(shared), memory_of(ctx), everywhere, rule)
        return found.similarity, probabilities[-1]

    one, other, both = (predict(groups) for groups in ([first], [second], [first, second]))
    np.testing.assert_allclose(both[0], (one[0] + other[0]) / 2)
    torch.testing.assert_close(both[1], (one[1] + other[1]) / 2)
    assert not torch.allclose(one[1], other[1])
    assert set(shared) <= set(own.tolist())


@pytest.mark.parametrize("grouping", ["fixed", "sliding"])
def test_each_slice_is_encoded_once_for_all_of_its_groups(star_round, monkeypatch, grouping):
    ctx = star_round(interval=2)
    net = ctx.learner.network
    seen = {"unlabeled": 0, "labeled": 0, "decoded": 0}
    plain = net.plain
    encode, labeled, decode = plain.encoder.forward, net.labeled_encoder.forward, plain.decoder.forward
    monkeypatch.setattr(
        plain.encoder, "forward", lambda x: (seen.update(unlabeled=seen["unlabeled"] + len(x)), encode(x))[1]
    )
    monkeypatch.setattr(
        net.labeled_encoder, "forward", lambda x: (seen.update(labeled=seen["labeled"] + len(x.images)), labeled(x))[1]
    )
    monkeypatch.setattr(
        plain.decoder, "forward", lambda f: (seen.update(decoded=seen["decoded"] + len(f.deepest)), decode(f))[1]
    )
    strategy = Star(grouping=grouping)
    run_propagation(ctx, strategy, shown=0)  # examples of attention are encoded again
    passes = sum(len(np.intersect1d(group, ctx.pool.unlabeled)) for own in groups_of(strategy, ctx) for group in own)
    assert passes > len(ctx.pool.unlabeled)
    assert seen == {"unlabeled": len(ctx.pool.unlabeled), "labeled": len(ctx.pool.labeled), "decoded": passes}


def test_propagation_does_not_depend_on_the_order_of_cases(star_round):
    ctx = star_round()
    found = run_propagation(ctx)
    slices = ctx.pool.slices
    order = np.concatenate([slices.of(s) for s in (2, 0, 3, 1)])
    permuted = replace(
        slices,
        rows=slices.rows[order],
        case=np.repeat(np.arange(4), [len(slices.of(s)) for s in (2, 0, 3, 1)]),
        position=slices.position[order],
        valid=slices.valid[order],
        cases=tuple(slices.cases[s] for s in (2, 0, 3, 1)),
        spacing=slices.spacing[[2, 0, 3, 1]],
    )
    masks = {new: ctx.pool.mask(int(old)) for new, old in enumerate(order) if int(old) in memory_of(ctx)}
    ctx.learner.slices = permuted
    other = replace(ctx, pool=type(ctx.pool)(permuted).with_masks(masks))
    again = run_propagation(other)
    back = np.argsort(order[again.ids])
    assert np.array_equal(order[again.ids][back], found.ids)
    assert np.array_equal(again.similarity[back], found.similarity)
    assert np.array_equal(again.entropy[back], found.entropy)
    assert all(np.array_equal(again.masks[new], found.masks[int(order[new])]) for new in again.ids.tolist())


def test_a_slice_without_a_labeled_one_in_its_group_is_least_similar_and_segmented_alone(star_round):
    ctx = star_round(labeled=12)
    found = run_propagation(ctx)
    reached = [group for own in groups_of(Star(), ctx) for group in own if set(group.tolist()) & set(memory_of(ctx))]
    alone = ~np.isin(found.ids, np.concatenate(reached))
    assert 0 < alone.sum() < len(alone)
    assert (found.similarity[alone] == -1).all()
    assert (found.similarity[~alone] > -1).all()
    plain = star_module._plain_predictions(ctx, found.ids[alone], ctx.learner.weights())
    assert all(np.array_equal(plain[i], found.masks[i]) for i in found.ids[alone].tolist())


def test_nothing_is_predicted_in_the_padding(star_round):
    ctx = star_round(padding=True)
    with torch.no_grad():
        ctx.learner.network.plain.decoder.predict.bias.fill_(50)
    found = run_propagation(ctx)
    for i in found.ids.tolist():
        height, width = ctx.pool.slices.valid[i]
        assert found.masks[i][:height, :width].all()
        assert found.masks[i].sum() == height * width


@pytest.mark.parametrize("rows", [[3], [1, 2, 3], [0, 2], [2, 1], [0, 0, 2], [1, 1]])
def test_an_index_keeps_the_order_of_rows_and_copies_nothing_if_they_are_consecutive(rows):
    part = torch.arange(8.0).view(4, 2)
    taken = part[propagation._rows(np.array(rows), part.device)]
    assert torch.equal(taken, torch.stack([part[row] for row in rows]))
    consecutive = rows == list(range(rows[0], rows[0] + len(rows)))
    assert (taken.untyped_storage().data_ptr() == part.untyped_storage().data_ptr()) == consecutive


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=12), st.integers(0, 4))
def test_the_largest_of_cases_are_those_of_a_search(rows, count):
    rows = sorted(rows, key=lambda row: row[0])
    best = {}
    for row, (case, area) in enumerate(rows):
        if area > best.get(case, (0,))[0]:
            best[case] = area, row
    expected = [row for _, row in sorted(best.values(), key=lambda one: (-one[0], one[1]))][:count]
    case, areas = np.array(rows, dtype=np.int64).T
    assert largest_of_cases(case, areas.astype(np.float64), count) == expected


@pytest.mark.parametrize("shown", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("equal", [False, True])
def test_examples_of_attention_are_the_slices_with_the_largest_foreground(star_round, shown, batch_size, equal):
    ctx = star_round()
    if equal:  # all masks are full
        with torch.no_grad():
            ctx.learner.network.plain.decoder.predict.bias.fill_(50)
    ctx.learner.batch_size = batch_size
    found = run_propagation(ctx, shown=shown)
    case = ctx.pool.slices.case
    area = {i: int(mask.sum()) for i, mask in found.masks.items()}
    order = sorted(area, key=lambda i: (-area[i], i))
    largest = [i for n, i in enumerate(order) if case[i] not in case[order[:n]]]
    assert len(set(area.values())) == 1 if equal else len(set(area.values())) > 4
    assert [(one.slice_id, one.area) for one in found.attention] == [(i, area[i]) for i in largest[:shown]]


def test_attention_sums_to_one_and_is_zero_in_the_padding(star_round):
    ctx = star_round(padding=True)
    with torch.no_grad():
        ctx.learner.network.plain.decoder.predict.bias.fill_(50)
    found = run_propagation(ctx)
    assert len(found.attention) == 2
    for example in found.attention:
        assert set(example.memory.tolist()) <= set(ctx.pool.labeled.tolist())
        assert example.weights.shape == (len(example.memory), 4, 4)
        assert example.weights.sum() == pytest.approx(1, abs=1e-5)
        height, width = ctx.pool.slices.valid[example.slice_id]
        assert not example.weights[:, -(-height // 8) :].any()
        assert not example.weights[:, :, -(-width // 8) :].any()


@pytest.mark.parametrize("fields", SETTINGS)
def test_every_setting_gives_a_query_by_the_rules(star_round, fields):
    strategy = Star(**fields)
    ctx = star_round(strategy)
    query = strategy.query(ctx)
    check_query(query, ctx.pool, ctx.budget)
    assert not set(query.ids.tolist()) & set(query.pseudo)
    count = 0 if strategy.aggregation == "none" else ctx.budget
    assert len(query.pseudo) == count if strategy.refill else len(query.pseudo) <= count


def test_the_least_similar_slices_of_groups_are_queried_in_ascending_order(star_round):
    ctx = star_round(budget=4)
    query = Star().query(ctx)
    similarity = dict(zip(ctx.pool.unlabeled.tolist(), query.scores, strict=True))
    groups = [[int(i) for i in group if int(i) in similarity] for own in groups_of(Star(), ctx) for group in own]
    nominated = sorted({min(group, key=lambda i: (similarity[i], i)) for group in groups if group}, key=similarity.get)
    assert query.ids.tolist() == nominated[:4]
    overall = Star(selection="global").query(star_round(budget=4))
    lowest = sorted(ctx.pool.unlabeled.tolist(), key=lambda i: (overall.scores[ctx.pool.unlabeled == i][0], i))
    assert overall.ids.tolist() == lowest[:4]


def test_a_budget_above_the_number_of_groups_is_filled_with_second_slices(star_round):
    ctx = star_round()
    query = Star().query(replace(ctx, budget=len(ctx.pool.unlabeled)))
    assert sorted(query.ids.tolist()) == ctx.pool.unlabeled.tolist()
    assert not query.pseudo


@pytest.mark.parametrize("refill", [True, False])
def test_a_queried_slice_is_not_pseudo_labeled(refill):
    masks = PackedMasks.of(np.arange(6), np.array([[[0]], [[0]], [[1]], [[0]], [[1]], [[1]]], dtype=np.uint8))
    found = propagation.Propagation(np.arange(6), np.zeros(6), np.array([0.1, 0.2, 0.3, 0.3, 0.5, 0.6]), masks, [])
    queried = np.array([1, 5])
    expected = [0, 2, 3] if refill else [0, 2]
    assert Star(refill=refill)._most_certain(found, queried, 3) == expected
    assert Star(refill=refill, pseudo_count=1)._most_certain(found, queried, 3) == [0]
    assert Star(refill=refill, pseudo_count=0)._most_certain(found, queried, 3) == []
    assert Star(refill=refill, exclude_empty=True)._most_certain(found, queried, 3) == [2, 4]
    assert Star(refill=refill, balanced=True)._most_certain(found, queried, 2) == [0, 2]


def test_the_memory_contains_pseudo_labels_only_if_the_option_is_set(star_round, monkeypatch):
    ctx = star_round()
    pseudo = {int(i): np.ones((32, 32), dtype=np.uint8) for i in ctx.pool.unlabeled[:5]}
    ctx = replace(ctx, pseudo=pseudo)
    used = []
    monkeypatch.setattr(star_module, "propagate", lambda *a: used.append(a[2:4]) or propagate(*a))
    Star().query(ctx)
    query = Star(pseudo_as_memory=True).query(ctx)
    (ids, memory), (fewer, more) = used
    assert list(memory) == ctx.pool.labeled.tolist()
    assert ids.tolist() == ctx.pool.unlabeled.tolist()
    assert sorted(more) == sorted([*ctx.pool.labeled.tolist(), *pseudo])
    assert fewer.tolist() == [i for i in ctx.pool.unlabeled.tolist() if i not in pseudo]
    assert not set(query.ids.tolist()) & set(pseudo)
    assert (query.scores[:5] == 1).all()


def test_pseudo_labeled_slices_are_candidates_if_there_are_too_few_others(star_round):
    ctx = star_round()
    pseudo = {int(i): np.ones((32, 32), dtype=np.uint8) for i in ctx.pool.unlabeled[1:]}
    check_query(Star(preset="reference").query(replace(ctx, pseudo=pseudo)), ctx.pool, ctx.budget)


def test_without_pairs_slices_are_segmented_without_attention(star_round):
    ctx = star_round(interval=100)
    query = Star().query(ctx)
    assert query.notes["pairs"] == 0
    assert not ctx.learner.log
    assert len(query.pseudo) == ctx.budget
    plain, found = query.predictions["plain"], query.predictions["propagated"]
    assert all(np.array_equal(plain[i], found[i]) for i in plain)


def test_plain_predictions_use_the_weights_before_the_second_stage_and_restore_those_after_it(star_round):
    ctx = star_round()
    expected = {
        int(i): predicted_masks(found.probs, found.valid)[row].numpy()
        for found in ctx.learner.predict(ctx.pool.slices, ctx.pool.unlabeled)
        for row, i in enumerate(found.ids)
    }
    query = Star().query(ctx)
    plain = query.predictions["plain"]
    assert list(plain) == ctx.pool.unlabeled[::8].tolist()
    assert all(np.array_equal(plain[i], expected[i]) for i in plain)
    after = ctx.learner.weights()
    again = star_round()
    with patch.object(star_module, "_plain_predictions", lambda ctx, ids, before: query.predictions["plain"]):
        Star().query(again)
    assert all(torch.equal(after[name], value) for name, value in again.learner.weights().items())


def test_frozen_normalization_keeps_its_statistics_in_the_second_stage(star_round):
    moved = []
    for norm in ("frozen", "train"):
        ctx = star_round()
        before = ctx.learner.network.plain.encoder.bn1.running_mean.clone()
        Star(batch_norm=norm).query(ctx)
        moved.append(not torch.equal(before, ctx.learner.network.plain.encoder.bn1.running_mean))
    assert moved == [False, True]


def test_all_parts_of_the_network_are_trained_in_the_second_stage(star_round):
    ctx = star_round()
    before = {name: value.clone() for name, value in ctx.learner.network.named_parameters()}
    Star().query(ctx)
    after = dict(ctx.learner.network.named_parameters())
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {name.removeprefix("plain.").split(".")[0] for name in changed} == {
        "encoder",
        "labeled_encoder",
        "query_head",
        "memory_head",
        "decoder",
    }
    assert [training.summary.purpose for training in ctx.learner.log] == ["propagation"]


def test_the_second_stage_starts_with_the_encoder_of_the_first(star_round, monkeypatch):
    ctx = star_round()
    monkeypatch.setattr(ctx.learner, "optimize", lambda *a, **k: None)
    net = ctx.learner.network
    assert not torch.equal(net.labeled_encoder.encoder.conv1.weight, net.plain.encoder.conv1.weight)
    Star().query(ctx)
    copy = net.labeled_encoder.encoder.state_dict()
    assert all(torch.equal(copy[name], value) for name, value in net.plain.encoder.state_dict().items())


@pytest.fixture
def pair_step(star_round, monkeypatch):
    """Gives the loss of the second stage for a pair, what its network was given, and images and masks of both slices.

    The network predicts the given mask with certainty, or that of the slice in the memory.
    """
    learner = star_round().learner
    masks = {i: np.pad(np.ones((8 + i, 20), dtype=np.uint8), ((0, 24 - i), (0, 12))) for i in range(2)}
    whole = learner.batch(learner.slices, np.arange(2), np.stack(list(masks.values())))
    asked = []
    monkeypatch.setattr(learner, "optimize", lambda losses, *arguments, **options: asked.append(losses))

    def step(ids, mask=None, *, augmented):
        learner.training, given = replace(learner.training, augment=augmented), []

        class Network(torch.nn.Module):
            def share_encoder(self):
                pass

            def propagate(self, image, memory):
                given.append((image, memory))
                return torch.where((memory.masks if mask is None else mask) > 0, 100.0, -100.0)

        pairs = Pairs.of(Examples.of_masks(learner.slices, masks, learner.device), np.array([ids]))
        options = {"lr": 1, "patience": 1, "loss": "bce", "freeze_norm": True}
        training.train_propagation(Network(), learner, pairs, None, **options)
        return float(next(asked[-1]([np.array([0])], 1))), *given[-1], whole

    return step


def test_the_first_slice_of_a_pair_is_the_memory_and_the_second_is_the_target(pair_step):
    *_, whole = pair_step([0, 1], augmented=False)
    loss, image, memory, _ = pair_step([0, 1], whole.masks[1:], augmented=False)
    assert loss < 1e-6
    assert torch.equal(image, whole.images[1:])
    assert torch.equal(memory.images, whole.images[:1])
    assert torch.equal(memory.masks, whole.masks[:1])
    assert pair_step([0, 1], whole.masks[:1], augmented=False)[0] > 1


def test_both_slices_of_a_pair_are_augmented_alike(pair_step):
    moved = 0
    for seed in range(4):
        torch.manual_seed(seed)
        loss, image, memory, whole = pair_step([0, 0], augmented=True)
        assert loss < 1e-6
        assert torch.equal(image, memory.images)
        moved += not torch.equal(memory.masks, whole.masks[:1])
    assert moved > 0


@pytest.mark.parametrize(("given", "used"), [(None, 1e-3), (0.5, 0.5)])
def test_the_second_stage_has_the_learning_rate_of_the_first_by_default(star_round, monkeypatch, given, used):
    ctx = star_round()
    rates = []
    monkeypatch.setattr(ctx.learner, "optimize", lambda *a, lr, **k: rates.append(lr))
    Star(propagation_lr=given).query(ctx)
    assert rates == [used]


def test_a_preset_sets_the_options_that_are_not_set():
    assert options_of(Star()) == options_of(Star(preset="paper"))
    for name, fields in PRESETS.items():
        assert {field: getattr(Star(preset=name), field) for field in fields} == fields
    mixed = build(Star, {"preset": "reference", "grouping": "fixed", "refill": True}, "strategy")
    assert (mixed.grouping, mixed.refill, mixed.similarity, mixed.propagation_lr) == ("fixed", True, "multiscale", 5e-5)
    assert build(Star, {"preset": "reference"}, "strategy") == Star(preset="reference")


def test_the_page_of_star_shows_what_the_reference_preset_sets():
    page = " ".join(describe("star").split())
    for field, value in PRESETS["reference"].items():
        text = str(value).lower() if isinstance(value, bool) else {5e-5: "5e-5"}.get(value, str(value))
        assert f"{field}={text}" in page


def results(run):
    return [record.results() for record in run.records]


def test_row_1_of_table_2_has_the_results_of_random(tiny_run):
    fields = {f"strategy.{name}": value for name, value in TABLE_2[0].items()}
    assert results(tiny_run("star", fields)) == results(tiny_run("random"))


def test_round_0_is_that_of_every_other_strategy_and_the_second_stage_is_recorded(tiny_run):
    star, random = tiny_run("star").records, tiny_run("random").records
    for part in ("labeled", "test", "val", "cases", "fit_trainings"):
        assert getattr(star[0], part) == getattr(random[0], part)
    assert random[0].cost.fit_epoch_seconds == (), "the training must be shared"
    assert star[1].test != random[1].test
    assert [training.purpose for training in star[0].query_trainings] == ["propagation"]
    eighth = -(-star[0].unlabeled // 8)
    counts = {name: quality.count for name, quality in star[0].predictions.items()}
    assert counts == {"propagated": eighth, "plain": eighth, "pseudo": 3, "pseudo_plain": 3}
    assert star[1].pseudo.count == 3


def test_round_0_trained_by_star_equals_that_of_other_strategies(tiny_run):
    star, random = tiny_run("star", out="one").records, tiny_run("random", out="other").records
    assert star[0].cost.fit_epoch_seconds
    assert random[0].cost.fit_epoch_seconds
    assert (star[0].fit_trainings, star[0].test) == (random[0].fit_trainings, random[0].test)


@pytest.mark.parametrize("padding", [False, True])
def test_results_do_not_depend_on_the_size_of_a_block(star_round, monkeypatch, padding):
    ctx = star_round(padding=padding)
    monkeypatch.setattr(propagation, "_BATCHES", 0)
    one_by_one = run_propagation(ctx, shown=3)
    monkeypatch.setattr(propagation, "_BATCHES", 100)
    together = run_propagation(ctx, shown=3)
    np.testing.assert_allclose(together.similarity, one_by_one.similarity, atol=1e-5)
    np.testing.assert_allclose(together.entropy, one_by_one.entropy, atol=1e-5)
    assert (together.masks.packed != one_by_one.masks.packed).mean() < 0.01
    assert [a.slice_id for a in together.attention] == [a.slice_id for a in one_by_one.attention]


class StopError(Exception):
    pass


@pytest.mark.parametrize("moment", slow_but(["propagation"], ["second stage", "propagation"]))
def test_a_run_stopped_in_a_query_has_the_same_results_when_continued(tiny_run, tmp_path, monkeypatch, moment):
    monkeypatch.setattr(propagation, "_BATCHES", 0)  # every case is a block
    expected = results(tiny_run("star"))
    calls = []

    class Stopping(NullCallback):
        now = (0, "fit")

        def on_phase(self, round_index, name):
            self.now = (round_index, name)

        def on_epoch(self, epoch, epochs, loss, val_loss):
            if moment == "second stage" and self.now == (1, "query") and epoch == 2:
                raise StopError

    original = propagation._propagate_block

    def stopping(*args):
        calls.append(args)
        if moment == "propagation" and len(calls) == 7:  # the third of four cases in round 1
            raise StopError
        return original(*args)

    monkeypatch.setattr(propagation, "_propagate_block", stopping)
    resolved = resolve("star", "phantom", settings=TINY)
    arguments = resolved, tmp_path / "stopped", Execution(torch.device("cpu"))
    with pytest.raises(StopError):
        run(*arguments, Stopping())
    assert results(run(*arguments)) == expected


KILLED = """
import os, signal, sys
from albench.cli.main import main
from albench.strategies._star import propagation, training
module, name, count = sys.argv[1:4]
module = {"training": training, "propagation": propagation}[module]
original, calls = getattr(module, name), []
def dying(*args, **options):
    calls.append(1)
    if len(calls) == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **options)
setattr(module, name, dying)
del sys.argv[1:4]
main()
"""


@pytest.mark.slow
def test_a_run_killed_in_the_second_stage_and_in_propagation_has_the_same_results(tmp_path):
    command = ["run", "--strategy", "star", "--dataset", "phantom", *tiny_arguments()]

    def start(folder, moment):
        call = [sys.executable, "-c", KILLED, *moment, *command, "--out", str(tmp_path / folder)]
        return run_fork(*call, cwd=tmp_path, timeout=120).returncode

    def stored(folder):
        (found,) = find_runs(tmp_path / folder)
        return results(found)

    assert start("whole", ("training", "_loss", "0")) == 0
    assert start("killed", ("training", "_loss", "3")) == -signal.SIGKILL
    assert start("killed", ("propagation", "_propagate_block", "2")) == -signal.SIGKILL
    assert len(stored("killed")) == 1
    assert start("killed", ("training", "_loss", "0")) == 0
    assert stored("killed") == stored("whole")

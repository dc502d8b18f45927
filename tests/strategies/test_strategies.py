"""The query of every strategy against a second implementation, on a tiny phantom with an untrained network."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss
from scipy.stats import chisquare
from support.slow import slow_but
from torch import nn

from albench.errors import StrategyError
from albench.registry import STRATEGIES, available, find
from albench.strategies.bald import BALD
from albench.strategies.power_bald import PowerBALD
from albench.strategies.softrank_bald import SoftrankBALD
from albench.strategies.strided import bisect
from albench.strategies.taal import TAAL, VIEWS, invert, transform
from albench.training.batches import Images
from albench.training.learner import Learner
from albench.training.losses import ramp_up
from albench.training.predictor import Prediction


def make(name: str, **options: object):
    return find(STRATEGIES, name)(**options)


def probabilities(ctx) -> np.ndarray:
    """(n, h, w) of the unlabeled slices, in one plain forward pass; the phantom has no padding."""
    network = ctx.learner.network.eval()
    slices = ctx.pool.slices
    images = torch.from_numpy(slices.read(ctx.pool.unlabeled).astype(np.float32))
    with torch.no_grad():
        return torch.sigmoid(network(images))[:, 0].double().numpy()


def samples(ctx, passes: int) -> np.ndarray:
    """(passes, n, h, w) dropout samples, equal to those of a query from the same random state."""
    torch.manual_seed(5)
    parts = [found.probs[:, :, 0] for found in ctx.learner.predict_mc(ctx.pool.slices, ctx.pool.unlabeled, passes)]
    torch.manual_seed(5)
    return torch.cat(parts, 1).double().numpy()


def median_peak(ctx) -> float:
    """The median over slices of the highest logit."""
    peak = np.quantile(probabilities(ctx).max((1, 2)), 0.5)
    return float(np.log(peak / (1 - peak)))


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(p) + (1 - p) * np.log(1 - p))


def expect_highest(query, ctx, scores: np.ndarray) -> None:
    np.testing.assert_allclose(query.scores, scores, rtol=1e-4)
    order = np.argsort(-scores, kind="stable")[: ctx.budget]
    assert query.ids.tolist() == ctx.pool.unlabeled[order].tolist()


def test_random_draws_every_slice_equally_often(make_round):
    ctx = make_round()
    draws = np.concatenate([make("random").query(ctx).ids for _ in range(1000)])
    assert chisquare(np.unique(draws, return_counts=True)[1]).pvalue > 1e-4
    assert set(draws) == set(ctx.pool.unlabeled)


def test_entropy_queries_the_highest_mean_entropy(make_round):
    ctx = make_round()
    expect_highest(make("entropy").query(ctx), ctx, entropy(probabilities(ctx)).mean((1, 2)))


def test_margin_queries_the_lowest_mean_margin(make_round):
    ctx = make_round()
    expect_highest(make("margin").query(ctx), ctx, 1 - np.abs(2 * probabilities(ctx) - 1).mean((1, 2)))


@pytest.mark.parametrize("aggregation", ["sum", "top"])
def test_aggregation_is_an_option_of_every_strategy_that_scores_pixels(make_round, aggregation):
    ctx = make_round()
    pixels = np.sort(entropy(probabilities(ctx)).reshape(len(ctx.pool.unlabeled), -1))[:, ::-1]
    scores = pixels.sum(1) if aggregation == "sum" else pixels[:, :103].mean(1)  # 10 % of 1024, rounded up
    expect_highest(make("entropy", aggregation=aggregation, top=0.1).query(ctx), ctx, scores)
    for name in (
        "margin",
        "mc-dropout",
        "bald",
        "power-bald",
        "softrank-bald",
        "power-pe",
        "clasp-pe",
        "ceal-margin",
        "ceal-entropy",
        "ceal-mc-dropout",
        "taal",
    ):
        assert len(make(name, aggregation=aggregation, top=0.1).query(ctx).ids) == ctx.budget


def test_mc_dropout_queries_the_highest_entropy_of_the_mean_probability(make_round):
    ctx = make_round()
    expected = entropy(samples(ctx, 10).mean(0)).mean((1, 2))
    expect_highest(make("mc-dropout").query(ctx), ctx, expected)


def test_mc_dropout_by_variance_queries_the_highest_population_variance(make_round):
    ctx = make_round()
    expected = samples(ctx, 4).var(0).mean((1, 2))
    expect_highest(make("mc-dropout", passes=4, measure="variance").query(ctx), ctx, expected)


def test_bald_queries_the_highest_mutual_information(make_round):
    ctx = make_round()
    p = samples(ctx, 10)
    query = make("bald").query(ctx)
    expected = (entropy(p.mean(0)) - entropy(p).mean(0)).mean((1, 2))
    np.testing.assert_allclose(query.scores, expected, atol=1e-6)
    assert query.ids[0] == ctx.pool.unlabeled[expected.argmax()]
    assert query.scores[np.isin(ctx.pool.unlabeled, query.ids)].min() >= np.sort(expected)[-ctx.budget] - 1e-6


@pytest.mark.parametrize("name", ["mc-dropout", "bald", "power-bald", "softrank-bald", "bal", "ceal-mc-dropout"])
def test_strategies_with_dropout_samples_reject_a_network_without_dropout(make_round, name):
    ctx = make_round()
    ctx.learner.network.dropout.p = 0.0
    with pytest.raises(StrategyError, match=r"need a network with dropout, Segmenter has none above 0: use --set"):
        make(name).query(ctx)


def test_bald_rejects_samples_that_are_all_equal(make_round, monkeypatch):
    ctx = make_round()
    monkeypatch.setattr(type(ctx), "score_mc", lambda self, *_: np.zeros(len(self.pool.unlabeled)))
    with pytest.raises(StrategyError, match=r"dropout samples must differ, they are equal for every slice: raise"):
        make("bald").query(ctx)


@dataclass(frozen=True)
class Weighted(PowerBALD):
    """PowerBALD with a mutual information of 1, 2, 3, ..."""

    def information(self, ctx):
        return np.arange(1.0, len(ctx.pool.unlabeled) + 1)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_power_bald_draws_with_probability_proportional_to_a_power_of_the_information(make_round, exponent):
    ctx = make_round(budget=1)
    draws = [int(Weighted(exponent=exponent).query(ctx).ids[0]) for _ in range(3000)]
    weights = np.arange(1.0, len(ctx.pool.unlabeled) + 1) ** exponent
    counts = [draws.count(i) for i in ctx.pool.unlabeled]
    assert chisquare(counts, weights / weights.sum() * len(draws)).pvalue > 1e-4


def test_power_bald_ranks_by_the_information_of_bald(make_round):
    ctx = make_round()
    torch.manual_seed(1)
    bald = BALD().information(ctx)
    torch.manual_seed(1)
    expected = set(ctx.pool.unlabeled[np.argsort(-bald)[: ctx.budget]])
    assert set(PowerBALD(exponent=1e6).query(ctx).ids) == expected


@dataclass(frozen=True)
class Ranked(SoftrankBALD):
    """SoftrankBALD with a mutual information of 4, 16, 1, 25, 9, 36, of ranks 5, 3, 6, 2, 4, 1."""

    stretch: float = 1.0

    def information(self, ctx):
        return np.array([4.0, 16.0, 1.0, 25.0, 9.0, 36.0]) ** self.stretch


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_softrank_bald_draws_with_probability_proportional_to_a_power_of_the_rank(make_round, exponent):
    ctx = make_round(budget=1, labeled=30)
    draws = [int(Ranked(exponent=exponent).query(ctx).ids[0]) for _ in range(3000)]
    weights = np.array([5, 3, 6, 2, 4, 1.0]) ** -exponent
    counts = [draws.count(i) for i in ctx.pool.unlabeled]
    assert chisquare(counts, weights / weights.sum() * len(draws)).pvalue > 1e-4


def test_softrank_bald_knows_only_the_order_of_the_information(make_round):
    drawn = [Ranked(stretch=stretch).query(make_round(labeled=30)).ids.tolist() for stretch in (0.01, 1.0, 3.0)]
    assert drawn[0] == drawn[1] == drawn[2]


@pytest.fixture
def predict(make_round, monkeypatch):
    """A round of six unlabeled slices with given probabilities (6, k, h, w) in two batches."""

    def make(probs, budget: int = 3, index: int = 0, rounds: int = 4):
        ctx = replace(make_round(budget=budget, labeled=30), index=index, rounds=rounds)
        valid = torch.ones(6, *probs.shape[-2:])

        def predictions(slices, ids):
            assert ids.tolist() == ctx.pool.unlabeled.tolist()
            for rows in (slice(0, 4), slice(4, 6)):
                yield Prediction(ids[rows], probs[rows], valid[rows], valid[rows])

        monkeypatch.setattr(ctx.learner, "predict", predictions)
        return ctx

    return make


def test_power_pe_draws_with_probability_proportional_to_a_power_of_the_entropy(predict):
    """Of each slice one pixel in two is certain, so that its score is half the entropy of the other."""
    p = np.array([0.01, 0.05, 0.1, 0.2, 0.35, 0.5])
    probs = torch.ones(6, 1, 1, 2)
    probs[:, 0, 0, 0] = torch.from_numpy(p)
    for exponent in (0.0, 1.0, 2.0):
        ctx = predict(probs, budget=1)
        draws = [int(make("power-pe", exponent=exponent).query(ctx).ids[0]) for _ in range(1500)]
        weights = (entropy(p) / 2) ** exponent
        counts = [draws.count(i) for i in ctx.pool.unlabeled]
        assert chisquare(counts, weights / weights.sum() * len(draws)).pvalue > 1e-4


def test_power_pe_with_a_high_exponent_queries_what_entropy_or_mc_dropout_queries(make_round):
    ctx = make_round()
    found = set(make("power-pe", exponent=1e6).query(ctx).ids)
    assert found == set(make("entropy").query(ctx).ids)
    torch.manual_seed(5)
    sampled = make("power-pe", exponent=1e6, passes=10).query(ctx)
    torch.manual_seed(5)
    assert set(sampled.ids) == set(make("mc-dropout").query(ctx).ids)
    assert make("power-pe").parts() == ()
    assert make("power-pe", passes=10).parts() == ("dropout",)


TWO_CLASSES = [  # background, left, right; the entropy is highest in the first, then the second row of each class
    (0.40, 0.55, 0.05),
    (0.70, 0.28, 0.02),
    (0.45, 0.05, 0.50),
    (0.65, 0.02, 0.33),
    (0.96, 0.03, 0.01),
    (0.34, 0.33, 0.33),
]


def clasp_scores(rows) -> np.ndarray:
    """(3, n) scores of slices of one pixel: for each class, and without a class."""
    p = np.array(rows)
    uncertainty = -(p * np.log(p)).sum(1)
    return np.stack([uncertainty * p[:, 1], uncertainty * p[:, 2], uncertainty])


def test_clasp_pe_without_noise_queries_the_highest_scores_of_each_class_and_of_all(predict):
    """Of four slices each class takes one, and two are taken without a class, in random order."""
    ctx = predict(torch.tensor(TWO_CLASSES)[..., None, None], budget=4)
    strategy = make("clasp-pe", share=0.5, first_exponent=1e6, last_exponent=1e6)
    scores, possible = clasp_scores(TWO_CLASSES), set()
    np.testing.assert_allclose(strategy.scores(ctx), scores, rtol=1e-5)
    for order in permutations([(0, 1), (1, 1), (2, 2)]):
        taken: list[int] = []
        for stratum, count in order:
            left = [row for row in np.argsort(-scores[stratum]) if row not in taken]
            taken += left[:count]
        possible.add(tuple(ctx.pool.unlabeled[taken].tolist()))
    assert len({frozenset(ids) for ids in possible}) > 1
    assert {tuple(strategy.query(ctx).ids.tolist()) for _ in range(100)} == possible
    np.testing.assert_allclose(strategy.query(ctx).scores / 1e6, np.log(scores[-1]), atol=1e-4)


def test_clasp_pe_draws_a_slice_of_a_class_in_proportion_to_a_power_of_its_score(predict):
    probs = torch.tensor(TWO_CLASSES)[..., None, None]
    for index, exponent in ((0, 1.0), (2, 4.0)):
        ctx = predict(probs, budget=1, index=index)
        strategy = make("clasp-pe", share=1.0, last_exponent=16.0)
        draws = [int(strategy.query(ctx).ids[0]) for _ in range(1500)]
        left, right = (row**exponent / (row**exponent).sum() for row in clasp_scores(TWO_CLASSES)[:2])
        counts = [draws.count(i) for i in ctx.pool.unlabeled]
        assert chisquare(counts, (left + right) / 2 * len(draws)).pvalue > 1e-4


def test_the_exponent_of_clasp_pe_grows_geometrically_with_the_round(predict):
    strategy = make("clasp-pe")
    assert [strategy.exponent_at(index, 4) for index in range(5)] == pytest.approx([1, 10**0.5, 10, 10**1.5, 100])
    query = strategy.query(predict(torch.tensor(TWO_CLASSES)[..., None, None], index=2))
    assert query.notes == {"exponent": pytest.approx(10)}


def test_the_exponent_of_clasp_pe_follows_the_rounds_of_the_run(tiny_run):
    records = tiny_run("clasp-pe", {"protocol.rounds": 2}).records
    assert [record.notes for record in records] == [{"exponent": 1.0}, {"exponent": pytest.approx(10)}, {}]


def test_clasp_pe_divides_its_share_of_the_budget_equally_among_the_classes():
    strategy, rng = make("clasp-pe"), np.random.default_rng(0)
    counts = np.stack([strategy.counts(50, 5, rng) for _ in range(300)])
    assert (counts[:, -1] == 17).all()  # 33 of 50 are for classes, three of which get one more
    assert (counts.sum(1) == 50).all()
    assert (np.sort(counts[:, :-1]) == [6, 6, 7, 7, 7]).all()
    assert chisquare((counts[:, :-1] == 7).sum(0)).pvalue > 1e-4
    assert strategy.counts(1, 5, rng).tolist() == [0, 0, 0, 0, 0, 1]


def test_clasp_pe_draws_slices_of_a_class_that_is_predicted_nowhere_uniformly(predict):
    probs = torch.tensor([(1 - p, p, 0.0) for p in (0.1, 0.2, 0.3, 0.4, 0.45, 0.5)])[..., None, None]
    ctx = predict(probs, budget=1, index=4)
    strategy = make("clasp-pe", share=1.0)
    draws = [int(strategy.query(ctx).ids[0]) for _ in range(1500)]
    expected = np.array([1, 1, 1, 1, 1, 7]) / 12  # one time in two, the other class takes its highest score
    assert chisquare([draws.count(i) for i in ctx.pool.unlabeled], expected * len(draws)).pvalue > 1e-4


def test_clasp_pe_takes_the_mean_over_dropout_samples_if_asked(make_round):
    ctx = make_round()
    torch.manual_seed(5)
    scores = make("clasp-pe", passes=10).scores(ctx)
    p = samples(ctx, 10).mean(0)
    np.testing.assert_allclose(scores, [(entropy(p) * p).mean((1, 2)), entropy(p).mean((1, 2))], rtol=1e-4)
    assert make("clasp-pe").parts() == ()


def gradients(ctx) -> np.ndarray:
    """(n, d) gradients of the weights of the last layer, by autograd through the whole network, times sqrt 2."""
    network, rows = ctx.learner.network.eval(), []
    for image in torch.from_numpy(ctx.pool.slices.read(ctx.pool.unlabeled).astype(np.float32)):
        logits = network(image[None])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, (logits >= 0).float())
        rows.append(torch.autograd.grad(loss, network.decoder.predict.weight)[0].flatten())
    return 2**0.5 * torch.stack(rows).double().numpy()


def test_badge_draws_by_squared_distances_of_gradients_beginning_with_the_largest(make_round, monkeypatch):
    ctx = make_round(budget=2, labeled=30)  # six slices
    embedded = ctx.learner.embed_gradients(ctx.pool.slices, ctx.pool.unlabeled)
    monkeypatch.setattr(ctx.learner, "embed_gradients", lambda slices, ids: embedded)
    vectors = gradients(ctx)
    norms = np.linalg.norm(vectors, axis=1)
    queries = [make("badge").query(ctx) for _ in range(2000)]
    np.testing.assert_allclose(queries[0].scores, norms, rtol=1e-4)
    assert {int(query.ids[0]) for query in queries} == {int(ctx.pool.unlabeled[norms.argmax()])}
    squares = ((vectors - vectors[norms.argmax()]) ** 2).sum(1)
    second = [int(query.ids[1]) for query in queries]
    counts = np.array([second.count(i) for i in ctx.pool.unlabeled])
    assert counts[norms.argmax()] == 0
    others = squares > 0
    assert chisquare(counts[others], squares[others] / squares.sum() * len(second)).pvalue > 1e-4


def test_badge_rejects_gradients_that_are_not_finite(make_round):
    ctx = make_round()
    with torch.no_grad():
        ctx.learner.network.decoder.predict.bias.fill_(torch.nan)
    with pytest.raises(StrategyError, match=r"gradients of the last layer must be finite, some are not: lower train"):
        make("badge").query(ctx)


def test_clasp_pe_can_count_all_predicted_classes_alike(make_round):
    ctx = make_round()
    with torch.no_grad():
        ctx.learner.network.decoder.predict.bias -= median_peak(ctx)
    p = probabilities(ctx)
    assert 0 < (p >= 0.5).any((1, 2)).sum() < len(p)
    scores = make("clasp-pe", class_weights="predicted").scores(ctx)
    for found, values in zip(scores, (entropy(p) * p, entropy(p)), strict=True):
        expected = [
            np.mean([value[label].mean() for label in (one >= 0.5, one < 0.5) if label.any()])
            for value, one in zip(values, p, strict=True)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("embedding", ["pooled", "flat"])
def test_k_center_queries_the_slices_farthest_from_all_labeled_ones(make_round, embedding):
    ctx = make_round()
    slices = ctx.pool.slices
    images = torch.from_numpy(slices.read(np.arange(len(slices))).astype(np.float32))
    with torch.no_grad():
        features = ctx.learner.network.eval().encode(images).deepest.double()
    features = (features.mean((2, 3)) if embedding == "pooled" else features.flatten(1)).numpy()
    centers = ctx.pool.labeled.tolist()
    expected = []
    for _ in range(ctx.budget):
        rest = [i for i in ctx.pool.unlabeled if i not in expected]
        nearest = [min(np.linalg.norm(features[i] - features[c]) for c in centers) for i in rest]
        expected.append(rest[int(np.argmax(nearest))])
        centers.append(expected[-1])
    assert make("k-center", embedding=embedding).query(ctx).ids.tolist() == expected


def test_bal_queries_uncertain_slices_similar_to_the_pool_and_dissimilar_to_labeled_ones(make_round):
    ctx = make_round()
    variance = samples(ctx, 10).var(0, ddof=1)
    query = make("bal", candidates=8, resize=16, bins=6, threshold=1e-4).query(ctx)
    uncertainty = np.array([v[v >= 1e-4].mean() if (v >= 1e-4).any() else 0.0 for v in variance])
    np.testing.assert_allclose(query.scores, uncertainty, rtol=1e-3)

    slices = ctx.pool.slices
    raw = slices.read(np.arange(len(slices)))[:, 0].astype(np.float64)
    small = raw.reshape(len(raw), 16, 2, 16, 2).mean((2, 4)).reshape(len(raw), -1)
    unit = np.clip(small, -3, 3) / 6 + 0.5

    def information(i: int, j: int) -> float:
        p = np.histogram2d(small[i], small[j], bins=6)[0] / 256
        return (p[p > 0] * np.log((p / (p.sum(1, keepdims=True) * p.sum(0)))[p > 0])).sum()

    def cosine(i: int, j: int) -> float:
        return unit[i] @ unit[j] / np.linalg.norm(unit[i]) / np.linalg.norm(unit[j])

    candidates = np.sort(ctx.pool.unlabeled[np.argsort(-uncertainty)[:8]]).tolist()
    chosen: list[int] = []
    for _ in range(ctx.budget):
        rest = [c for c in candidates if c not in chosen]
        reach = np.array([sum(max(cosine(s, u) for s in [*chosen, c]) for u in ctx.pool.unlabeled) for c in rest])
        overlap = np.array([sum(max(information(s, k) for s in [*chosen, c]) for k in ctx.pool.labeled) for c in rest])
        scaled = [(v - v.min()) / (v.max() - v.min()) for v in (reach, overlap)]
        chosen.append(rest[int(np.argmax(scaled[0] - 0.5 * scaled[1]))])
    assert query.ids.tolist() == chosen


def test_bal_compares_images_at_full_resolution_only_if_all_have_the_same_size(make_round):
    ctx, queried = make_round(), []
    for side in (None, 32):
        torch.manual_seed(5)
        queried.append(make("bal", candidates=8, resize=side).query(ctx).ids.tolist())
    assert queried[0] == queried[1]
    ctx.pool.slices.valid[5] = 30, 32
    with pytest.raises(
        StrategyError, match=r"strategy.resize=null needs slices of equal size, these differ: set strat"
    ):
        make("bal", resize=None).query(ctx)


@pytest.mark.parametrize(
    ("name", "uncertainty"),
    [("ceal-entropy", entropy), ("ceal-margin", lambda p: 1 - np.abs(2 * p - 1)), ("ceal-mc-dropout", entropy)],
)
def test_ceal_queries_the_most_uncertain_and_pseudo_labels_the_most_certain(make_round, name, uncertainty):
    ctx = make_round()
    probs = samples(ctx, 10).mean(0) if name == "ceal-mc-dropout" else probabilities(ctx)
    query = make(name, pseudo=4).query(ctx)
    scores = uncertainty(probs).mean((1, 2))
    expect_highest(query, ctx, scores)
    rest = [i for i in np.argsort(scores, kind="stable") if ctx.pool.unlabeled[i] not in query.ids][:4]
    assert list(query.pseudo) == sorted(ctx.pool.unlabeled[rest].tolist())
    for slice_id, mask in query.pseudo.items():
        row = ctx.pool.unlabeled.tolist().index(slice_id)
        np.testing.assert_array_equal(mask, probs[row] >= 0.5)


def test_ceal_by_threshold_pseudo_labels_all_certain_slices_up_to_the_maximum(make_round):
    ctx = make_round()
    means = entropy(probabilities(ctx)).mean((1, 2))
    threshold = float(np.sort(means)[6]) + 1e-9
    query = make("ceal-margin", mode="threshold", threshold=threshold, pseudo=100).query(ctx)
    below = set(ctx.pool.unlabeled[means < threshold].tolist()) - set(query.ids.tolist())
    assert set(query.pseudo) == below
    capped = make("ceal-margin", mode="threshold", threshold=threshold, pseudo=2).query(ctx)
    assert set(capped.pseudo) == set(sorted(below, key=lambda i: means[ctx.pool.unlabeled.tolist().index(i)])[:2])


def test_the_threshold_of_ceal_decreases_linearly_to_0():
    ceal = make("ceal-entropy")
    assert ceal.threshold_at(0) == 0.05
    assert ceal.threshold_at(10) == pytest.approx(0.017)
    assert ceal.threshold_at(16) == 0


def test_ceal_can_exclude_empty_slices(make_round):
    ctx = make_round()
    with torch.no_grad():
        ctx.learner.network.decoder.predict.bias -= median_peak(ctx)
    filled = (probabilities(ctx) >= 0.5).any((1, 2))
    assert 0 < filled.sum() < len(filled)
    query = make("ceal-entropy", pseudo=100, exclude_empty=True).query(ctx)
    assert set(query.pseudo) == set(ctx.pool.unlabeled[filled].tolist()) - set(query.ids.tolist())
    assert len(make("ceal-entropy", pseudo=0).query(ctx).pseudo) == 0


def test_the_eight_views_are_distinct_and_inverted_exactly_also_if_not_square():
    maps = torch.arange(2 * 3 * 5.0).reshape(1, 2, 3, 5)
    seen = {tuple(transform(maps, view)[0, 0].flatten().tolist()) for view in VIEWS}
    assert len(seen) == len(VIEWS) == 8
    for view in VIEWS:
        assert torch.equal(invert(transform(maps, view), view), maps)
        flip, turns = view
        plain = np.rot90(np.flipud(maps[0, 0].numpy()) if flip else maps[0, 0].numpy(), turns)
        np.testing.assert_array_equal(transform(maps, view)[0, 0].numpy(), plain)


def test_taal_queries_the_highest_disagreement_of_eight_views(make_round):
    ctx = make_round()
    network, slices = ctx.learner.network.eval(), ctx.pool.slices
    images = slices.read(ctx.pool.unlabeled)[:, 0].astype(np.float32)
    views = []
    for flip in (False, True):
        for turns in range(4):
            seen = np.rot90(images[:, ::-1] if flip else images, turns, (1, 2)).copy()
            with torch.no_grad():
                p = torch.sigmoid(network(torch.from_numpy(seen)[:, None]))[:, 0].double().numpy()
            p = np.rot90(p, -turns, (1, 2))
            views.append(p[:, ::-1] if flip else p)
    views = np.stack(views)
    expected = (0.5 * entropy(views.mean(0)) - 0.5 * entropy(views).mean(0)).mean((1, 2))
    query = make("taal", noise=0.0).query(ctx)
    np.testing.assert_allclose(query.scores, expected, atol=1e-6)
    assert set(query.ids) == set(ctx.pool.unlabeled[np.argsort(-expected)[: ctx.budget]])


def pixelwise() -> nn.Module:
    """A network that commutes with flips and rotations."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 1, 1))


def taal_loss(ctx, model: nn.Module, epoch: int, **options: object) -> tuple[torch.Tensor, torch.Tensor, Images]:
    """The loss of a batch, its supervised part, and the unlabeled batch."""
    examples = ctx.examples()
    ids = np.array(sorted(examples))
    batch = ctx.learner.batch(ctx.pool.slices, ids, np.stack([examples[i] for i in ids]))
    images = torch.randn(5, 1, 32, 48)
    extra = Images(images[..., :32], torch.ones(5, 1, 32, 32))
    loss = TAAL(**{"noise": 0.0, "unit": "none"} | options).loss(model, batch, iter([extra]), epoch)
    supervised = batch.supervised(model(torch.cat([batch.images, extra.images]))[: len(ids)])
    return loss, supervised, extra


@pytest.mark.parametrize("alpha", [0.5, 0.75])
@pytest.mark.parametrize("epoch", [1, 5, 10, 30])
def test_equal_views_add_only_the_weighted_entropy_to_the_loss(make_round, alpha, epoch):
    model = pixelwise().eval()
    loss, supervised, extra = taal_loss(make_round(), model, epoch, alpha_train=alpha)
    p = torch.sigmoid(model(extra.images)).detach().double().numpy()
    ramp = np.exp(-5 * (1 - min(epoch, 10) / 10) ** 2)
    assert float((loss - supervised).detach()) == pytest.approx(
        ramp * (2 * alpha - 1) * entropy(p).mean(), rel=1e-3, abs=1e-6
    )


def test_the_unlabeled_loss_is_scaled_by_the_ratio_of_focal_to_dice_loss(make_round):
    ctx, model = make_round(), pixelwise().eval()
    (plain, supervised, _), (scaled, _, _) = (
        taal_loss(ctx, model, 10, alpha_train=0.75, weight=2.0, unit=unit) for unit in ("none", "dice")
    )
    examples = ctx.examples()
    ids = np.array(sorted(examples))
    batch = ctx.learner.batch(ctx.pool.slices, ids, np.stack([examples[i] for i in ids]))
    dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=0, smooth_dr=0)(model(batch.images), batch.masks)
    ratio = float(supervised / dice)
    assert 0 < ratio < 0.3
    assert float((scaled - supervised) / (plain - supervised)) == pytest.approx(ratio, rel=1e-3)


def test_no_gradient_flows_through_the_unit_of_taal(make_round):
    torch.manual_seed(1)
    model = nn.Conv2d(1, 1, 3, padding=1)
    torch.manual_seed(2)
    plain, supervised, _ = taal_loss(make_round(), model, 10, views=1)
    torch.manual_seed(2)
    scaled, _, _ = taal_loss(make_round(), model, 10, views=1, unit="dice")
    (one,), (other,) = (
        torch.autograd.grad(loss - supervised, model.weight, retain_graph=True) for loss in (plain, scaled)
    )
    ratio = float(((scaled - supervised) / (plain - supervised)).detach())
    torch.testing.assert_close(other, ratio * one, rtol=1e-3, atol=1e-7)


def test_the_unit_of_taal_is_noted_with_the_training(tiny_run):
    (training,) = tiny_run("taal").records[0].fit_trainings
    assert 0 < training.notes["unit"] < 1
    assert not tiny_run("taal", {"strategy.unit": "none"}).records[0].fit_trainings[0].notes


def test_the_loss_of_taal_has_a_gradient_through_the_original_prediction_only(make_round):
    torch.manual_seed(1)
    model = nn.Conv2d(1, 1, 3, padding=1)
    state = torch.get_rng_state()
    loss, supervised, extra = taal_loss(make_round(), model, 10, views=2, alpha_train=0.5)
    (gradient,) = torch.autograd.grad(loss - supervised, model.weight)

    torch.set_rng_state(state)
    torch.randn(5, 1, 32, 48)
    views = []
    for _ in range(2):
        views.append((bool(torch.rand(()) < 0.5), int(torch.randint(4, ()))))
        torch.randn(5, 1, 32, 32)  # the noise of a copy, here of standard deviation 0
    with torch.no_grad():
        copies = [invert(torch.sigmoid(model(transform(extra.images, view))), view) for view in views]
    p = torch.stack([torch.sigmoid(model(extra.images)), *copies])
    h = lambda q: -(q * q.log() + (1 - q) * (1 - q).log())  # noqa: E731
    (expected,) = torch.autograd.grad((0.5 * h(p.mean(0)) - 0.5 * h(p).mean(0)).mean(), model.weight)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("mode", "updates"), [("eval", 1), ("train", 4)])
def test_the_copies_of_taal_update_batch_norm_only_in_train_mode(make_round, mode, updates):
    ctx, model = make_round(), pixelwise().train()
    examples = ctx.examples()
    ids = np.array(sorted(examples))
    batch = ctx.learner.batch(ctx.pool.slices, ids, np.stack([examples[i] for i in ids]))
    extra = Images(torch.randn(5, 1, 32, 32), torch.ones(5, 1, 32, 32))
    TAAL(batch_norm=mode).loss(model, batch, iter([extra]), 1)
    assert model[1].num_batches_tracked == updates
    assert model[1].training


def test_the_weight_of_the_unlabeled_loss_increases_from_exp_minus_5_to_1():
    assert ramp_up(10, 10) == ramp_up(99, 10) == 1
    assert ramp_up(0, 10) == pytest.approx(np.exp(-5))
    assert ramp_up(5, 10) == pytest.approx(np.exp(-1.25))


def test_bisect_starts_with_the_widest_gap():
    rng = np.random.default_rng(0)
    assert bisect([(1, 9), (11, 13)], np.arange(14), 3, rng).tolist()[0] == 5
    assert set(bisect([(1, 9), (11, 13)], np.arange(14), 3, rng)[1:]) == {2, 7}
    assert sorted(bisect([(1, 9), (11, 13)], np.arange(14), 12, rng)) == [*range(1, 10), *range(11, 14)]


def test_bisect_selects_the_candidate_nearest_to_the_middle_of_a_gap():
    rng = np.random.default_rng(0)
    assert bisect([(1, 9), (11, 13)], np.array([2, 3, 8, 13]), 4, rng).tolist()[0] == 3
    assert sorted(bisect([(1, 9), (11, 13)], np.array([2, 3, 8, 13]), 4, rng)) == [2, 3, 8, 13]


def test_strided_leaves_no_gap_wider_than_necessary(make_round):
    ctx = make_round(budget=6, interval=100)
    chosen = make("strided").query(ctx).ids
    for case in range(4):
        ids = ctx.pool.slices.of(case)
        known = [i for i in ids if i in chosen or i in ctx.pool.labeled]
        widest = max(b - a - 1 for a, b in zip([*known], [*known[1:], ids[-1] + 1], strict=True))
        assert widest <= (len(ids) - 1) // 2
    starts = {int(i) for _ in range(30) for i in make("strided").query(make_round(budget=1, interval=4)).ids}
    assert len(starts) == 1  # the same context gives the same query


def test_strided_draws_among_equally_wide_gaps(make_round):
    ctx = make_round(budget=1)
    assert len({int(make("strided").query(ctx).ids[0]) for _ in range(60)}) > 2


def test_stratified_draws_equally_often_from_every_case_and_slice(make_round):
    ctx = make_round(budget=6)
    for _ in range(20):
        ids = make("stratified").query(ctx).ids
        counts = np.bincount(ctx.pool.slices.case[ids], minlength=4)
        assert set(counts) == {1, 2}
        assert len(set(ids)) == 6
    draws = np.concatenate([make("stratified").query(ctx).ids for _ in range(1000)])
    for case in range(4):
        drawn = draws[ctx.pool.slices.case[draws] == case]
        assert chisquare(np.unique(drawn, return_counts=True)[1]).pvalue > 1e-4


def test_stratified_shares_the_budget_of_an_exhausted_case_equally(make_round):
    first = make_round().pool.slices.of(0)
    ctx = make_round(budget=7, labeled=len(first) - 1)
    for _ in range(20):
        ids = make("stratified").query(ctx).ids
        assert np.bincount(ctx.pool.slices.case[ids], minlength=4).tolist() == [1, 2, 2, 2]


def test_random_foreground_draws_slices_with_predicted_foreground_first(make_round):
    ctx = make_round()
    with torch.no_grad():
        ctx.learner.network.decoder.predict.bias -= median_peak(ctx)
    filled = ctx.pool.unlabeled[(probabilities(ctx) >= 0.5).any((1, 2))]
    assert ctx.budget < len(filled) < len(ctx.pool.unlabeled)
    draws = np.concatenate([make("random-foreground").query(ctx).ids for _ in range(60)])
    assert set(draws) == set(filled)
    more = make_round(budget=len(filled) + 2)
    more.learner.network.load_state_dict(ctx.learner.network.state_dict())
    ids = make("random-foreground").query(more).ids
    assert set(ids[: len(filled)]) == set(filled)
    assert len(set(ids)) == len(filled) + 2


def test_full_labels_everything_before_round_0(make_round):
    pool = make_round().pool
    assert make("full").initial(np.array([0, 4]), pool).tolist() == list(range(len(pool.slices)))


@pytest.mark.parametrize(
    "name", slow_but(("badge", "bal", "k-center", "star", "taal"), [entry.name for entry in available(STRATEGIES)])
)
def test_a_run_in_bfloat16_ends(tiny_run, monkeypatch, name):
    monkeypatch.setattr(Learner, "autocast", lambda learner: torch.autocast("cpu", torch.bfloat16))
    assert len(tiny_run(name, {"protocol.rounds": 1, "training.epochs": 1}).records) == (1 if name == "full" else 2)

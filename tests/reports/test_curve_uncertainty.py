"""The interval of S% and the bias of max(p), judged by simulated studies whose truth is known."""

import math

import numpy as np
import pytest
from support.simulated_curves import SHARES, TRUTHS, Truth, replicates, studies

from albench.reports import resampling
from albench.reports.curve import Curve
from albench.reports.curve_uncertainty import crossing, selection_bias
from albench.reports.isotonic import first_reach

STUDIES = 200


@pytest.fixture
def fewer(monkeypatch):
    """Fewer resamples than in a report, as many studies are made."""
    monkeypatch.setattr(resampling, "RESAMPLES", 300)


def coverage(truth, at, **settings):
    """The share of studies whose interval contains the labeled share at which the reference is truly reached."""
    found = [crossing(*study, higher=True) for study in studies(truth, float(truth.at(at)), count=STUDIES, **settings)]
    true = at if at <= SHARES[-1] else math.inf
    return np.mean([one.low <= true <= one.high for one in found])


@pytest.mark.parametrize(
    ("name", "at", "noise", "common", "paired"),
    [
        ("fast", 0.24, 0.02, 0.01, True),
        ("medium", 0.24, 0.01, 0.02, True),
        ("medium", 0.17, 0.02, 0.01, False),
        ("slow", 0.3, 0.02, 0.01, True),
        ("flat", 0.24, 0.01, 0.005, True),
        ("straight", 0.24, 0.02, 0.01, False),
        ("fast", 0.4, 0.01, 0.005, True),  # beyond the last round
    ],
)
def test_nine_of_ten_intervals_contain_the_true_crossing(fewer, name, at, noise, common, paired):
    assert coverage(TRUTHS[name], at, noise=noise, common=common, paired=paired) >= 0.9


def test_nine_of_ten_intervals_contain_it_with_three_seeds_too(fewer):
    assert coverage(TRUTHS["slow"], 0.2, noise=0.02, common=0.01, paired=False, seeds=3) >= 0.9


def test_fewer_intervals_contain_one_beyond_a_flat_end_with_three_seeds(fewer):
    assert 0.85 <= coverage(TRUTHS["fast"], 0.36, noise=0.01, common=0.005, seeds=3) < 0.9


def test_without_monotone_curves_too_few_intervals_would_contain_it(fewer, monkeypatch):
    monkeypatch.setattr("albench.reports.curve_uncertainty.increasing", lambda values: values)
    assert coverage(TRUTHS["fast"], 0.34, noise=0.02, common=0.01) < 0.67


def test_without_enlarged_deviations_too_few_intervals_would_contain_it(fewer, monkeypatch):
    monkeypatch.setattr("albench.reports.curve_uncertainty.enlargement", lambda *sources: 1.0)
    assert coverage(TRUTHS["slow"], 0.2, noise=0.02, common=0.01, paired=False, seeds=3) < 0.85


def test_a_certain_crossing_has_a_short_interval(fewer):
    curve, reference = next(
        studies(TRUTHS["medium"], float(TRUTHS["medium"].at(0.2)), count=1, noise=1e-4, common=0.05)
    )
    found = crossing(curve, reference, higher=True)
    assert (found.share, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2), abs=2e-3)


def test_the_uncertainty_of_the_reference_widens_the_interval():
    curve, reference = next(studies(TRUTHS["slow"], 0.75, count=1, noise=1e-3, common=0.0, paired=False))
    uncertain = Curve(
        reference.replicates, *(reference.labeled, reference.share), 0.75 + 0.02 * np.arange(-2, 3)[:, None]
    )
    exact, wide = crossing(curve, reference, higher=True), crossing(curve, uncertain, higher=True)
    assert wide.share == pytest.approx(exact.share, abs=0.01)
    assert wide.high - wide.low > 5 * (exact.high - exact.low)


def test_a_method_below_the_reference_may_never_reach_it(fewer):
    # True curves that stay 0.005 below: their first crossing is luck.
    truth = TRUTHS["fast"]
    made = list(studies(truth, float(truth.last) + 0.005, count=100, noise=0.01, common=0.01))
    lucky = [first_reach(SHARES, curve.mean[None], reference.mean)[0] < math.inf for curve, reference in made]
    assert np.mean(lucky) > 0.3
    assert np.mean([crossing(*study, higher=True).high == math.inf for study in made]) > 0.9


def test_for_distances_the_curve_falls_to_the_reference():
    curve, reference = next(studies(TRUTHS["medium"], 0.8, count=1, noise=0.005, common=0.0))
    mirrored = [Curve(own.replicates, own.labeled, own.share, -own.values) for own in (curve, reference)]
    assert crossing(*mirrored, higher=False) == crossing(curve, reference, higher=True)
    assert selection_bias(mirrored[0], higher=False) == selection_bias(curve, higher=True) > 0


def test_one_seed_has_a_monotone_crossing_without_an_interval():
    curve = Curve(replicates(1), 100 * np.array([1.0, 2, 3]), np.array([0.1, 0.2, 0.3]), np.array([[0.5, 0.4, 0.85]]))
    reference = Curve(replicates(1), np.array([1000.0]), np.ones(1), np.array([[0.65]]))
    found = crossing(curve, reference, higher=True)
    # The monotone curve is 0.45, 0.45, 0.85.
    assert found.share == pytest.approx(0.25)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(selection_bias(curve, higher=True))


def with_replicates(curve, own):
    return Curve(own, curve.labeled, curve.share, curve.values[: len(own)])


def test_a_reference_of_one_seed_gives_no_interval(fewer):
    # Its deviation is unknown: intervals without it would contain the true crossing in as few as six of ten studies.
    at, truth = 0.24, TRUTHS["medium"]
    held = []
    for curve, reference in studies(truth, float(truth.at(at)), count=STUDIES, noise=0.01, common=0.02, paired=False):
        single = with_replicates(reference, reference.replicates[:1])
        found = crossing(curve, single, higher=True)
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert not math.isnan(found.share)
        constant = Curve(curve.replicates, single.labeled, single.share, np.repeat(single.values, 5, axis=0))
        without = crossing(curve, constant, higher=True)
        held.append(without.low <= at <= without.high)
    assert np.mean(held) < 0.75


def test_a_reference_on_one_split_gives_no_interval_over_splits():
    curve, reference = next(studies(TRUTHS["medium"], 0.75, count=1, noise=0.01, common=0.0, seeds=6))
    on_splits = with_replicates(curve, replicates(2, splits=3))
    for own in (replicates(2, splits=3), replicates(6, splits=1)):
        found = crossing(on_splits, with_replicates(reference, own), higher=True)
        assert found.share < math.inf
        assert math.isnan(found.low) == (own != replicates(2, splits=3))


def test_a_missing_value_leaves_no_crossing():
    curve = Curve(replicates(2), 10 * np.ones(2), np.array([0.1, 0.2]), np.array([[0.5, np.nan], [0.5, 0.6]]))
    reference = Curve(replicates(2), np.array([1000.0]), np.ones(1), np.full((2, 1), 0.6))
    assert math.isnan(crossing(curve, reference, higher=True).share)
    assert math.isnan(selection_bias(curve, higher=True))


@pytest.mark.parametrize("noise", [0.01, 0.02])
@pytest.mark.parametrize("truth", [*TRUTHS.values(), Truth(0.8, 0.8, 1.0)], ids=[*TRUTHS, "constant"])
def test_the_bias_of_the_maximum_is_estimated_well_where_it_matters(fewer, truth, noise):
    curves = [curve for curve, _ in studies(truth, 0.8, count=500, noise=noise, common=0.0)]
    true = np.mean([curve.mean.max() for curve in curves]) - truth.at(SHARES).max()
    estimated = np.mean([selection_bias(curve, higher=True) for curve in curves])
    assert 0.7 * true <= estimated <= 1.2 * true if true >= 0.003 else estimated == pytest.approx(true, abs=0.001)


def test_the_bias_is_never_negative():
    # With one round far ahead, the mean of its resampled deviations is 0 but for chance, of either sign.
    deviations = np.array([0.05, 0.02, -0.07])
    found = []
    for sign in (1, -1):
        values = np.column_stack([np.full(3, 0.1), 0.8 + sign * deviations])
        found.append(selection_bias(Curve(replicates(3), 10 * np.arange(1.0, 3), SHARES[:2], values), higher=True))
    assert min(found) == 0 < max(found) < 2e-3


def test_the_bias_vanishes_where_one_round_is_far_ahead():
    values = np.array([[0.1, 0.2, 0.9], [0.2, 0.1, 0.8], [0.1, 0.1, 0.85]])
    curve = Curve(replicates(3), 10 * np.arange(1.0, 4), np.array([0.1, 0.2, 0.3]), values)
    assert selection_bias(curve, higher=True) == pytest.approx(0, abs=2e-3)

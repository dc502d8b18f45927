"""Variance by splits and seeds, compared with analyses of variance by scipy and by least squares."""

import math

import numpy as np
import pytest
from scipy import stats

from albench.reports.replicates import Replicate
from albench.reports.variance_parts import variance_parts


def test_crossed_parts_follow_from_the_mean_squares_of_a_linear_model():
    rng = np.random.default_rng(0)
    splits, seeds = 4, 3
    table = rng.normal(0, 2, (splits, 1)) + rng.normal(0, 1, (1, seeds)) + rng.normal(0, 0.3, (splits, seeds))
    found = variance_parts({Replicate(j, i): table[i, j] for i in range(splits) for j in range(seeds)})

    def left(*factors):
        """Sum of squares that a constant and these factors leave."""
        design = np.column_stack([np.ones(splits * seeds), *factors])
        return np.linalg.lstsq(design, table.ravel(), rcond=None)[1][0]

    rows, columns = np.repeat(np.eye(splits), seeds, axis=0)[:, 1:], np.tile(np.eye(seeds), (splits, 1))[:, 1:]
    of_run = left(rows, columns) / ((splits - 1) * (seeds - 1))
    of_split = (left(columns) - left(rows, columns)) / (splits - 1)
    of_seed = (left(rows) - left(rows, columns)) / (seeds - 1)
    assert found.run == pytest.approx(math.sqrt(of_run))
    assert found.split == pytest.approx(math.sqrt((of_split - of_run) / seeds))
    assert found.seed == pytest.approx(math.sqrt((of_seed - of_run) / splits))
    assert found.total == pytest.approx(table.std(ddof=1))


def test_nested_parts_follow_from_the_f_statistic_of_scipy():
    rng = np.random.default_rng(1)
    groups = rng.normal(0, 2, (5, 1)) + rng.normal(0, 1, (5, 3))
    values = {Replicate(10 * split + seed, split): groups[split, seed] for split in range(5) for seed in range(3)}
    found, f = variance_parts(values), stats.f_oneway(*groups).statistic
    within = groups.var(1, ddof=1).mean()
    assert found.seed == pytest.approx(math.sqrt(within))
    assert found.split == pytest.approx(math.sqrt((f - 1) * within / 3))
    assert math.isnan(found.run)


def test_parts_are_right_on_average_also_with_unequal_numbers():
    rng, found = np.random.default_rng(2), []
    sizes = [2, 5, 3, 1, 4]
    for _ in range(3000):
        values = {}
        for split, size in enumerate(sizes):
            effect = rng.normal(0, 2)
            values |= {Replicate(10 * split + seed, split): effect + rng.normal(0, 1) for seed in range(size)}
        found.append(variance_parts(values))
    assert np.mean([parts.seed**2 for parts in found]) == pytest.approx(1, rel=0.05)
    assert np.mean([parts.split**2 for parts in found]) == pytest.approx(4, rel=0.1)


def test_one_run_per_split_has_a_total_only_and_one_split_nothing():
    parts = variance_parts({Replicate(seed, seed): float(seed) for seed in range(3)})
    assert (parts.total, math.isnan(parts.split), math.isnan(parts.seed)) == (1, True, True)
    assert variance_parts({Replicate(seed, 0): float(seed) for seed in range(3)}) is None


def test_a_crossed_design_with_a_missing_run_is_not_taken_for_a_nested_one():
    values = {Replicate(seed, split): float(seed + 10 * split) for seed in range(3) for split in range(3)}
    assert variance_parts(values).seed == pytest.approx(1)
    del values[Replicate(2, 1)]
    parts = variance_parts(values)
    assert parts.total > 0
    assert np.isnan([parts.split, parts.seed, parts.run]).all()


def test_one_seed_on_several_splits_is_not_separated_either():
    assert math.isnan(variance_parts({Replicate(0, split): float(split) for split in range(3)}).seed)


def test_a_negative_estimate_counts_as_0():
    values = {Replicate(0, 0): 0.0, Replicate(1, 0): 1.0, Replicate(0, 1): 1.0, Replicate(1, 1): 0.0}
    parts = variance_parts(values)
    assert (parts.split, parts.seed, parts.run) == (0, 0, 1)

"""Statistics against independent computation: by hand, by brute force, by scipy's own paired test, by simulation."""

from __future__ import annotations

import random
import statistics as stdlib

import numpy as np
import pytest
from scipy import stats

from reports.statistics import MIN_PAIRS, compare_paired, holm, pareto_front, seeds_needed, summarise


def test_summary_is_mean_and_sample_deviation():
    values = [0.80, 0.82, 0.87]
    summary = summarise(values)
    assert summary.mean == pytest.approx(0.83)
    assert summary.sd == pytest.approx(stdlib.stdev(values))
    assert summary.n == 3


def test_missing_values_do_not_count():
    assert summarise([float("nan"), 0.5, float("nan")]) == (0.5, None, 1)
    assert summarise([]).n == 0


@pytest.mark.parametrize("seed", range(20))
def test_pareto_front_agrees_with_brute_force(seed: int):
    rng = random.Random(seed)
    # Coarse values, so that ties occur.
    points = [(rng.randrange(6), rng.randrange(6)) for _ in range(12)]
    expected = [
        not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points) for cost, score in points
    ]
    assert pareto_front([c for c, _ in points], [s for _, s in points]) == expected


def test_paired_comparison_is_scipys_over_shared_seeds():
    rng = np.random.default_rng(0)
    a = dict(enumerate(rng.normal(0.8, 0.01, 7)))
    b = dict(enumerate(rng.normal(0.79, 0.01, 6)))  # seed 6 is missing
    found = compare_paired(a, b)
    expected = stats.ttest_rel([a[i] for i in range(6)], [b[i] for i in range(6)])
    assert found.n == 6
    assert found.p == pytest.approx(expected.pvalue)
    assert found.mean == pytest.approx(np.mean([a[i] - b[i] for i in range(6)]))


def test_too_few_pairs_are_not_tested():
    a = {i: 0.9 + 0.001 * i for i in range(MIN_PAIRS - 1)}
    b = {i: 0.5 - 0.002 * i for i in a}
    assert compare_paired(a, b).p is None
    assert compare_paired(a | {9: 0.9}, b | {9: 0.51}).p is not None


def test_differences_without_spread_are_not_tested():
    a = {i: 0.7 + 0.01 * i for i in range(6)}
    assert compare_paired(a, {i: value - 0.1 for i, value in a.items()}).p is None


def test_holm_on_a_worked_example():
    # Sorted 0.01, 0.02, 0.03, 0.04 with factors 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.06.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_seeds_needed_gives_the_power_it_promises():
    sd, difference = 1.0, 1.0
    n = seeds_needed(sd, difference)
    assert n is not None
    rng = np.random.default_rng(1)
    found = stats.ttest_1samp(rng.normal(difference, sd, (4000, n)), 0.0, axis=1).pvalue < 0.05
    fewer = stats.ttest_1samp(rng.normal(difference, sd, (4000, n - 1)), 0.0, axis=1).pvalue < 0.05
    assert 0.78 < found.mean() < 0.88
    assert fewer.mean() < 0.82
    assert seeds_needed(100.0, 0.1) is None

"""Statistics over tasks and seeds against rliable, autorank, scikit-posthocs and printed tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.analysis.ranks import average_ranks, interquartile_mean
from reports.analysis.statistics import MIN_PAIRS


def table(values: np.ndarray) -> dict[str, dict[int, float]]:
    """Tasks × seeds as scores."""
    return {f"t{i}": dict(enumerate(row.tolist())) for i, row in enumerate(values)}


def rliable_library():
    """rliable needs `arch`, releases of which break with newer pandas when they are imported."""
    try:
        import rliable.library
    except (ImportError, TypeError) as error:
        pytest.skip(f"rliable cannot be imported: {error}")
    return rliable.library


def test_interquartile_mean_by_hand():
    values = np.array([[0.1, 0.5, 0.6, 0.7], [0.8, 0.55, 0.65, 9.0]])
    # Eight values: the two least and the two greatest go.
    assert interquartile_mean(table(values)).estimate == pytest.approx((0.55 + 0.6 + 0.65 + 0.7) / 4)


def noisy_tasks() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 0.9, (6, 1)) + np.random.default_rng(1).normal(0, 0.05, (6, 5))


def test_interquartile_mean_is_rliables():
    metrics = pytest.importorskip("rliable.metrics")
    assert interquartile_mean(table(noisy_tasks())).estimate == pytest.approx(metrics.aggregate_iqm(noisy_tasks().T))


def test_interval_of_the_interquartile_mean_is_rliables():
    library = rliable_library()
    found = interquartile_mean(table(noisy_tasks()))
    _, intervals = library.get_interval_estimates(
        {"m": noisy_tasks().T}, lambda x: np.array([stats.trim_mean(x, 0.25, axis=None)]), reps=5000
    )
    low, high = intervals["m"][:, 0]
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_interval_of_the_interquartile_mean_is_that_of_draws_within_tasks():
    values = noisy_tasks()
    found = interquartile_mean(table(values))
    rng = np.random.default_rng(12)
    drawn = [row[rng.integers(0, row.size, (4000, row.size))] for row in values]
    middle = np.sort(np.concatenate(drawn, axis=1), axis=1)[:, 7:-7].mean(axis=1)  # 30 values: a quarter is 7.5
    low, high = np.percentile(middle, [2.5, 97.5])
    # Two independent sets of draws: ends agree to a small part of the interval's length.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_too_few_seeds_give_no_interval():
    few = np.linspace(0.7, 0.9, MIN_PAIRS - 1)
    found = interquartile_mean(table(few[None]))
    assert found.low is None and found.high is None and found.n == MIN_PAIRS - 1
    assert interquartile_mean({}).n == 0


def means_of(rng: np.random.Generator, tasks: int, labels: int, shift: float = 0.02) -> dict[str, dict[str, float]]:
    values = rng.normal(0.8, 0.02, (labels, tasks)) + shift * np.arange(labels)[:, None]
    return {f"m{i}": {f"t{j}": float(values[i, j]) for j in range(tasks)} for i in range(labels)}


@pytest.mark.parametrize(("labels", "quantile"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_demsars_quantiles(labels: int, quantile: float):
    found = average_ranks(means_of(np.random.default_rng(4), 12, labels))
    assert found.critical_difference == pytest.approx(quantile * np.sqrt(labels * (labels + 1) / (6 * 12)), abs=1e-3)


def test_ranks_friedman_and_critical_difference_are_autoranks():
    autorank, pandas = pytest.importorskip("autorank"), pytest.importorskip("pandas")
    means = means_of(np.random.default_rng(5), 12, 5)
    found = average_ranks(means)
    theirs = autorank.autorank(
        pandas.DataFrame(means), alpha=0.05, verbose=False, approach="frequentist", force_mode="nonparametric"
    )
    assert found.ranks == pytest.approx(theirs.rankdf["meanrank"].to_dict())
    assert found.friedman_p == pytest.approx(theirs.pvalue)
    assert found.critical_difference == pytest.approx(theirs.cd, rel=1e-3)


def test_groups_join_what_nemenyis_test_cannot_tell_apart():
    posthocs, pandas = pytest.importorskip("scikit_posthocs"), pytest.importorskip("pandas")
    means = means_of(np.random.default_rng(6), 10, 6, shift=0.012)
    found = average_ranks(means)
    p = posthocs.posthoc_nemenyi_friedman(pandas.DataFrame(means))
    joined = {frozenset((a, b)) for group in found.groups for a in group for b in group if a != b}
    alike = {frozenset((a, b)) for a in means for b in means if a != b and p.loc[a, b] > 0.05}
    assert joined == alike
    assert 0 < len(alike) < 15


def test_few_tasks_are_ranked_but_not_tested():
    found = average_ranks({"a": {"x": 0.9, "y": 0.8}, "b": {"x": 0.8, "y": 0.8}, "c": {"x": 0.7, "y": 0.9, "z": 1.0}})
    assert found.ranks == {"a": 1.75, "c": 2.0, "b": 2.25}
    assert (found.friedman_p, found.critical_difference, found.groups) == (None, None, ())

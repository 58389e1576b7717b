"""Statistics over seeds: spread, Pareto fronts, paired comparisons. Arrays in, plain numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

# A paired t-test on fewer differences has next to no power and leans wholly on their being normal:
# below this the report says so and prints no p-value.
MIN_PAIRS = 5
ALPHA = 0.05


class Summary(NamedTuple):
    """Mean, sample standard deviation (None for one value) and count of the finite values."""

    mean: float
    sd: float | None
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """NaNs are missing values and do not count. The mean of nothing is NaN."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    if array.size == 0:
        return Summary(float("nan"), None, 0)
    return Summary(float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else None, array.size)


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> list[bool]:
    """Which points no other point dominates: none is at most as costly and at least as good, and strictly
    better in one of the two. Points with a NaN are never on the front."""
    cost, score = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    front = []
    for c, s in zip(cost, score, strict=True):
        dominated = (cost <= c) & (score >= s) & ((cost < c) | (score > s))
        front.append(bool(np.isfinite(c) and np.isfinite(s) and not dominated.any()))
    return front


@dataclass(frozen=True)
class Comparison:
    """Differences `a - b` over the seeds that both have. `p` is None where no test is made."""

    mean: float
    sd: float | None
    n: int
    p: float | None


def compare_paired(a: dict[int, float], b: dict[int, float]) -> Comparison:
    """Paired t-test (two-sided) over the seeds that `a` and `b` share, if there are at least MIN_PAIRS.

    Differences without any spread are not tested either: the test's assumptions do not hold for them.
    """
    seeds = sorted(seed for seed in a.keys() & b.keys() if np.isfinite(a[seed]) and np.isfinite(b[seed]))
    differences = np.array([a[seed] - b[seed] for seed in seeds])
    mean, sd, n = summarise(differences.tolist())
    # Rounding in a[seed] - b[seed] makes equal differences unequal in their last bits.
    if n < MIN_PAIRS or sd is None or sd < 1e-12:
        return Comparison(mean, sd, n, None)
    return Comparison(mean, sd, n, float(stats.ttest_1samp(differences, 0.0).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down procedure, in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def seeds_needed(sd: float, difference: float, power: float = 0.8, alpha: float = ALPHA) -> int | None:
    """Pairs that a two-sided paired t-test needs to find `difference` with `power`, given the standard
    deviation of the paired differences. None if more than 1,000."""
    if sd <= 0:
        return MIN_PAIRS
    for n in range(2, 1001):
        noncentrality = abs(difference) / sd * np.sqrt(n)
        critical = stats.t.ppf(1 - alpha / 2, n - 1)
        reached = stats.nct.sf(critical, n - 1, noncentrality) + stats.nct.cdf(-critical, n - 1, noncentrality)
        if reached >= power:
            return max(n, MIN_PAIRS)
    return None

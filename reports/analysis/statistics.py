"""Statistics over seeds: spread, Pareto fronts, paired comparisons, power. Arrays in, plain numbers out.

Every test here asks what other seeds would give: other draws of training examples, of their order and of the
head. Test sets are the same for all seeds, so nothing here covers the choice of test examples: `crossed` does.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import optimize, stats

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


class Effect(ABC):
    """An estimate from pairs of seeds on one task or several, and the tests about it. `mean` is the estimate, `n`
    counts pairs; thresholds, margins and bounds are in its unit. P-values are None where no test is made."""

    mean: float
    n: int
    tasks: int

    @abstractmethod
    def p_above(self, threshold: float = 0.0) -> float | None:
        """One-sided p-value against "the truth is at most `threshold`"."""

    @abstractmethod
    def p_below(self, threshold: float = 0.0) -> float | None:
        """One-sided p-value against "the truth is at least `threshold`"."""

    @abstractmethod
    def interval(self, level: float) -> tuple[float, float] | None:
        """Confidence interval; at level 1 - 2α it excludes what a one-sided test at α rejects."""

    def p_equivalent(self, margin: float) -> float | None:
        """Two one-sided tests (Schuirmann 1987): p-value against "the truth is `margin` or more away from 0"."""
        above, below = self.p_above(-margin), self.p_below(margin)
        return None if above is None or below is None else max(above, below)


@dataclass(frozen=True)
class MeanDifference(Effect):
    """The mean over tasks of the mean paired difference within each task, for these tasks and any seeds.

    `se` is its standard error and `dof` its degrees of freedom; both are None where no test is made.
    """

    mean: float
    se: float | None
    dof: int | None
    n: int
    tasks: int

    def p_above(self, threshold: float = 0.0) -> float | None:
        if self.se is None or self.dof is None:
            return None
        return float(stats.t.sf((self.mean - threshold) / self.se, self.dof))

    def p_below(self, threshold: float = 0.0) -> float | None:
        if self.se is None or self.dof is None:
            return None
        return float(stats.t.cdf((self.mean - threshold) / self.se, self.dof))

    def interval(self, level: float) -> tuple[float, float] | None:
        if self.se is None or self.dof is None:
            return None
        reach = float(stats.t.ppf(0.5 + level / 2, self.dof)) * self.se
        return self.mean - reach, self.mean + reach


def mean_difference(differences: Mapping[str, Sequence[float]]) -> MeanDifference:
    """From each task's paired differences over seeds. NaNs are missing pairs.

    Pairs of one task are more alike than pairs of two, so that all pairs are not one sample: treated as one,
    the tasks' unlike gaps count as noise, and few tasks as many. Each task is a stratum instead: the estimate
    averages the tasks' means, its variance comes from the seeds within tasks, and the conclusion is about
    these tasks. Seeds of different tasks are taken as independent, as they draw different data.

    Spreads differ between tasks (one nears its ceiling first), and then nearly all the evidence may be one task's.
    So the degrees of freedom are those of the task with the fewest seeds, with which Student's t bounds the error
    whatever the spreads (Hájek 1962). Satterthwaite's estimate of them would find more, but with three seeds on
    four tasks, one of which varies ten times as much, 30 tests after Holm then erred in 15 to 24 of 100 families.
    On one task this is the paired t-test. A test needs as many pairs, less one for each task, as MIN_PAIRS on one
    task leave, which three seeds on two tasks do, and two pairs or more of every task.
    """
    arrays = [np.asarray(values, dtype=float) for values in differences.values()]
    arrays = [kept for array in arrays if (kept := array[np.isfinite(array)]).size]
    n, tasks = sum(array.size for array in arrays), len(arrays)
    if not n:
        return MeanDifference(float("nan"), None, None, 0, 0)
    mean = float(np.mean([array.mean() for array in arrays]))
    if n - tasks < MIN_PAIRS - 1 or min(array.size for array in arrays) < 2:
        return MeanDifference(mean, None, None, n, tasks)
    parts = np.array([array.var(ddof=1) / array.size for array in arrays]) / tasks**2
    # Rounding makes equal differences unequal in their last bits: without spread there is no test.
    if math.sqrt(parts.sum()) < 1e-12:
        return MeanDifference(mean, None, None, n, tasks)
    dof = min(array.size for array in arrays) - 1
    return MeanDifference(mean, float(np.sqrt(parts.sum())), dof, n, tasks)


@dataclass(frozen=True)
class SpreadRatio(Effect):
    """How much more one value varies over seeds than its pair: the logarithm of the ratio of standard deviations,
    the mean over tasks. `pairs` holds an array (seeds, 2) per task.

    Test of Pitman (1939) and Morgan (1939): where two paired values vary alike, their sum and difference are
    uncorrelated. Exact for normal values; tasks' p-values are combined by Stouffer's method.
    """

    mean: float
    n: int
    tasks: int
    pairs: tuple[np.ndarray, ...]

    def p_above(self, threshold: float = 0.0) -> float | None:
        return self._p(threshold, "greater")

    def p_below(self, threshold: float = 0.0) -> float | None:
        return self._p(threshold, "less")

    def interval(self, level: float) -> tuple[float, float] | None:
        if not self._testable:
            return None
        tail = (1 - level) / 2
        # Ratios of e^±15 are beyond any data; between them the p-values rise and fall with the threshold.
        low = optimize.brentq(lambda threshold: (self.p_above(threshold) or 0.0) - tail, -15, 15)
        high = optimize.brentq(lambda threshold: (self.p_below(threshold) or 0.0) - tail, -15, 15)
        return float(low), float(high)

    @property
    def _testable(self) -> bool:
        return np.isfinite(self.mean) and self.n - self.tasks >= MIN_PAIRS - 1 and min(map(len, self.pairs)) >= 3

    def _p(self, threshold: float, alternative: Literal["greater", "less"]) -> float | None:
        if not self._testable:
            return None
        scaled = [pair * (1.0, math.exp(threshold)) for pair in self.pairs]
        p = [stats.pearsonr(x.sum(axis=1), x[:, 0] - x[:, 1], alternative=alternative).pvalue for x in scaled]
        weights = [math.sqrt(len(pair)) for pair in self.pairs]
        return float(stats.combine_pvalues(p, "stouffer", weights=weights).pvalue)


def spread_ratio(a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]]) -> SpreadRatio:
    """From each task's values of the two, in the same order of seeds. Tests are made from as many pairs as
    `mean_difference` asks for, at least three of every task, and where both vary at all."""
    pairs = tuple(np.column_stack([a[task], b[task]]).astype(float) for task in a if len(a[task]))
    n = sum(map(len, pairs))
    spreads = [pair.std(axis=0, ddof=1) if len(pair) > 1 else np.zeros(2) for pair in pairs]
    vary = bool(spreads) and min(spread.min() for spread in spreads) > 1e-12
    mean = float(np.mean([np.log(spread[0] / spread[1]) for spread in spreads])) if vary else float("nan")
    return SpreadRatio(mean, n, len(pairs), pairs)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down procedure, in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(p) for p in adjusted]


def seeds_needed(sd: float, difference: float, power: float = 0.8, alpha: float = ALPHA) -> int | None:
    """Pairs that a two-sided paired t-test needs to find `difference` with `power`, given the standard
    deviation of the paired differences. None if more than 1,000."""
    if sd <= 0:
        return MIN_PAIRS
    return next((n for n in range(MIN_PAIRS, 1001) if power_of(n, sd, difference, alpha) >= power), None)


def power_of(n: int, sd: float, difference: float, alpha: float = ALPHA) -> float:
    """Probability that a two-sided paired t-test on `n` pairs finds a true mean difference, given the standard
    deviation of the paired differences."""
    # t² is F with one degree of freedom; its tail, unlike noncentral t's, is computed far out too.
    critical = stats.f.isf(alpha, 1, n - 1)
    return float(stats.ncf.sf(critical, 1, n - 1, n * (difference / sd) ** 2))

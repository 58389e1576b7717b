"""Statistics over tasks and seeds together: intervals, ranks, tests. Arrays in, plain numbers out.

Scores are mappings of a task to its seeds' values: {"bbc_news": {0: 0.95, 1: 0.96}, …}. Functions return None
in place of an interval or a p-value that the data are too few for; callers then say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# task → seed → value
Scores = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; `low` and `high` are None where there are too few values."""

    estimate: float
    low: float | None
    high: float | None
    n: int
    level: float = 0.95


@dataclass(frozen=True)
class Ranking:
    """Average ranks over tasks (1 is best) with Friedman's test and Nemenyi's critical difference, which are
    None below MIN_TASKS tasks or three labels. `groups` are the maximal sets of labels no further apart than
    the critical difference, best first."""

    ranks: dict[str, float]
    tasks: int
    friedman_p: float | None
    critical_difference: float | None
    groups: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Contrast:
    """`a` minus `b`, the mean over tasks of the mean paired difference: standard error, degrees of freedom,
    interval, two-sided p and Holm's over the family it was tested in."""

    a: str
    b: str
    mean: float
    low: float | None
    high: float | None
    n: int
    tasks: int
    p: float | None
    adjusted: float | None = None

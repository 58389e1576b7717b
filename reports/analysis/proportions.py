"""Scores of which only the number of test examples is known: intervals, and what of two of them can be told apart.

Each is the share of examples that one model gets right. Which examples, nobody kept, so that two models are compared
as if each had been tested on examples of its own. Where both were tested on the same, as is usual, that is cautious:
on easy examples both do well, and a paired test, which could allow for it, has more power. What is said is about other
examples, for these very models: of other seeds one seed tells nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from reports.analysis.statistics import ALPHA, holm
from reports.outcomes import Proportion

Word = Literal["better", "worse", "practically equal", "undecided"]
LEVEL = 0.95
POWER = 0.8
# A fraction: what of two scores is no difference that matters, where the suite declares no other.
MARGIN = 0.01


def margin_of(suite: Mapping[str, Any]) -> float:
    """What a suite declares as practically equal."""
    given = suite.get("margin")
    usable = isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < 1
    return float(given) if usable and given is not None else MARGIN


@dataclass(frozen=True)
class Share:
    """A configuration's score with its standard error and its 95 % interval (Wilson 1927), all as fractions.

    `error` is that of Agresti and Caffo (2000), who count one right and one wrong answer more: sqrt(p (1 - p) / n)
    but for the extremes, where that would be 0, as if 0 of n right answers were a certainty."""

    of: Proportion
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """Two configurations: `difference` of their scores as a fraction, with its 95 % interval, and the p-values that it
    is none and that it is `margin` or more, each corrected by Holm over all pairs. `word` is about the first."""

    one: str
    other: str
    difference: float
    low: float
    high: float
    p_different: float
    p_equal: float
    word: Word


@dataclass(frozen=True)
class Shares:
    """Of one backbone and task: the configurations, best first, and all pairs of them. `needed` is how many examples
    tell a difference of `margin` from none with 80 % power at the median score, before correction; None where that
    score is 0 or 1."""

    backbone: str
    task: str
    shares: tuple[Share, ...]
    pairs: tuple[Pair, ...]
    margin: float
    needed: int | None

    @property
    def estimates(self) -> np.ndarray:
        """The scores (k,), as fractions."""
        return np.array([share.of.score for share in self.shares])

    @property
    def covariance(self) -> np.ndarray:
        """Of the scores (k, k): diagonal, since examples count as each model's own."""
        return np.diag([share.error**2 for share in self.shares])

    def count(self, label: str, word: Word) -> int:
        """In how many pairs a configuration is what the word says."""
        turned: dict[Word, Word] = {"better": "worse", "worse": "better"}
        own = sum(pair.word == word for pair in self.pairs if pair.one == label)
        return own + sum(pair.word == turned.get(word, word) for pair in self.pairs if pair.other == label)


def compare(backbone: str, task: str, found: Sequence[Proportion], margin: float = MARGIN) -> Shares:
    """All pairs of configurations of which one seed was run."""
    seeds = {label: [each for each in found if each.label == label] for label in {each.label for each in found}}
    kept = sorted((of[0] for of in seeds.values() if len(of) == 1), key=lambda each: (-each.score, each.label))
    shares = tuple(map(_share, kept))
    middle = float(np.median([each.score for each in kept])) if kept else 0.0
    return Shares(backbone, task, shares, _pairs(shares, margin), margin, _needed(middle, margin))


def _share(of: Proportion) -> Share:
    interval = stats.binomtest(of.right, of.examples).proportion_ci(LEVEL, method="wilson")
    p, n = _adjusted(of)
    return Share(of, math.sqrt(p * (1 - p) / n), float(interval.low), float(interval.high))


def _adjusted(of: Proportion) -> tuple[float, int]:
    return (of.right + 1) / (of.examples + 2), of.examples + 2


def _pairs(shares: Sequence[Share], margin: float) -> tuple[Pair, ...]:
    """The first of a pair has the higher score."""
    two = list(itertools.combinations(shares, 2))
    if not two:
        return ()
    p = np.array([[_adjusted(share.of)[0] for share in pair] for pair in two])
    errors = np.hypot(*np.array([[share.error for share in pair] for pair in two]).T)
    differences = p[:, 0] - p[:, 1]
    reach = stats.norm.isf((1 - LEVEL) / 2) * errors
    different = holm(2 * stats.norm.sf(np.abs(differences) / errors))
    # Two one-sided tests (Schuirmann 1987).
    equal = holm(stats.norm.sf((margin - np.abs(differences)) / errors))
    found = []
    for (one, other), d, r, p_different, p_equal in zip(two, differences, reach, different, equal, strict=True):
        raw = one.of.score - other.of.score
        word = _word(raw, p_different, p_equal)
        found.append(Pair(one.of.label, other.of.label, raw, d - r, d + r, p_different, p_equal, word))
    return tuple(found)


def _word(difference: float, p_different: float, p_equal: float) -> Word:
    """What is shown to be within the margin is called so, though it may be shown to be no nought as well."""
    if p_equal < ALPHA:
        return "practically equal"
    if p_different < ALPHA:
        return "better" if difference > 0 else "worse"
    return "undecided"


def _needed(p: float, margin: float) -> int | None:
    """Examples of each of two models of about the same score."""
    z = stats.norm.isf(ALPHA / 2) + stats.norm.isf(1 - POWER)
    return math.ceil(2 * p * (1 - p) * (z / margin) ** 2) if 0 < p < 1 else None

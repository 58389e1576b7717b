"""Scores of which only the number of test examples is known: intervals, and what of two of them can be told apart.

Each is the share of examples that one model gets right. Which examples, nobody kept, so that two models are compared
as if each had been tested on examples of its own. Where both were tested on the same, as is usual, that is cautious:
on easy examples both do well, and a paired test, which could allow for it, has more power. What is said is about other
examples, for these very models: of other seeds one seed tells nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import stats

from reports.analysis.crossed import Crossed
from reports.analysis.decisions import Decision, Question, Word, decide, margin_of
from reports.analysis.joint import MIN_EXAMPLES, Joint
from reports.outcomes import Proportion, read_proportions
from reports.results import Results

LEVEL = 0.95


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
    """Two configurations, and what may be said of the first, beside the other."""

    one: str
    other: str
    decision: Decision


@dataclass(frozen=True)
class Shares:
    """Of one backbone and task: the configurations, best first, and all pairs of them, corrected together."""

    backbone: str
    task: str
    shares: tuple[Share, ...]
    pairs: tuple[Pair, ...] = ()

    def of(self, labels: Collection[str]) -> Shares:
        """Those of the labels alone; what is said of them stays corrected over all."""
        shares = tuple(share for share in self.shares if share.of.label in labels)
        return replace(self, shares=shares, pairs=tuple(p for p in self.pairs if {p.one, p.other} <= set(labels)))

    def count(self, label: str, word: Word) -> int:
        """In how many pairs a configuration is what the word says."""
        return sum(decision.word == word for (one, _), decision in self._both.items() if one == label)

    def decision(self, one: str, other: str) -> Decision | None:
        """What may be said of the first beside the other; None where they are no pair."""
        return self._both.get((one, other))

    @cached_property
    def _both(self) -> dict[tuple[str, str], Decision]:
        turned = {(pair.other, pair.one): _turned(pair.decision) for pair in self.pairs}
        return turned | {(pair.one, pair.other): pair.decision for pair in self.pairs}

    def joint(self) -> Joint:
        """The scores, with errors that do not depend on each other."""
        scores = np.array([share.of.score for share in self.shares])
        variances = np.array([share.error**2 for share in self.shares])
        none = np.zeros(len(scores))
        labels = tuple(share.of.label for share in self.shares)
        return Joint(labels, scores, np.diag(variances), none, none + 1, "examples")


def shares_of(results: Results) -> tuple[Shares, ...]:
    """By backbone and task, where two configurations or more ran with one seed and kept no predictions."""
    found = []
    for backbone in results.backbones:
        for task in results.tasks:
            proportions = [each for each in read_proportions(results, backbone, task) if each.examples >= MIN_EXAMPLES]
            margin = margin_of(results.scale(task), results.suite, 1.0)
            made = compare(backbone, task, proportions, margin)
            if made.pairs:
                found.append(made)
    return tuple(found)


def compare(backbone: str, task: str, found: Sequence[Proportion], margin: float) -> Shares:
    """All pairs of configurations of which one seed was run."""
    seeds = {label: [each for each in found if each.label == label] for label in {each.label for each in found}}
    kept = sorted((of[0] for of in seeds.values() if len(of) == 1), key=lambda each: (-each.score, each.label))
    shares = tuple(map(_share, kept))
    two = list(itertools.combinations(shares, 2))
    decisions = decide([_question(one, other, margin) for one, other in two])
    pairs = tuple(Pair(a.of.label, b.of.label, decision) for (a, b), decision in zip(two, decisions, strict=True))
    return Shares(backbone, task, shares, pairs)


def _share(of: Proportion) -> Share:
    interval = stats.binomtest(of.right, of.examples).proportion_ci(LEVEL, method="wilson")
    p = _adjusted(of)
    return Share(of, math.sqrt(p * (1 - p) / (of.examples + 2)), float(interval.low), float(interval.high))


def _adjusted(of: Proportion) -> float:
    return (of.right + 1) / (of.examples + 2)


def _question(one: Share, other: Share, margin: float) -> Question:
    """The interval is Agresti's and Caffo's, with so many degrees of freedom that it is the normal distribution's."""
    layout = Crossed(
        mean=np.asarray(_adjusted(one.of) - _adjusted(other.of)),
        over_seeds=None,
        over_examples=np.asarray(one.error**2 + other.error**2),
        residual=np.zeros(()),
        seeds=1,
        examples=min(one.of.examples, other.of.examples),
        dof=1e9,
    )
    return Question(layout.these_models(), "examples", margin, layout)


def _turned(decision: Decision) -> Decision:
    """The same said of the other of the two."""
    words: Mapping[Word, Word] = {"better": "worse", "worse": "better"}
    low, high = decision.interval
    word = words.get(decision.word, decision.word)
    return replace(decision, word=word, effect=-decision.effect, interval=(-high, -low))

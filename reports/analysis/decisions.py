"""What the data allow to be said of a difference, in three words: better or worse, practically equal, undecided."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import special

from reports.analysis.crossed import Crossed, Estimate, Numbers, stacked, together
from reports.analysis.statistics import ALPHA, holm
from reports.scales import Scale

Word = Literal["better", "worse", "practically equal", "undecided"]

# What a decision is about. "examples" are other test examples, with these models; "seeds" are other seeds, on these
# examples; "tasks" are other tasks of the same kind.
Population = Literal["examples", "seeds", "examples and seeds", "tasks"]

# A difference of less than this many points is none in practice, unless the suite says otherwise.
MARGIN = 0.01
POWER = 0.8
MOST_SEEDS = 1_000
MOST_EXAMPLES = 1_000_000


@dataclass(frozen=True)
class Decision:
    """A word on a difference of held scores, of which more is better, and the population that it is about.

    `effect`, `interval` (95 %, not corrected) and `margin` are in held scores. `difference` and `equivalence` are
    p-values by Holm over all decisions of the run about the same population: "better" and "worse" follow from the
    first, "practically equal" from the second, which goes first where both do.

    Where it is undecided, `seeds` is how many, with these examples, and `examples` how many, with these seeds, would
    decide with 80 % power if the difference is what it seems; None where no number would.
    """

    word: Word
    population: Population
    effect: float
    interval: tuple[float, float]
    difference: float
    equivalence: float
    margin: float
    seeds: int | None = None
    examples: int | None = None

    @property
    def decided(self) -> bool:
        """Whether the data allow a word."""
        return self.word != "undecided"


@dataclass(frozen=True)
class Question:
    """A difference that is to be decided. `layout` is what more seeds or examples would change, where that is known."""

    estimate: Estimate
    population: Population
    margin: float
    layout: Crossed | None = None


def decide(questions: Sequence[Question]) -> list[Decision]:
    """In the order given. Of each population, all differences are corrected as one family, and all equivalences as
    another, so that false words of either kind are in at most 5 % of all runs."""
    found: dict[int, Decision] = {}
    for population in dict.fromkeys(question.population for question in questions):
        own = [at for at, question in enumerate(questions) if question.population == population]
        found |= dict(zip(own, _decide([questions[at] for at in own]), strict=True))
    return [found[at] for at in range(len(questions))]


def _decide(family: Sequence[Question]) -> Iterator[Decision]:
    estimates = stacked([question.estimate for question in family])
    difference = holm(estimates.p_different().tolist())
    equivalence = holm(estimates.p_equivalent([question.margin for question in family]).tolist())
    intervals = zip(*estimates.interval(), strict=True)
    words = [word(float(q.estimate.mean), *p) for q, *p in zip(family, difference, equivalence, strict=True)]
    # Holm's levels for what is still open.
    levels = [ALPHA / max(1, sum(p >= ALPHA for p in adjusted)) for adjusted in (difference, equivalence)]
    needed = iter(_needed([q for q, said in zip(family, words, strict=True) if said == "undecided"], *levels))
    for question, said, p, q, (low, high) in zip(family, words, difference, equivalence, intervals, strict=True):
        yield Decision(
            said,
            question.population,
            float(question.estimate.mean),
            (float(low), float(high)),
            p,
            q,
            question.margin,
            *(next(needed) if said == "undecided" else (None, None)),
        )


def word(effect: float, difference: float, equivalence: float) -> Word:
    """From adjusted p-values."""
    if equivalence < ALPHA:
        return "practically equal"
    if difference < ALPHA:
        return "better" if effect > 0 else "worse"
    return "undecided"


def margin_of(scale: Scale, suite: dict[str, Any], usual: float) -> float:
    """The margin in held scores: what the suite says, in points, of which one is 0.01. A metric that is no fraction but
    bounded has the same share of its range; one without bounds the same share of `usual`, the reference's mean."""
    share = MARGIN
    match suite.get("margin"):
        case float() | int() as given if 0 < given < float("inf") and given is not True:
            share = given / 100
    if scale.in_points:
        return share
    if scale.low is not None and scale.high is not None:
        return share * (scale.high - scale.low)
    return share * abs(usual)


def _needed(family: Sequence[Question], *levels: float) -> Iterator[tuple[int | None, int | None]]:
    """How many seeds, and how many examples, would decide, of one population."""
    planned = [question for question in family if question.layout is not None]
    if not planned:
        return iter([(None, None)] * len(family))
    seeds = planned[0].population == "examples and seeds"
    layout = together([question.layout for question in planned if question.layout is not None], seeds)
    margin = np.array([[question.margin] for question in planned])

    def fewest(now: int | Numbers, most: int, at: Callable[[Numbers], Crossed]) -> list[int | None]:
        """By bisection, of all at once."""
        low, high = np.asarray(now) + 1, np.full(layout.mean.shape, float(most))
        possible = _power(at(high), margin, *levels) >= POWER
        while (low < high).any():
            middle = (low + high) // 2
            enough = _power(at(middle), margin, *levels) >= POWER
            low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
        return [int(n) if can else None for n, can in zip(high.flat, possible.flat, strict=True)]

    examples = fewest(layout.examples, MOST_EXAMPLES, lambda n: layout.at(layout.seeds, n))
    more = fewest(layout.seeds, MOST_SEEDS, lambda n: layout.at(n, layout.examples)) if seeds else [None] * len(planned)
    found = iter(zip(more, examples, strict=True))
    return iter([(None, None) if question.layout is None else next(found) for question in family])


# Over as many equally likely values of a variance's estimate power is averaged.
_ESTIMATES = (np.arange(50) + 0.5) / 50


def _power(planned: Crossed, margin: Numbers, for_difference: float, for_equivalence: float) -> Numbers:
    """Probability that designs (n, 1) decide, either way, if the difference is what it seems. The seeds' variance, of
    few degrees of freedom, is estimated well or badly; that of the examples is taken as known."""
    between = planned.other_seeds()
    estimate = between or planned.these_models()
    variance = np.sum([part.variance for part in estimate.parts], axis=0)
    sd = np.sqrt(np.maximum(variance, estimate.least.variance))
    size = np.abs(estimate.mean)
    drawn = _drawn(estimate) if between else estimate
    far, near = drawn.reach(for_difference / 2), drawn.reach(for_equivalence)
    different = special.ndtr((size - far) / sd)
    equal = np.maximum(special.ndtr((margin - size - near) / sd) - special.ndtr((near - margin - size) / sd), 0)
    power: Numbers = np.maximum(*(chance.mean(axis=-1, keepdims=True) for chance in (different, equal)))
    return power


def _drawn(estimate: Estimate) -> Estimate:
    """With the first part's variance (n, 1) as it may come out (n, 50)."""
    first, *rest = estimate.parts
    # Of χ², half of which is gamma distributed.
    variance: Numbers = first.variance * special.gammaincinv(first.dof / 2, _ESTIMATES) / (first.dof / 2)
    return Estimate(estimate.mean, (first._replace(variance=variance), *rest), estimate.least)

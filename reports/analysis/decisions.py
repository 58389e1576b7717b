"""What the data allow to be said of a difference, in three words: better or worse, practically equal, undecided."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import special

from reports.analysis.crossed import Crossed, Estimate, Numbers, stacked
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


def _decide(family: Sequence[Question]) -> Iterable[Decision]:
    estimates = stacked([question.estimate for question in family])
    difference = holm(estimates.p_different().tolist())
    equivalence = holm(estimates.p_equivalent([question.margin for question in family]).tolist())
    intervals = zip(*estimates.interval(), strict=True)
    # Holm's levels for what is still open.
    levels = [ALPHA / max(1, sum(p >= ALPHA for p in adjusted)) for adjusted in (difference, equivalence)]
    for question, p, q, (low, high) in zip(family, difference, equivalence, intervals, strict=True):
        effect = float(question.estimate.mean)
        said = word(effect, p, q)
        needed = _needed(question, *levels) if said == "undecided" else (None, None)
        yield Decision(said, question.population, effect, (float(low), float(high)), p, q, question.margin, *needed)


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


def _needed(question: Question, *levels: float) -> tuple[int | None, int | None]:
    """How many seeds, and how many examples, would decide."""
    layout = question.layout
    if layout is None:
        return None, None

    def fewest(least: int, most: int, at: Callable[[int], Crossed]) -> int | None:
        enough: Callable[[int], bool] = lambda n: _power(at(n), question, *levels) >= POWER  # noqa: E731
        return least + bisect_left(range(least, most), True, key=enough) if enough(most) else None

    examples = fewest(layout.examples + 1, MOST_EXAMPLES, lambda n: layout.at(layout.seeds, n))
    if question.population == "examples":
        return None, examples
    return fewest(layout.seeds + 1, MOST_SEEDS, lambda n: layout.at(n, layout.examples)), examples


# Over as many equally likely values of a variance's estimate power is averaged.
_ESTIMATES = (np.arange(100) + 0.5) / 100


def _power(planned: Crossed, question: Question, for_difference: float, for_equivalence: float) -> float:
    """Probability that a design decides, either way, if the difference is what it seems. The seeds' variance, of few
    degrees of freedom, is estimated well or badly; that of the examples is taken as known."""
    between = planned.other_seeds() if question.population == "examples and seeds" else None
    estimate = between or planned.these_models()
    sd = float(np.sqrt(max(sum(part.variance for part in estimate.parts), estimate.least.variance)))
    size, margin = abs(float(estimate.mean)), question.margin
    if sd == 0:
        return float(size != margin)
    drawn = _drawn(estimate) if between else estimate
    far, near = drawn.reach(for_difference / 2), drawn.reach(for_equivalence)
    different = special.ndtr((size - far) / sd)
    equal = special.ndtr((margin - size - near) / sd) - special.ndtr((near - margin - size) / sd)
    return float(max(np.mean(different), np.mean(np.maximum(equal, 0))))


def _drawn(estimate: Estimate) -> Estimate:
    """With the first part's variance as it may come out."""
    first, *rest = estimate.parts
    # Of χ², half of which is gamma distributed.
    variance: Numbers = first.variance * special.gammaincinv(first.dof / 2, _ESTIMATES) / (first.dof / 2)
    return Estimate(estimate.mean, (first._replace(variance=variance), *rest), estimate.least)

"""How scores are judged and written: the one place that knows of a metric's direction and range.

A score is held such that more is better, whatever its metric: where less is better it is its negative, so that fronts,
ranks, tests and claims need no cases. What people read has the metric's own sign and unit again: a fraction is written
in points, any other value as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from records.cards import Metric, TaskCard

# What stands for a score that is not a number, or infinite; and the status of a whole record with such a score.
UNDEFINED = "undefined"


class Unit(NamedTuple):
    """Displayed value = raw value × `factor`, with `decimals` digits after the point. The factor of a score of which
    less is better is negative."""

    name: str
    factor: float
    decimals: int


# As what a score is read of which nothing is known: a fraction of which more is better.
FRACTION = Metric("score")


@dataclass(frozen=True)
class Scale:
    """The scale of one metric: how its card says that it is read, and the digits that its values ask for."""

    metric: Metric = FRACTION
    decimals: int = 1

    @property
    def higher_is_better(self) -> bool:
        """Of the metric's own values: of held scores more is always better."""
        return self.metric.higher_is_better

    @property
    def low(self) -> float | None:
        """The least of the metric's own values; None: unbounded."""
        return self.metric.low

    @property
    def high(self) -> float | None:
        """The greatest of them."""
        return self.metric.high

    @property
    def in_points(self) -> bool:
        """Whether values are fractions of 1, or correlations, which GLUE and its like write and average alike."""
        return self.low in (0, -1) and self.high == 1

    @property
    def unit(self) -> Unit:
        """From held scores to written ones."""
        sign = 1 if self.higher_is_better else -1
        return Unit("points", 100.0 * sign, 1) if self.in_points else Unit("", float(sign), self.decimals)

    @property
    def worst(self) -> float:
        """The score that no other falls below, as it is held."""
        bound = self.low if self.higher_is_better else self.high
        return -math.inf if bound is None else self.raw(bound)

    def raw(self, score: float) -> float:
        """The metric's own value of a held score; the same turns a value into the score that is held."""
        return score if self.higher_is_better else 0.0 - score

    def shown(self, score: float) -> float:
        """A held score in the unit that it is written in."""
        return self.unit.factor * score + 0.0


def read_scale(card: TaskCard | None, metric: str, values: Iterable[float] = ()) -> Scale:
    """The scale that a task's card gives a metric; without a card, a fraction of which more is better. `values` decide
    on the digits of what is no fraction."""
    given = card.scales.get(metric) if card else None
    if given is None:
        return Scale()
    return Scale(given, _decimals(values))


def _decimals(values: Iterable[float]) -> int:
    """Three digits for the smallest value, six places at the most."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    return min(6, max(0, 2 - math.floor(math.log10(min(sizes))))) if sizes else 3


def may_be_averaged(scales: Mapping[str, Scale]) -> tuple[str, ...]:
    """Of several tasks those whose scores have one meaning: fractions of which more is better, else all if they share
    their bounds and direction. One task is its own mean."""
    if len(scales) == 1:
        return tuple(scales)
    if plain := tuple(task for task, scale in scales.items() if scale.in_points and scale.higher_is_better):
        return plain
    kinds = {(scale.higher_is_better, scale.low, scale.high) for scale in scales.values()}
    bounded = all(scale.low is not None and scale.high is not None for scale in scales.values())
    return tuple(scales) if bounded and len(kinds) == 1 else ()

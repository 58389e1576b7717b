"""Who is on a Pareto front of scores and a cost, who is not, and of whom the data do not say.

One is dominated where another is shown to be better and costs no more. It is on the front where every other costs more
or is shown to be worse. All else is undecided. Since all that is shown holds at once (`rank_sets.told_apart`), so do
these states: that any of them is wrong has a probability of 5 % at most, ties included.

The share of resamples in which a configuration is on the front would be no such thing. The front hangs on maxima, and
resamples repeat the luck that is in the estimates: of ten that are in truth alike, the one that came out lowest is on
the front in hardly any resample. `tests.simulation.ranks` has how often that errs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

State = Literal["on the front", "undecided", "dominated"]
STATES: tuple[State, ...] = ("on the front", "undecided", "dominated")


class Span(NamedTuple):
    """The least and the greatest value of a configuration's cells. Of what is counted both are its mean."""

    low: float
    high: float


def front_states(costs: Mapping[str, Span], better: Iterable[tuple[str, str]]) -> dict[str, State]:
    """By label. `better` holds (a, b) where a is shown to be better than b.

    One costs less than another where all its cells do: of three cells each that are in truth alike, that happens by
    chance in one of twenty pairs. A single cell's cost is taken as it was measured. Costs that are the same number
    decide nothing: of two that cost the same, the state of both is open until one is shown to be better.
    """
    shown = set(better)

    def state(one: str) -> State:
        others = [other for other in costs if other != one]
        if any((other, one) in shown and costs[other].high <= costs[one].low for other in others):
            return "dominated"
        if all((one, other) in shown or costs[other].low > costs[one].high for other in others):
            return "on the front"
        return "undecided"

    return {label: state(label) for label in costs}

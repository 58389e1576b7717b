"""Verdicts on differences in words: what was found, of which population, and what would decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from records.text import listing
from reports.model.writing import numeral, plural
from reports.scales import Scale

if TYPE_CHECKING:
    from reports.analysis.decisions import Decision, Population, Word

# The widest first.
POPULATIONS: dict[Population, str] = {
    "tasks": "on other tasks",
    "examples and seeds": "on other examples and seeds",
    "examples": "for these models on other examples",
    "seeds": "with other seeds on these examples",
}
WORDS: tuple[Word, ...] = ("better", "worse", "practically equal")


def tally(decisions: Iterable[Decision]) -> str:
    """ "one worse and two practically equal on other examples and seeds, four worse for these models on other
    examples, nine undecided"."""
    found = list(decisions)
    said = []
    for population, where in POPULATIONS.items():
        counts = Counter(decision.word for decision in found if decision.population == population)
        if words := [f"{numeral(counts[word])} {word}" for word in WORDS if counts[word]]:
            said.append(f"{listing(words)} {where}")
    if undecided := sum(not decision.decided for decision in found):
        said.append(f"{numeral(undecided)} undecided")
    return ", ".join(said)


def needed(decision: Decision) -> str:
    """ "14 seeds or 8,300 examples", as far as a number would decide; else empty."""
    seeds = [] if decision.seeds is None else [plural(decision.seeds, "seed")]
    examples = [] if decision.examples is None else [f"{about(decision.examples)} examples"]
    return " or ".join(seeds + examples)


def about(n: int) -> str:
    """To two digits: "8,300"."""
    return f"{float(f'{n:.2g}'):,.0f}"


def margin(decision: Decision, scale: Scale) -> str:
    """ "1 point", "0.5 points", and of a metric that is no fraction its own unit: "0.213"."""
    if not scale.in_points:
        return f"{decision.margin:.3g}"
    size = 100 * decision.margin
    return f"{size:g} point{'' if size == 1 else 's'}"

"""How numbers and words are written: the one place that decides on signs, rounding, units and thousands, for the PDF,
the page, slides, CSV files and macros alike.

A minus is U+2212, zero has no sign, thousands have commas, ties are rounded as Python's format rounds them, and what is
no finite number is "undefined". templates/page/numbers.js does the same for what the page computes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from records.text import listing
from reports.model.document import Number
from reports.scales import UNDEFINED, Scale, Unit

if TYPE_CHECKING:
    from reports.results import Results

# Between these a ratio has three decimals, since what is of interest is its distance to 1.
NEAR_ONE = (0.9, 1.1)
LEAST_P = 0.001
# What is smaller is written with a power of ten.
SMALLEST_PLAIN = 1e-6


class Mean(Protocol):
    """A mean of `n` values with its standard deviation (None for one value)."""

    @property
    def mean(self) -> float:
        """NaN for no values."""
        ...

    @property
    def sd(self) -> float | None:
        """The sample standard deviation."""
        ...

    @property
    def n(self) -> int:
        """How many."""
        ...


def decimal(value: float, decimals: int, signed: bool = False) -> str:
    """A number with `decimals` digits after the point; `signed` ones have a plus above zero."""
    if not math.isfinite(value):
        return UNDEFINED
    text = f"{abs(value):,.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        return text
    return f"{'−' if value < 0 else '+' if signed else ''}{text}"


def three_digits(value: float) -> str:
    """Three significant digits, without a power of ten from a millionth up: "0.0412", "1.50", "1,230"."""
    if not math.isfinite(value) or value == 0:
        return decimal(value, 0)
    value = float(f"{value:.2e}")  # first, as rounding may reach the next power of ten
    if abs(value) < SMALLEST_PLAIN:
        return f"{value:.2e}".replace("-", "−")
    return decimal(value, max(0, 2 - math.floor(math.log10(abs(value)))))


def learning_rate(value: float) -> str:
    """To three digits, as suites have it: "5e-5", "1.46e-3"."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def ratio(value: float) -> str:
    """A ratio without its sign "×": "1.046", "0.620", "12.3"."""
    return decimal(value, 3) if NEAR_ONE[0] <= value < NEAR_ONE[1] else three_digits(value)


def effect(value: float, unit: str, low: float | None = None, high: float | None = None) -> str:
    """A difference in `points` (of 100), a `ratio` or a `percent`, with its interval where that has two ends that can
    be told apart: "−0.4 points [−1.0, +0.2]", "× 1.046 [1.031, 1.060]", "0.0412 %"."""
    write = _EFFECTS.get(unit, three_digits)
    text = write(value)
    said = {"points": f"{text} points", "ratio": f"× {text}", "percent": f"{text} %"}.get(unit, f"{text} {unit}")
    if low is None or high is None or write(low) == write(high):
        return said
    return f"{said} [{write(low)}, {write(high)}]"


def limit(value: float, unit: str) -> str:
    """A limit that was chosen, as `effect` writes it but for the zeros at its end: "+1 points", "× 1.25"."""
    text = effect(value, unit)
    number = next(part for part in text.split() if any(c.isdigit() for c in part))
    return text.replace(number, number.rstrip("0").rstrip(".")) if "." in number else text


def p_value(p: float) -> str:
    """ "0.012", or "< 0.001"."""
    return f"< {LEAST_P}" if p < LEAST_P else decimal(p, 3)


def p_equals(p: float) -> str:
    """ "p = 0.012", or "p < 0.001"."""
    return f"p {p_value(p)}" if p < LEAST_P else f"p = {p_value(p)}"


def points(fraction: float, signed: bool = False) -> str:
    """A metric between 0 and 1 as percent points with one decimal: 0.8137 is "81.4"."""
    return decimal(100 * fraction, 1, signed)


def score(held: float, scale: Scale, signed: bool = False, unit: bool = False) -> str:
    """A score as it is held, or a difference of two: 0.8137 of a fraction is "81.4", with its `unit` "81.4 points"."""
    text = decimal(scale.shown(held), scale.unit.decimals, signed)
    return f"{text} points" if unit and scale.in_points else text


def spread(sd: float, unit: Unit) -> str:
    """A standard deviation, or another distance without direction, in `unit` (of a score that of its scale)."""
    return decimal(abs(unit.factor) * sd, unit.decimals)


def with_spread(found: Mean, unit: Unit, signed: bool = False) -> str:
    """ "81.4 ± 0.3"; the mean alone where one value has no spread."""
    mean = decimal(found.mean * unit.factor, unit.decimals, signed)
    return mean if found.sd is None else f"{mean} ± {spread(found.sd, unit)}"


def amount(value: float, unit: Unit) -> str:
    """A value with the name of its unit: "836 MB"."""
    return f"{decimal(value * unit.factor, unit.decimals)} {unit.name}".rstrip()


def span(values: Iterable[float], decimals: int, signed: bool = False) -> str:
    """From the least to the greatest: "0.3–1.2", of `signed` ones "−0.3 to +1.2"."""
    ordered = sorted(values)
    low, high = (decimal(value, decimals, signed) for value in (ordered[0], ordered[-1]))
    return low if low == high else f"{low} to {high}" if signed else f"{low}–{high}"


def count(value: float) -> str:
    """A count with three digits and k, M or B: 73728 is "73.7k". Below 1,000 exact."""
    if not value >= 1000:
        return decimal(value, 0)
    value = float(f"{value:.3g}")  # first, as rounding may reach the next suffix
    factor, suffix = next((f, s) for f, s in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if value >= f)
    digits = max(0, 2 - math.floor(math.log10(value / factor)))
    return f"{decimal(value / factor, digits)}{suffix}"


def gigabytes(value: float) -> str:
    """Bytes: "31.2 GB"."""
    return amount(value, Unit("GB", 1e-9, 1))


_SCALES = {
    "bytes": (("GB", 1e-9), ("MB", 1e-6), ("kB", 1e-3)),
    "seconds": (("s", 1.0), ("ms", 1e3), ("µs", 1e6)),
}


def unit_for(kind: str, values: Iterable[float]) -> Unit:
    """The unit of a column: of `bytes` and `seconds` the largest in which the greatest value is at least 10
    (or the smallest unit there is), of anything else itself. Three digits for the smallest value, but never
    more than two decimals."""
    finite = [abs(v) for v in values if v is not None and math.isfinite(v) and v != 0]
    name, factor = kind, 1.0
    if kind in _SCALES:
        scales = _SCALES[kind]
        name, factor = next(
            ((n, f) for n, f in scales if finite and max(finite) * f >= 10), scales[-1] if finite else scales[1]
        )
    decimals = 0
    if finite:
        decimals = min(2, max(0, 2 - math.floor(math.log10(min(finite) * factor))))
    return Unit(name, factor, decimals)


def number(
    summary: Mean, unit: Unit, cells: Sequence[str] = (), usual_n: int | None = None, signed: bool = False
) -> Number | None:
    """A mean with its spread, in `unit`; None where there is nothing. A count of values other than
    `usual_n` is shown beside it."""
    if summary.n == 0:
        return None
    beside = None if summary.sd is None else spread(summary.sd, unit)
    note = f"{summary.n}" if usual_n is not None and summary.n != usual_n else None
    text = decimal(summary.mean * unit.factor, unit.decimals, signed)
    return Number(text, math.copysign(1, unit.factor) * summary.mean, beside, note, tuple(cells))


# What a LaTeX page can hold; the CSV file and the page have the whole text.
LONGEST_REASON = 240


def shorten(text: str, longest: int = LONGEST_REASON) -> str:
    """One line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


_NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def numeral(n: int) -> str:
    """Small numbers in words."""
    return _NUMERALS[n] if 0 <= n < len(_NUMERALS) else f"{n:,}"


def plural(n: int, one: str, many: str | None = None) -> str:
    """ "one seed", "three seeds"."""
    return f"{numeral(n)} {one if n == 1 else many or one + 's'}"


def ordinal(n: int) -> str:
    """ "1st", "12th", "23rd"."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def ordinals(low: int, high: int) -> str:
    """Ranks: "between 2nd and 7th", or "2nd" where there is one."""
    return ordinal(low) if low == high else f"between {ordinal(low)} and {ordinal(high)}"


def population(covered: str) -> str:
    """What a conclusion is about, in words."""
    return _POPULATIONS[covered]


def named_metric(metric: str, scale: Scale) -> str:
    """ "accuracy in points", "rmse (less is better)"."""
    said = f"{metric} in points" if scale.in_points else metric
    return said if scale.higher_is_better else f"{said} (less is better)"


def named_scores(results: Results, tasks: Sequence[str]) -> str:
    """What scores of several tasks are: "primary metric in points", with the tasks of which that does not hold."""
    others: dict[str, list[str]] = {}
    for task in tasks:
        scale = results.scale(task)
        if not (scale.in_points and scale.higher_is_better):
            others.setdefault(named_metric(results.metric(task), scale), []).append(task)
    if not others:
        return "primary metric in points"
    said = listing([f"on {listing(of)} {what}" for what, of in others.items()])
    plain = len(tasks) > sum(map(len, others.values()))
    return f"primary metric {'in points, but ' if plain else '('}{said}{'' if plain else ')'}"


def left_out(results: Results, tasks: Sequence[str]) -> str:
    """A sentence, with a space before it, on what a mean over the tasks leaves out; empty if that is nothing."""
    kept = results.averaged(tasks)
    left = [f"{task} ({results.metric(task)})" for task in tasks if task not in kept]
    if not left:
        return ""
    return f" Left out of the mean, as no fractions of which more is better: {listing(left)}."


_POPULATIONS = {
    "examples": "these trained models on other examples",
    "seeds": "other seeds on these examples",
    "seeds and examples": "other seeds and other examples",
}


def _points(value: float) -> str:
    return decimal(value, 1, signed=True)


_EFFECTS = {"points": _points, "ratio": ratio}

"""How quantities are written: units and rounding, chosen once per column so that digits line up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from reports.analysis.statistics import Summary
from reports.model.document import Number, listing

if TYPE_CHECKING:
    from reports.results import Results


class Unit(NamedTuple):
    """Displayed value = raw value × `factor`, with `decimals` digits after the point. The factor of a score of which
    less is better is negative: see `reports.scales`."""

    name: str
    factor: float
    decimals: int


def points(fraction: float, signed: bool = False) -> str:
    """A metric between 0 and 1 as percent points with one decimal: 0.8137 is "81.4"."""
    text = f"{100 * fraction:{'+' if signed else ''}.1f}"
    return text.replace("-", "−")


def count(value: float) -> str:
    """A count with three digits and k, M or B: 73728 is "73.7k". Below 1,000 exact."""
    if value < 1000:
        return f"{value:,.0f}"
    value = float(f"{value:.3g}")  # first, as rounding may reach the next suffix
    factor, suffix = next((f, s) for f, s in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if value >= f)
    digits = max(0, 2 - math.floor(math.log10(value / factor)))
    return f"{value / factor:,.{digits}f}{suffix}"


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


def number(summary: Summary, unit: Unit, cells: Sequence[str] = (), usual_n: int | None = None) -> Number | None:
    """A mean with its spread, in `unit`; None where there is nothing. A count of values other than
    `usual_n` is shown beside it."""
    if summary.n == 0:
        return None
    spread = None
    if summary.sd is not None:
        spread = f"{summary.sd * abs(unit.factor):,.{unit.decimals}f}"
    note = f"{summary.n}" if usual_n is not None and summary.n != usual_n else None
    text = f"{summary.mean * unit.factor + 0.0:,.{unit.decimals}f}".replace("-", "−")
    return Number(text, math.copysign(1, unit.factor) * summary.mean, spread, note, tuple(cells))


def gigabytes(value: float) -> str:
    return f"{value / 1e9:.1f} GB"


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


def named_scores(results: Results, tasks: Sequence[str]) -> str:
    """What scores of several tasks are: "primary metric in points", with the tasks of which that does not hold."""
    others: dict[str, list[str]] = {}
    for task in tasks:
        scale = results.scale(task)
        if not (scale.in_points and scale.higher_is_better):
            others.setdefault(scale.named(results.metric(task)), []).append(task)
    if not others:
        return "primary metric in points"
    said = listing([f"on {listing(of)} {what}" for what, of in others.items()])
    plain = len(tasks) > sum(map(len, others.values()))
    return f"primary metric {'in points, but ' if plain else '('}{said}{'' if plain else ')'}"

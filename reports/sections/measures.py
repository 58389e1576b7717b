"""Tables of what was profiled: a column per quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from records.vocabulary import QUANTITIES, Quantity
from reports.analysis.costs import CostGroup
from reports.model.document import Column, Number, Row
from reports.model.writing import count, number, unit_for
from reports.results import Results
from reports.scales import Unit
from reports.sections.rows import Cell, by_family, data_line

# What kinds of units are called in tables and CSV files.
_UNITS = {
    "count": "parameters",
    "percent": "%",
    "bytes": "bytes",
    "rate": "",
    "seconds": "seconds",
    "ratio": "×",
    "joules": "J",
}
# Of these the head of a column has the unit.
_SHOWN = ("bytes", "seconds", "ratio", "joules")


@dataclass(frozen=True)
class Measure:
    """A quantity as a column, under a `group` where it belongs to one. `heading` takes the place of the quantity's own;
    `spread` says that standard deviations are shown."""

    name: str
    group: str | None = None
    heading: str = ""
    spread: bool = False

    @property
    def quantity(self) -> Quantity:
        """As the vocabulary has it."""
        return QUANTITIES[self.name]

    def unit(self, values: Sequence[float]) -> Unit:
        """The unit in which these values are written."""
        return unit_for(_UNITS[self.quantity.unit], values)


def columns_and_rows(
    results: Results, group: CostGroup, measures: Sequence[Measure]
) -> tuple[tuple[Column, ...], tuple[Row, ...], pd.DataFrame]:
    """A row per label that was profiled, and the same at full precision. What others published has columns of what
    they measured alone."""
    if results.published:
        measures = [measure for measure in measures if group.means(measure.name)]
    units = {measure.name: _unit(group, measure, measures) for measure in measures}
    data: list[dict[str, Any]] = []

    def row(label: str) -> tuple[Cell, ...]:
        row: list[Cell] = []
        for measure in measures:
            summary, ids = group.of(label, measure.name)
            unit = _UNITS[measure.quantity.unit]
            data.append(data_line(group.backbone, label, ", ".join(group.tasks), measure.name, unit, summary, ids))
            if measure.quantity.unit == "count":
                row.append(_counted(group, label, measure.name))
            else:
                shown = summary if measure.spread else summary._replace(sd=None)
                row.append(number(shown, units[measure.name], ids))
        return tuple(row)

    rows = by_family(results, group.labels, row)
    return (
        (Column("Method", "label"), *(_column(each, units[each.name]) for each in measures)),
        rows,
        pd.DataFrame(data),
    )


def _column(measure: Measure, unit: Unit) -> Column:
    name = unit.name if measure.quantity.unit in _SHOWN else None
    return Column(measure.heading or measure.quantity.column, unit=name, group=measure.group)


def _unit(group: CostGroup, measure: Measure, measures: Sequence[Measure]) -> Unit:
    """One for all columns of a kind that stand under one heading, so that they can be compared at sight."""
    kin = [
        each
        for each in measures
        if each == measure
        or (measure.group and each.group == measure.group and each.quantity.unit == measure.quantity.unit)
    ]
    return measure.unit([group.of(label, each.name)[0].mean for label in group.labels for each in kin])


def _counted(group: CostGroup, label: str, column: str) -> Number | None:
    """A count; a range where cells differ, as heads do between tasks."""
    summary, ids = group.of(label, column)
    if not summary.n:
        return None
    low, high = (count(value) for value in group.range(label, column))
    return Number(low if low == high else f"{low}–{high}", summary.mean, cells=ids)

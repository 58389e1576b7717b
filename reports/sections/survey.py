"""The survey's table, measured: its ratings of the three compositions, printed beside ratings from this run."""

from __future__ import annotations

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.compositions import AxisRating
from reports.model.document import Column, Part, Row, Section, Table, Text
from reports.model.prose import Prose, join, say
from reports.model.writing import effect
from reports.results import Results

PLACE = "appendix"
ORDER = 30

_COLUMNS = (
    Column("Composition", "label"),
    Column("Axis", "label"),
    Column("printed", "label", group="Rating"),
    Column("computed", "label", group="Rating"),
    Column("Value", "text", share=0.15),
    Column("Agreement", "label"),
    Column("Rule, or why there is none", "text", share=0.3),
)


def part(analysis: Analysis, prose: Prose) -> Part:
    """Of all configurations."""
    whole = analysis.everything
    return Part(Section("survey", "The Survey's Table, Measured", tuple(tables(whole.ratings, whole.results))))


def tables(ratings: list[AxisRating], results: Results) -> list[Table]:
    """A row per composition and axis."""
    if not ratings:
        return []
    rows: list[Row] = []
    before: tuple[str, str] | None = None
    for rating in ratings:
        head = (rating.backbone, rating.composition)
        rows.append(_row(rating, results, first=head != before, gap=before is not None and head != before))
        before = head
    data = pd.DataFrame([rating.__dict__ | {"labels": " ".join(rating.labels)} for rating in ratings])
    return [Table("compositions", _caption(), _COLUMNS, tuple(rows), data, wide=True)]


def _row(rating: AxisRating, results: Results, first: bool, gap: bool) -> Row:
    several = len(results.backbones) > 1
    name = f"{rating.composition} ({results.title('backbones', rating.backbone)})" if several else rating.composition
    value = None if rating.value is None else effect(rating.value, rating.unit)
    basis = rating.rule if rating.computed is not None else rating.reason or rating.rule
    cells = (name if first else "", rating.axis, rating.printed, rating.computed, value, rating.agreement, basis)
    return Row(cells, gap)


def _caption() -> Text:
    ours = (
        "The survey's table of compositions [@pfeiffer2023modular] as we read it, beside ratings computed from this run"
        " by the rules given: medians over the labels that compose in that way."
    )
    scope = "The survey rates ideas over a literature; this run measures a few configurations on one machine."
    return join([say(ours), say(scope)])

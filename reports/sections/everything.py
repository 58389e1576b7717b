"""All configurations, where the main part shows a choice of them."""

from __future__ import annotations

from dataclasses import replace

from reports.analysis.analysis import Analysis
from reports.model.document import Part, Ref, Section, Table, Text
from reports.model.prose import Prose
from reports.sections import budgets, costs, differences, scores

PLACE = "appendix"
ORDER = 10


def part(analysis: Analysis, prose: Prose) -> Part:
    """The main part's tables, of all that was run."""
    whole = analysis.everything
    if len(analysis.results.labels) == len(whole.results.labels):
        return Part()
    shown = [
        *scores.tables(whole),
        *differences.tables(whole),
        *costs.tables(whole),
        *budgets.hyperparameters(whole.results),
    ]
    return Part(Section("all", "All Configurations", tuple(_renamed(table) for table in shown)))


def _renamed(table: Table) -> Table:
    """The main part has a table of this key, of fewer labels."""
    return replace(table, key=f"all-{table.key}", caption=_within(table.caption), spare=0)


def _within(caption: Text) -> Text:
    """Referring to the tables of this section."""
    return tuple(
        Ref(f"tab:all-{piece.label.removeprefix('tab:')}")
        if isinstance(piece, Ref) and piece.label.startswith("tab:")
        else piece
        for piece in caption
    )

"""All configurations, where the main part shows a choice of them."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Part, Ref, Section, Table
from reports.model.prose import Prose
from reports.sections import setup, tables

PLACE = "appendix"
ORDER = 10


def part(analysis: Analysis, prose: Prose) -> Part:
    whole = analysis.everything
    if len(analysis.results.labels) == len(whole.results.labels):
        return Part()
    return Part(Section("all", "All Configurations", tuple(_renamed(t) for t in _everything(whole))))


def _everything(whole: Analysis) -> list[Table]:
    return [*tables.scores(whole), *tables.differences(whole), *tables.costs(whole),
            *setup.hyperparameters(whole.results)]  # fmt: skip


def _renamed(table: Table) -> Table:
    """The key `scores` is the main part's, of fewer labels."""
    caption = tuple(
        Ref(f"tab:all-{p.label.removeprefix('tab:')}") if isinstance(p, Ref) and p.label.startswith("tab:") else p
        for p in table.caption
    )
    return Table(f"all-{table.key}", caption, table.columns, table.rows, table.data, table.wide)

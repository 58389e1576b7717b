"""The survey's table, measured."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Part, Section
from reports.model.prose import Prose
from reports.sections import verdict_tables

PLACE = "appendix"
ORDER = 30


def part(analysis: Analysis, prose: Prose) -> Part:
    whole = analysis.everything
    rated = verdict_tables.compositions(whole.ratings, whole.results)
    return Part(Section("survey", "The Survey's Table, Measured", tuple(rated)))

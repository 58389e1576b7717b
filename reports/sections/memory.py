"""Memory by what holds it."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Part, Section
from reports.model.prose import Prose
from reports.sections import tables

PLACE = "appendix"
ORDER = 20


def part(analysis: Analysis, prose: Prose) -> Part:
    whole = analysis.everything
    made = () if whole.results.scored.empty else tuple(tables.memory(whole))
    return Part(Section("memory", "Memory by What Holds It", made))

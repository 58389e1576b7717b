"""Learning curves."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.drawing import figures
from reports.model.document import Part, Section, Slide, ranked
from reports.model.prose import Prose
from reports.sections import findings
from reports.sections.cutting import shown, told

PLACE = "results"
ORDER = 60


def part(analysis: Analysis, prose: Prose) -> Part:
    drawn = ranked(figures.curves(analysis), 54)
    backup = tuple(Slide("Learning curves", told(figure), figure, 40) for figure in drawn[:1])
    return Part(Section("curves", "Learning curves", shown(findings.curves(analysis), drawn)), (), backup)

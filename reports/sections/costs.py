"""Memory, throughput and latency."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.drawing import figures, fronts
from reports.model.document import Part, Section, Slide, ranked
from reports.model.prose import Prose
from reports.sections import findings, tables
from reports.sections.cutting import shown, told

PLACE = "results"
ORDER = 40


def part(analysis: Analysis, prose: Prose) -> Part:
    drawn, plotted = ranked(figures.cost(analysis), 90), ranked(fronts.fronts(analysis), 80)
    blocks = [*drawn, *plotted, *ranked(tables.costs(analysis), 70)]
    title = "Parameters are one cost of several"
    slides = tuple(Slide(title, told(figure), figure, 60, minutes=1.5) for figure in plotted[:1])
    backup = tuple(Slide("Memory, throughput, latency", told(figure), figure, 20) for figure in drawn[:1])
    section = Section("cost", "Memory, throughput and latency", shown(findings.costs(analysis), blocks))
    return Part(section, slides, backup)

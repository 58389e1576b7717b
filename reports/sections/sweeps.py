"""What the suite varies."""

from __future__ import annotations

from dataclasses import replace

from reports.analysis.analysis import Analysis
from reports.drawing import sweeps
from reports.model.document import Paragraph, Part, Section, Slide
from reports.model.prose import Prose, say
from reports.sections.cutting import shown, told

PLACE = "results"
ORDER = 80


def part(analysis: Analysis, prose: Prose) -> Part:
    ranks = {"learning-rate": 60, "train-size": 58, "backbone-size": 56}
    drawn = [sweeps.sweep_figure(sweep) for sweep in analysis.sweeps]
    drawn = [replace(figure, spare=ranks.get(figure.key.removesuffix("-1"), 0)) for figure in drawn]
    said = [Paragraph(say("Some configurations differ in one thing alone."))] if drawn else []
    backup = tuple(Slide("What the suite varies", told(figure), figure, 50) for figure in drawn)
    return Part(Section("sweeps", "What the suite varies", shown(said, drawn)), (), backup)

"""Score against trainable parameters."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.drawing import figures
from reports.model.document import Part, Section, Slide, ranked
from reports.model.prose import Prose
from reports.sections import findings
from reports.sections.cutting import sentences, shown

PLACE = "results"
ORDER = 30


def part(analysis: Analysis, prose: Prose) -> Part:
    said, made = findings.tradeoff(analysis), ranked(figures.tradeoff(analysis), 0)
    cut = [s for paragraph in said for s in sentences(paragraph.text)][-1:]
    title = "Score against trained parameters"
    slides = tuple(Slide(title, tuple(cut), figure, 50, minutes=1.5) for figure in made[:1])
    return Part(Section("tradeoff", "Score against trainable parameters", shown(said, made)), slides)

"""Differences to full fine-tuning."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Part, Section, Slide
from reports.model.prose import Prose
from reports.sections import findings, tables
from reports.sections.cutting import sentences, told, without_refs

PLACE = "results"
ORDER = 20


def part(analysis: Analysis, prose: Prose) -> Part:
    said, made = findings.differences(analysis), tables.differences(analysis)
    cut = [s for paragraph in said for s in sentences(without_refs(paragraph.text))]
    slide = Slide("Is a difference a difference?", tuple(cut[:4]), None, 70, "Which gap would matter in practice?")
    backup = tuple(Slide("Differences to full fine-tuning", told(table), table, 10) for table in made[:1])
    return Part(Section("differences", "Differences to full fine-tuning", (*said, *made)), (slide,), backup)

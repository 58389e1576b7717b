"""The cells that left no result."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Block, Part, Section, ranked
from reports.model.prose import Prose
from reports.sections import findings, setup

PLACE = "results"
ORDER = 95


def part(analysis: Analysis, prose: Prose) -> Part:
    return Part(Section("unfinished", "What is missing", tuple(blocks(analysis))))


def blocks(analysis: Analysis) -> list[Block]:
    """How many cells have no score, and why."""
    return [*findings.unfinished(analysis.results), *ranked(setup.unfinished(analysis.results), 75)]

"""Where the student reads the results in their own words."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Part, Section
from reports.model.prose import Prose

PLACE = "results"
ORDER = 99


def part(analysis: Analysis, prose: Prose) -> Part:
    """A place to write in, and nothing else."""
    return Part(Section("reading", "Reading the numbers", tuple(prose.prompts("results"))))

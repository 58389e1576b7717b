"""Machine and software of the run."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Part, Section
from reports.model.prose import Prose
from reports.sections import setup

PLACE = "appendix"
ORDER = 50


def part(analysis: Analysis, prose: Prose) -> Part:
    return Part(Section("environment", "Environment", tuple(setup.environment(analysis.everything.results))))

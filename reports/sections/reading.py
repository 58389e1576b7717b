"""Where the student reads the results in their own words."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.model.document import Part, Prompt, Section
from reports.model.prose import Prose, say

PLACE = "results"
ORDER = 99


def part(analysis: Analysis, prose: Prose) -> Part:
    asked = "Which of these numbers surprised you, and what could explain it besides the method itself?"
    return Part(Section("reading", "Reading the numbers", (Prompt(say(asked), key="results"),)))

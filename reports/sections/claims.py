"""Claims of the papers."""

from __future__ import annotations

from dataclasses import replace

from reports.analysis.analysis import Analysis
from reports.analysis.claims import OUTCOMES, tally
from reports.model.document import Part, Section, Slide, listing
from reports.model.prose import Prose, say
from reports.model.writing import plural
from reports.sections import verdict_tables

CLAIMS_PER_SLIDE = 5
# A table of claims that is longer than this may move to the appendix; of more than so many it is the first to go.
MANY_CLAIMS, PAGES_OF_CLAIMS = 12, 24

PLACE = "results"
ORDER = 90


def part(analysis: Analysis, prose: Prose) -> Part:
    verdicts, references = analysis.verdicts, analysis.references
    n = len(verdict_tables.testable(verdicts) or verdicts)
    rank = 1 if n > PAGES_OF_CLAIMS else 100 if n > MANY_CLAIMS else 0
    blocks = [
        *(replace(table, spare=rank) for table in verdict_tables.claims(verdicts, references)),
        *(replace(table, spare=50) for table in verdict_tables.untestable(verdicts, references)),
    ]
    section = Section("claims", "Claims of the papers", (*verdict_tables.told(verdicts), *blocks))
    if not verdicts:
        return Part(section)
    ordered = sorted(verdicts, key=lambda v: OUTCOMES.index(v.verdict))
    (table,) = verdict_tables.claims(ordered[:CLAIMS_PER_SLIDE], references, brief=True)
    counts = listing([f"{n} {o}" for o, n in tally(verdicts).items()])
    point = say("Of {claims}: {counts}.", claims=plural(len(verdicts), "claim"), counts=counts)
    return Part(section, (Slide("What the papers claim", (point,), table, 80, minutes=1.5),))

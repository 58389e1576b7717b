"""The scores."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.drawing import fronts
from reports.model.document import Block, Paragraph, Part, Ref, Section, Slide, ranked
from reports.model.prose import Prose
from reports.model.writing import numeral
from reports.sections import findings, tables
from reports.sections.cutting import sentences, shown

PLACE = "results"
ORDER = 10


def part(analysis: Analysis, prose: Prose) -> Part:
    said, made = findings.scores(analysis), ranked(tables.scores(analysis), 0)
    blocks = shown(said, [*made, *ranked(fronts.heatmap(analysis), 52)])
    cut = [s for paragraph in said for s in sentences(paragraph.text)]
    slides = [Slide("Scores", tuple(cut[:2]), table, 40) for table in made[:1]]
    return Part(Section("scores", "Scores", (*_cut(analysis), *blocks)), tuple(slides))


def _cut(analysis: Analysis) -> list[Block]:
    """What the main part leaves out, where it does."""
    results, view, topic = analysis.everything.results, analysis.results, analysis.topic
    left = len(results.labels) - len(view.labels)
    if not left:
        return []
    return [
        Paragraph((f"The tables of this part show the {topic.family} family, the baselines, and of every other family"
                   f" the configuration with the {results.highest} mean validation score; the other"
                   f" {numeral(left)} are in ", Ref("sec:all"), "."))
    ]  # fmt: skip

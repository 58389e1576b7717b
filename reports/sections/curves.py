"""Learning curves, and whether training had ended improving when the budget ended."""

from __future__ import annotations

from reports.analysis.analysis import Analysis
from reports.drawing import curves as drawing
from reports.model.document import Part, Section, Slide, Text, ranked
from reports.model.prose import Prose, say
from reports.sections.rows import shown

PLACE = "results"
ORDER = 60


def part(analysis: Analysis, prose: Prose) -> Part:
    """Validation scores during training."""
    drawn = ranked(drawing.figures(analysis), 54)
    backup = tuple(Slide("Learning curves", (_drawn(analysis),), figure, 40) for figure in drawn[:1])
    return Part(Section("curves", "Learning curves", shown([sentences(analysis)], drawn)), (), backup)


def sentences(analysis: Analysis) -> list[Text]:
    """How many runs were best at their last evaluation; nothing where no run has several."""
    if not analysis.curves.runs:
        return []
    best = "In {last} of {runs} runs the best validation score is that of the last evaluation."
    why = (
        "Where that is so, the budget rather than the method may set the score, and a longer one may change the order."
    )
    return [say(best, last=analysis.curves.last, runs=analysis.curves.runs), say(why)]


def _drawn(analysis: Analysis) -> Text:
    return say(
        "Validation score during training on {backbone}: mean over seeds, band of ± one sample standard deviation.",
        backbone=analysis.results.title("backbones", next(iter(analysis.curves.of))),
    )

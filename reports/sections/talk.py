"""The talk of an analysis: the subjects' slides in order, timed, and those for questions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.model.document import Deck, Part, Row, Slide, Table
from reports.model.prose import OURS, Prose, say
from reports.sections import PLACES, parts
from reports.sections.report import known

ROWS_PER_SLIDE = 16
# Of the talk, less half a minute for its title.
MINUTES = 14.5


def compose(analysis: Analysis, prose: Prose = OURS) -> Deck:
    """The deck. Only works that an entry describes are cited."""
    results = analysis.everything.results
    found = [part for place in PLACES for part in parts(place, analysis, prose)]
    if analysis.results.scored.empty:
        nothing = Slide("Results", (say("No cell of this suite has a score yet."),), order=40)
        found.append(Part(slides=(nothing,)))

    def ready(slides: Iterable[Slide]) -> list[Slide]:
        return [_fitting(slide, analysis) for slide in sorted(slides, key=lambda slide: slide.order)]

    return Deck(
        title=analysis.topic.title,
        subtitle=f"Suite “{results.name}” on {listing([results.title('backbones', b) for b in results.backbones])}",
        date=results.manifest.created[:10],
        slides=_timed(ready(slide for part in found for slide in part.slides)),
        backup=tuple(ready(slide for part in found for slide in part.backup)),
    )


def _fitting(slide: Slide, analysis: Analysis) -> Slide:
    """With known citations alone, and as many rows of a table as a slide holds."""
    points = tuple(known(point, analysis.references) for point in slide.points)
    return replace(slide, points=points, block=_short(slide.block) if isinstance(slide.block, Table) else slide.block)


def _short(table: Table) -> Table:
    """With a line that says how many rows are left out."""
    left = len(table.rows) - ROWS_PER_SLIDE
    if left <= 0:
        return table
    more = Row((f"and {left} more in the report", *("" for _ in table.columns[1:])), gap=True)
    return replace(table, rows=(*table.rows[:ROWS_PER_SLIDE], more))


def _timed(slides: list[Slide]) -> tuple[Slide, ...]:
    """Minutes to the half, so that all slides together take as long as there is."""
    planned = sum(slide.minutes for slide in slides)
    scaled = [max(0.5, round(2 * slide.minutes * MINUTES / planned) / 2) for slide in slides]
    excess = sum(scaled) - MINUTES
    for i in sorted(range(len(slides)), key=lambda i: -scaled[i]):
        step = max(-0.5, min(0.5, excess))
        if step and scaled[i] - step >= 0.5:
            scaled[i] -= step
            excess -= step
    return tuple(replace(slide, minutes=m) for slide, m in zip(slides, scaled, strict=True))

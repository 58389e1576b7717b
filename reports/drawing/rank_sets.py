"""The ranks between which configurations lie, a line for each."""

from __future__ import annotations

from functools import partial

from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.rank_sets import RankSets
from reports.drawing.panels import LABEL_SIZE, drawing_of, family_legend, short
from reports.drawing.style import COLUMN_WIDTH, families_in, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.model.writing import population
from reports.results import Results

# Inches from one line to the next, and what axis and legend take.
LINE, REST = 0.15, 0.85


def figures(analysis: Analysis) -> list[Figure]:
    """One per backbone."""
    found = analysis.ranked
    return [
        Figure(
            key=keyed("rank-sets", position, len(found)),
            caption=(_caption(analysis.results, of),),
            alt=f"For each of {len(of.sets)} configurations a line from the best to the worst rank that it may have.",
            draw=partial(_draw, analysis.results, of),
        )
        for position, of in enumerate(found)
    ]


def _caption(results: Results, of: RankSets) -> str:
    return (
        f"Ranks by mean test score on {listing(of.tasks)}; backbone {results.title('backbones', of.backbone)}. Marker:"
        f" the rank of the mean. Line: the ranks between which it lies with {100 * of.level:.0f} % confidence, all of"
        f" them at once, for {population(of.population)}."
    )


def _draw(results: Results, of: RankSets, theme: Theme) -> Drawing:
    labels = sorted(of.sets, key=lambda label: of.sets[label].rank)
    drawing = drawing_of(theme, COLUMN_WIDTH, REST + LINE * len(labels))
    axes = drawing.subplots()
    for y, label in enumerate(labels):
        found, style = of.sets[label], look(results.family_of(label))
        axes.plot([found.low, found.high], [y, y], color=style.color, linewidth=1.6, marker="|", markersize=4)
        axes.plot(
            found.rank,
            y,
            color=style.color,
            marker=style.marker,
            markersize=4.2,
            markeredgecolor="white",
            markeredgewidth=0.4,
            linestyle="none",
            zorder=3,
        )
    axes.set_yticks(range(len(labels)), [short(label) for label in labels], fontsize=LABEL_SIZE)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0.5, len(labels) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Rank (1 is best)")
    family_legend(theme, drawing, families_in({results.family_of(label) for label in labels}))
    return drawing

"""The ranks between which configurations lie, a line for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.rank_sets import RankSets
from reports.drawing.panels import LABEL_SIZE, drawing_of, family_legend, marker, short
from reports.drawing.style import COLUMN_WIDTH, PAGE_WIDTH, families_in, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.model.writing import population
from reports.results import Results

# Inches from one line to the next, and what axis and legend take.
LINE, REST = 0.15, 0.85
LINES_ON_SLIDE = 12


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
    # A slide is less high: panels side by side, the best in the first.
    across = 1 if theme.factor == 1 else math.ceil(len(labels) / LINES_ON_SLIDE)
    down = math.ceil(len(labels) / across)
    drawing = drawing_of(theme, COLUMN_WIDTH if across == 1 else PAGE_WIDTH, REST + LINE * down)
    panels = drawing.subplots(1, across, sharex=True, squeeze=False).ravel().tolist()
    for i, axes in enumerate(panels):
        _panel(axes, results, of, labels[i * down : (i + 1) * down])
        axes.set_xlim(0.5, len(labels) + 0.5)
        axes.set_ylim(down - 0.4, -0.6)
        axes.set_xlabel("Rank (1 is best)")
    family_legend(theme, drawing, families_in({results.family_of(label) for label in labels}))
    return drawing


def _panel(axes: Axes, results: Results, of: RankSets, labels: Sequence[str]) -> None:
    for y, label in enumerate(labels):
        found, style = of.sets[label], look(results.family_of(label))
        axes.plot([found.low, found.high], [y, y], color=style.color, linewidth=1.6, marker="|", markersize=4)
        axes.plot(found.rank, y, **marker(style.color, style.marker), zorder=3)
    axes.set_yticks(range(len(labels)), [short(label) for label in labels], fontsize=LABEL_SIZE)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)

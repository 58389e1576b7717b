"""The heat map of agreement: Cohen's kappa of every two families, and of a configuration with itself."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from matplotlib.figure import Figure as Drawing

from reports.analysis.agreement import over_tasks
from reports.analysis.analysis import Analysis
from reports.drawing.heatmap import field
from reports.drawing.panels import drawing_of, lay_out, short
from reports.drawing.style import COLUMN_WIDTH, families_in
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.model.writing import decimal

AGAIN = "other seed"


def figures(analysis: Analysis) -> list[Figure]:
    """One per backbone on which two families or more answered."""
    results = analysis.everything.results
    made = []
    for backbone in results.backbones:
        found = [
            one.agreement
            for one in analysis.everything.errors
            if one.backbone == backbone and one.agreement is not None
        ]
        pairs, again = over_tasks(found)
        families = families_in(set(again))
        if len(families) < 2:
            continue
        kappas = {frozenset((pair.first, pair.second)): pair.kappa for pair in pairs}
        rows = [[*(kappas.get(frozenset((a, b)), math.nan) for b in families), again[a]] for a in families]
        over = "" if len(found) == 1 else f", mean over {len(found)} tasks"
        caption = (
            f"Agreement of answers on {results.title('backbones', backbone)}{over}: Cohen's kappa of two configurations"
            " of these families trained with one seed (on the diagonal, of one family), and in the last column of one"
            " configuration trained with two seeds. Hatched: there are no two to compare."
        )
        made.append((caption, families, np.array(rows)))
    return [
        Figure(
            key=keyed("agreement", position, len(made)),
            caption=(caption,),
            alt=f"Heat map of Cohen's kappa between {len(families)} families.",
            draw=partial(_draw, families, kappas),
        )
        for position, (caption, families, kappas) in enumerate(made)
    ]


def _draw(families: list[str], kappas: np.ndarray, theme: Theme) -> Drawing:
    """`kappas` has a row per family, and a column more."""
    drawing = drawing_of(theme, COLUMN_WIDTH, 0.9 + 0.22 * len(families))
    axes = drawing.subplots()
    axes.set_facecolor("white")
    edges = np.arange(len(families) + 2) - 0.5, np.arange(len(families) + 1) - 0.5
    # What is below chance is as light as chance.
    axes.pcolormesh(*edges, np.ma.masked_invalid(kappas.clip(0, 1)), cmap="Greys", vmin=0, vmax=1.2)
    axes.axvline(len(families) - 0.5, color="white", linewidth=3)
    axes.invert_yaxis()
    for (row, column), value in np.ndenumerate(kappas):
        field(axes, row, column, decimal(value, 2) if math.isfinite(value) else None, value > 0.65)
    names = [*(short(family, 14) for family in families), AGAIN]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(families)), [short(family, 16) for family in families])
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    lay_out(drawing)
    return drawing

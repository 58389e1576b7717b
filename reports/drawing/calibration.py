"""Reliability diagrams: how often answers are right against how sure the models were."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import Figure as Drawing

from reports.analysis.analysis import Analysis
from reports.analysis.calibration import BINS, Calibrations
from reports.drawing.panels import family_legend, grid_of, lay_out, outer_labels, short
from reports.drawing.style import FRONT, families_in, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed

# Of more tasks than these, a figure shows the first.
MOST_PANELS = 3


def figures(analysis: Analysis) -> list[Figure]:
    """One per backbone, with a panel per task."""
    results, errors = analysis.everything.results, analysis.everything.errors
    found = [one.calibration for one in errors if one.calibration is not None]
    backbones = list(dict.fromkeys(one.backbone for one in found))
    made = []
    for position, backbone in enumerate(backbones):
        own = [one for one in found if one.backbone == backbone]
        left = f" The first {MOST_PANELS} of {len(own)} tasks." if len(own) > MOST_PANELS else ""
        caption = (
            f"Reliability on {results.title('backbones', backbone)}: share of right answers against the probability of"
            f" the likeliest label, in {BINS} bins of equal width; the dashed line is a model that is right as often as"
            f" it is sure. All cells of a family together, bins with one answer in a hundred or more.{left}"
        )
        figure = Figure(
            key=keyed("reliability", position, len(backbones)),
            caption=(caption,),
            alt="Line plots of the share of right answers against confidence, by family.",
            draw=partial(_draw, own[:MOST_PANELS]),
            wide=len(own) > 1,
        )
        made.append(figure)
    return made


def _draw(found: list[Calibrations], theme: Theme) -> Drawing:
    drawing, panels = grid_of(theme, len(found), 2.1, wide=len(found) > 1)
    for axes, one in zip(panels, found, strict=True):
        axes.plot([0, 1], [0, 1], color=FRONT, linewidth=0.8, linestyle=(0, (4, 3)))
        for family in families_in(set(one.families)):
            bins, style = one.families[family], look(family)
            there = bins.counts >= max(1, bins.counts.sum() / 100)
            axes.plot(
                bins.confidence[there],
                bins.accuracy[there],
                color=style.color,
                marker=style.marker,
                markersize=3.2,
                linestyle=style.dashes,
            )
        axes.set_title(short(one.task))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.03)
        axes.set_xticks(np.linspace(0, 1, 6))
    outer_labels(panels, "Probability of the answer", "Share of right answers")
    family_legend(theme, drawing, families_in({family for one in found for family in one.families}), lines=True)
    lay_out(drawing)
    return drawing

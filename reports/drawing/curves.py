"""Learning curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.curves import Curve
from reports.drawing.labels import End, name_ends
from reports.drawing.panels import (
    LABEL_SIZE,
    PANELS_PER_ROW,
    family_legend,
    grid_of,
    in_points,
    lay_out,
    outer_labels,
    panel_metric,
    short,
    up_is_better,
)
from reports.drawing.style import families_in, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.results import Results
from reports.scales import Scale

# Of more lines than this, each family has a panel of its own.
NAMED_LINES = 12


@dataclass(frozen=True)
class _Panel:
    task: str
    title: str
    lines: list[Curve]


def figures(analysis: Analysis) -> list[Figure]:
    """Validation score at every evaluation, mean with a band of one standard deviation; per backbone. A panel per
    task, or per task and family where there are many configurations."""
    results, of = analysis.results, analysis.curves.of
    made = []
    for position, (backbone, lines) in enumerate(of.items()):
        panels = _panels(results, lines)
        tasks = list(dict.fromkeys(line.task for line in lines))
        caption = (
            f"Validation score during training on {results.title('backbones', backbone)}: mean over seeds, band of ±"
            " one sample standard deviation. Steps count all phases of a method; a dotted stretch joins two phases."
        )
        figure = Figure(
            key=keyed("curves", position, len(of)),
            caption=(caption,),
            alt=f"Line plots of validation score against optimiser steps for {listing(tasks)}.",
            draw=partial(_draw, results, panels),
            wide=len(panels) > 1,
        )
        made.append(figure)
    return made


def _panels(results: Results, lines: list[Curve]) -> list[_Panel]:
    tasks = list(dict.fromkeys(line.task for line in lines))
    if len({line.label for line in lines}) <= NAMED_LINES:
        return [
            _Panel(
                task, f"{short(task)} ({panel_metric(results, task)})", [line for line in lines if line.task == task]
            )
            for task in tasks
        ]
    made = []
    for task in tasks:
        for family in families_in({line.family for line in lines}):
            of = [line for line in lines if (line.task, line.family) == (task, family)]
            made.append(_Panel(task, f"{short(task)}: {family}", of))
    return made


def _draw(results: Results, panels: list[_Panel], theme: Theme) -> Drawing:
    most = 2 if len(panels) > PANELS_PER_ROW else PANELS_PER_ROW
    height = 2.35 if len(panels) <= most else 1.75
    drawing, all_axes = grid_of(theme, len(panels), height, wide=len(panels) > 1, most=most)
    spans = _spans(panels)
    for axes, panel in zip(all_axes, panels, strict=True):
        _panel(axes, panel, results.scale(panel.task), spans[panel.task])
    unit = in_points(results, [panel.task for panel in panels])
    outer_labels(all_axes, "Optimiser steps", f"Validation score{unit}", most)
    family_legend(theme, drawing, families_in({line.family for panel in panels for line in panel.lines}), lines=True)
    lay_out(drawing)
    for axes, panel in zip(all_axes, panels, strict=True):
        if panel.lines:
            factor = results.scale(panel.task).unit.factor
            name_ends(axes, [_end(line, factor) for line in panel.lines], *spans[panel.task], LABEL_SIZE)
    return drawing


def _spans(panels: list[_Panel]) -> dict[str, tuple[float, float]]:
    """First and last step of each task."""
    found = {}
    for task in dict.fromkeys(panel.task for panel in panels):
        taken = np.concatenate([line.steps["step"] for panel in panels if panel.task == task for line in panel.lines])
        found[task] = (taken.min(), taken.max())
    return found


def _panel(axes: Axes, panel: _Panel, scale: Scale, span: tuple[float, float]) -> None:
    first, last = span
    factor = scale.unit.factor
    for line in panel.lines:
        style, steps = look(line.family), line.steps
        x, y, spread = steps["step"], factor * steps["mean"], factor * steps["sd"]
        axes.plot(x, y, color=style.color, linewidth=0.6, linestyle=":")
        for _, stretch in steps.groupby("phase", sort=False):
            axes.plot(
                stretch["step"],
                factor * stretch["mean"],
                color=style.color,
                linestyle=style.dashes,
                marker=style.marker,
                markersize=3,
                markeredgecolor="white",
                markeredgewidth=0.3,
            )
        axes.fill_between(x, y - spread, y + spread, color=style.color, alpha=0.13, linewidth=0)
    axes.set_title(panel.title, loc="left")
    up_is_better(axes, scale)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    ticks = MaxNLocator(5, integer=True).tick_values(first, last)
    axes.set_xticks([tick for tick in ticks if first <= tick <= last] or [first])


def _end(line: Curve, factor: float) -> End:
    return End(float((factor * line.steps["mean"]).iloc[-1]), short(line.label), look(line.family).color)

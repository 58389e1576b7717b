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
from reports.drawing.labels import spread_out, text_extent
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
            first, last = spans[panel.task]
            _make_room(axes, first, last, [short(line.label) for line in panel.lines])
            _name_ends(axes, panel.lines, results.scale(panel.task), last)
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


def _make_room(axes: Axes, first: float, last: float, labels: list[str]) -> None:
    """Ends the axis so far right of `last` that the names fit."""
    extent = max(last - first, 1)  # a single evaluation has no extent of its own
    left = first - 0.04 * extent
    widest = max(text_extent(axes, label, LABEL_SIZE)[0] for label in labels)
    share = min((widest + 14) / axes.get_window_extent().width, 0.7)
    right = left + (last - left or extent) / (1 - share)
    axes.set_xlim(left, right)
    # Names stand on white: lines of the grid would strike them through.
    axes.axvspan(last + 0.01 * extent, right, color="white", linewidth=0, zorder=0.6)


def _name_ends(axes: Axes, lines: list[Curve], scale: Scale, last: float) -> None:
    """Names at the right edge, in the order of the lines' ends, each joined to its own."""
    low, high = axes.get_window_extent().intervaly
    right = axes.transData.transform((last, 0))[0]
    ends = [float((scale.unit.factor * line.steps["mean"]).iloc[-1]) for line in lines]
    wanted = [axes.transData.transform((last, value))[1] for value in ends]
    places = spread_out(wanted, LABEL_SIZE * 1.12, low + 3, high - 3)
    to_data = axes.transData.inverted()
    for line, value, y in zip(lines, ends, places, strict=True):
        color = look(line.family).color
        x_text, y_text = to_data.transform((right + 12, y))
        joint = [to_data.transform((right + away, 0))[0] for away in (3, 11)]
        axes.plot(joint, [value, y_text], color=color, linewidth=0.5, scalex=False, scaley=False)
        axes.text(x_text, y_text, short(line.label), color=color, fontsize=LABEL_SIZE, va="center", in_layout=False)

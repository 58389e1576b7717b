"""Bars of training memory and throughput, and points of latency."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from records.text import listing
from records.vocabulary import MEMORY, QUANTITIES
from reports.analysis.analysis import Analysis
from reports.analysis.costs import CostGroup
from reports.analysis.statistics import Summary
from reports.drawing.panels import drawing_of, lay_out, short, tick, widen
from reports.drawing.style import INK, MEMORY_SHADES, MUTED, PAGE_WIDTH, Look, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.model.writing import unit_for
from reports.results import Results

_ALT = "Horizontal bars of training memory and tokens per second, and points of latency, per method."
# Of a bar's place, which is 1 high.
BAR, BELOW = 0.66, -0.28


def figures(analysis: Analysis) -> list[Figure]:
    """Memory by what holds it, throughput and latency; per backbone and protocol."""
    results, groups = analysis.results, analysis.costs
    made = []
    for position, group in enumerate(groups):
        if not what(group):
            continue
        caption = (
            f"{what(group)} on {results.title('backbones', group.backbone)}, as profiled for"
            f" {listing(list(group.tasks))}. Error bars: ± one sample standard deviation over profiled cells."
        )
        if group.means("latency"):
            caption += (
                " Latency, over the plain backbone's (dashed line): filled, with the method in place; open, merged into"
                " the backbone."
            )
        figure = Figure(
            key=keyed("cost", position, len(groups)),
            caption=(caption,),
            alt=_ALT if group.means("latency") else f"Horizontal bars: {what(group)}, per method.",
            draw=partial(_draw, results, group),
            wide=True,
        )
        made.append(figure)
    return made


# A panel each: what it needs, and what it is called in a sentence.
_PANELS = {
    "peak_memory_bytes": "training memory",
    "train_tokens_per_second": "training throughput",
    "latency": "inference latency",
}


def what(group: CostGroup) -> str:
    """What a figure shows of a group, as the beginning of a sentence; empty where nothing of it was measured."""
    said = listing([title for column, title in _PANELS.items() if group.means(column)] or [""])
    told = " by what holds it (bars: counted; vertical mark: measured peak)"
    said = said.replace("training memory", "training memory" + (told if is_counted(group) else " (measured peak)"))
    return said[:1].upper() + said[1:]


def is_counted(group: CostGroup) -> bool:
    """Whether what memory is made of was counted."""
    return any(group.means(column) for column in MEMORY)


def _draw(results: Results, group: CostGroup, theme: Theme) -> Drawing:
    labels = [label for label in results.labels if label in group.labels]
    looks = [look(results.family_of(label)) for label in labels]
    shown = [column for column in _PANELS if group.means(column)]
    drawing = drawing_of(theme, PAGE_WIDTH, 0.9 + 0.17 * len(labels))
    widen(drawing, 0.08)
    ratios = [1.25 if column == "peak_memory_bytes" else 1.0 for column in shown]
    panels = drawing.subplots(1, len(shown), sharey=True, squeeze=False, width_ratios=ratios).ravel().tolist()
    places = np.arange(len(labels))[::-1]
    panels[0].set_yticks(places, [short(label) for label in labels])
    panels[0].set_ylim(-0.6, len(labels) - 0.4)

    def means(column: str) -> list[Summary]:
        return [group.of(label, column)[0] for label in labels]

    handles: list[Patch | Line2D] = []
    for axes, column in zip(panels, shown, strict=True):
        if column == "peak_memory_bytes":
            parts = [[s.mean for s in means(part)] for part in MEMORY] if is_counted(group) else []
            handles = _memory(axes, places, parts, [s.mean for s in means(column)])
        elif column == "train_tokens_per_second":
            _throughput(axes, places, looks, means(column))
        else:
            _latency(axes, places, looks, means(column), means("merged_latency"))
        axes.grid(axis="y", visible=column == "latency")
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.spines["left"].set_visible(column != "latency")
    if handles:
        drawing.legend(handles=handles, loc="outside lower left", ncols=5, handlelength=1.4, columnspacing=1.2)
    lay_out(drawing)
    return drawing


def _memory(axes: Axes, places: np.ndarray, parts: list[list[float]], peak: list[float]) -> list[Patch | Line2D]:
    """Stacked bars (bytes, by label, of each of MEMORY) and a mark of the peak; bars of the peak where no part was
    counted. Returns what the legend explains."""
    unit = unit_for("bytes", peak)
    mark: dict[str, Any] = {"linestyle": "none", "marker": "|", "color": INK, "markersize": 7}
    axes.set_title(f"Memory ({unit.name})" if parts else f"Peak memory ({unit.name})", loc="left")
    if not parts:
        axes.barh(places, unit.factor * np.array(peak), BAR, color=MEMORY_SHADES[0][0], edgecolor="white", linewidth=0)
        return []
    handles: list[Patch | Line2D] = []
    start = np.zeros(len(places))
    for column, means, (shade, hatch) in zip(MEMORY, parts, MEMORY_SHADES, strict=True):
        widths = unit.factor * np.array(means)
        axes.barh(places, widths, BAR, left=start, color=shade, hatch=hatch, edgecolor="white", linewidth=0)
        start = start + widths
        title = QUANTITIES[column].column
        handles.append(Patch(facecolor=shade, hatch=hatch, edgecolor="white", linewidth=0, label=title))
    axes.plot(unit.factor * np.array(peak), places, markeredgewidth=1.2, **mark)
    return [*handles, Line2D([], [], label="peak", **mark)]


def _throughput(axes: Axes, places: np.ndarray, looks: list[Look], rates: list[Summary]) -> None:
    whiskers = {"elinewidth": 0.8, "capsize": 1.6}
    for place, style, rate in zip(places, looks, rates, strict=True):
        axes.barh(place, rate.mean, BAR, color=style.color, xerr=rate.sd, ecolor=INK, error_kw=whiskers)
    axes.set_title("Throughput (tokens/s)", loc="left")
    axes.xaxis.set_major_formatter(FuncFormatter(tick))


def _latency(axes: Axes, places: np.ndarray, looks: list[Look], unmerged: list[Summary], merged: list[Summary]) -> None:
    axes.axvline(1, color=MUTED, linewidth=0.8, dashes=(3, 2))
    for place, style, one, other in zip(places, looks, unmerged, merged, strict=True):
        for value, face, shift in ((one, style.color, 0.0), (other, "white", BELOW)):
            if not value.n:
                continue
            axes.errorbar(
                value.mean,
                place + shift,
                xerr=value.sd or None,
                color=style.color,
                marker=style.marker,
                markersize=4,
                markerfacecolor=face,
                markeredgewidth=0.8,
                elinewidth=0.8,
                capsize=1.6,
            )
    axes.margins(x=0.12)
    axes.set_title("Latency (× the backbone's)", loc="left")

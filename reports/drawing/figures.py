"""Figures: score against trainable parameters, cost bars, learning curves. Drawn anew for each output."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from reports.analysis.analysis import Analysis
from reports.analysis.costs import CostGroup
from reports.analysis.curves import Curve
from reports.analysis.fronts import Point
from reports.analysis.statistics import Summary
from reports.drawing.labels import Anchor, place_around, spread_out, text_extent
from reports.drawing.style import COLUMN_WIDTH, FRONT, INK, MEMORY_SHADES, MUTED, PAGE_WIDTH, families_in, look, scale
from reports.model.document import Figure, keyed, listing
from reports.model.writing import unit_for
from reports.results import Results
from reports.scales import Scale
from reports.sections.tables import MEMORY_PARTS

LABEL_SIZE = 7
PANELS_PER_ROW = 3
# Of more points than this in one panel, only those on the front are named.
CROWD = 16
# Of more points than this, a single panel takes the width of the page.
NAMED_IN_COLUMN = 9
# Of more lines than this, each family has a panel of its own.
NAMED_LINES = 12


def tradeoff(analysis: Analysis) -> list[Figure]:
    """Score against trainable parameters with the Pareto front, a panel per task; per backbone."""
    results, found = analysis.results, analysis.tradeoff
    made = []
    for position, (backbone, points) in enumerate(found.items()):
        tasks = list(dict.fromkeys(point.task for point in points))
        made.append(
            Figure(
                keyed("tradeoff", position, len(found)),
                ("Mean test score against the method's trainable parameters (head not counted; log scale) on"
                 f" {results.title('backbones', backbone)}. Error bars: ± one sample standard deviation over"
                 " seeds. Grey line: Pareto front of the means. A method without trainable parameters in the"
                 " backbone stands on the left edge."
                 + (" Named are those on the front." if crowded(points, tasks) else ""),),
                f"Scatter plots of test score against trainable parameters for {listing(tasks)}.",
                partial(_draw_tradeoff, results, points, tasks),
                wide=_wide(points, tasks),
            )
        )  # fmt: skip
    return made


def crowded(points: list[Point], tasks: list[str]) -> bool:
    return len(points) > CROWD * len(tasks)


def _wide(points: list[Point], tasks: list[str]) -> bool:
    """Whether names need more room than a column has."""
    return len(tasks) > 1 or len(points) > NAMED_IN_COLUMN


def _draw_tradeoff(results: Results, points: list[Point], tasks: list[str]) -> Drawing:
    drawing, panels = grid_of(len(tasks), 2.35, wide=_wide(points, tasks))
    shown = [[point for point in points if point.task == task] for task in tasks]
    for axes, task, panel in zip(panels, tasks, shown, strict=True):
        positive = [point.parameters for point in panel if point.parameters > 0] or [1e4]
        low, high = math.log10(min(positive)), math.log10(max(positive))
        widen = max(0.0, 1.2 - (high - low)) / 2  # so that at least one power of ten is on the axis
        low, high = low - widen, high + widen
        left, right = 10 ** (low - 0.16 * (high - low)), 10 ** (high + 0.10 * (high - low))
        axes.set_xscale("log")
        axes.set_xlim(left, right)
        scale = results.scale(task)
        # By parameters: along the front scores get better, whichever way that is.
        on_front = sorted((p for p in panel if p.on_front), key=lambda p: (p.parameters, p.score.mean))
        front = [(max(p.parameters, left), scale.shown(p.score.mean)) for p in on_front]
        front.append((right, front[-1][1]))
        axes.plot(*zip(*front, strict=True), drawstyle="steps-post", color=FRONT, linewidth=1.0, zorder=1)
        for point in panel:
            style = look(point.family)
            spread = None if point.score.sd is None else abs(scale.unit.factor) * point.score.sd
            axes.errorbar(max(point.parameters, left), scale.shown(point.score.mean), yerr=spread, color=style.color,
                          marker=style.marker, markersize=4.2, markeredgecolor="white", markeredgewidth=0.4,
                          elinewidth=0.8, capsize=1.6, capthick=0.8, clip_on=False, zorder=3)  # fmt: skip
        axes.margins(y=0.10)
        up_is_better(axes, scale)
        axes.set_title(f"{short(task)} ({panel_metric(results, task)})", loc="left", color=INK)
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_major_formatter(FuncFormatter(tick))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.grid(axis="x", visible=False)
    outer_labels(panels, "Trainable parameters of the method", f"Test score{in_points(results, tasks)}")
    family_legend(drawing, families_in({point.family for point in points}))
    lay_out(drawing)
    for axes, panel in zip(panels, shown, strict=True):
        _label_points(axes, panel, results.scale(panel[0].task))
    return drawing


def up_is_better(axes: Axes, scale: Scale) -> None:
    if not scale.higher_is_better:
        axes.invert_yaxis()


def panel_metric(results: Results, task: str) -> str:
    """The metric in a panel's title; where less is better the panel stands on its head, and says so."""
    return results.metric(task) + ("" if results.scale(task).higher_is_better else ", less is better: axis upside down")


def in_points(results: Results, tasks: Iterable[str]) -> str:
    """The unit of an axis that several panels share."""
    return " (points)" if all(results.scale(task).in_points for task in tasks) else ""


def _label_points(axes: Axes, panel: list[Point], scale: Scale) -> None:
    left = axes.get_xlim()[0]
    anchors, obstacles = [], front_boxes(axes)
    for point in panel:
        x, y = axes.transData.transform((max(point.parameters, left), scale.shown(point.score.mean)))
        _, top = axes.transData.transform((left, scale.shown(point.score.mean + (point.score.sd or 0))))
        text = short(point.label) + (" (0)" if point.parameters == 0 else "")
        if point.on_front or len(panel) <= CROWD:
            anchors.append(Anchor(x, y, text, look(point.family).color))
        obstacles.append(Bbox.from_extents(x - 2.5, y - 2.5, x + 2.5, y + 2.5))
        obstacles.append(Bbox.from_extents(x - 1.5, 2 * y - top, x + 1.5, top))
    place_around(axes, anchors, obstacles, LABEL_SIZE)


def front_boxes(axes: Axes) -> list[Bbox]:
    """The steps of the front, the first line drawn, as thin boxes that labels keep off."""
    corners = axes.transData.transform(axes.lines[0].get_xydata())
    boxes = []
    for (x, y), (next_x, next_y) in pairwise(corners):
        boxes.append(Bbox.from_extents(x, y - 1, next_x, y + 1))
        boxes.append(Bbox.from_extents(next_x - 1, min(y, next_y), next_x + 1, max(y, next_y)))
    return boxes


def cost(analysis: Analysis) -> list[Figure]:
    """Memory by what holds it, throughput and latency; per backbone and protocol."""
    results, groups = analysis.results, analysis.costs
    return [
        Figure(
            keyed("cost", position, len(groups)),
            ("Training memory by what holds it (bars: counted; vertical mark: measured peak), training throughput and"
             f" inference latency on {results.title('backbones', group.backbone)}, as profiled for"
             f" {listing(list(group.tasks))}. Error bars: ± one sample"
             " standard deviation over profiled cells. Latency, over the plain backbone's (dashed line): filled,"
             " with the method in place; open, merged into the backbone.",),
            "Horizontal bars of training memory and tokens per second, and points of latency, per method.",
            partial(_draw_cost, results, group), wide=True,
        )
        for position, group in enumerate(groups)
    ]  # fmt: skip


def _draw_cost(results: Results, group: CostGroup) -> Drawing:
    labels = [label for label in results.labels if label in group.labels]
    drawing = drawing_of(PAGE_WIDTH, 0.9 + 0.17 * len(labels))
    # Printed names are a little wider than those that the layout is made with.
    drawing.get_layout_engine().set(w_pad=0.08)  # type: ignore[union-attr, call-arg]
    memory, speed, latency = drawing.subplots(1, 3, sharey=True, width_ratios=(1.25, 1, 1))
    places = np.arange(len(labels))[::-1]
    memory.set_yticks(places, [short(label) for label in labels])
    memory.set_ylim(-0.6, len(labels) - 0.4)

    def means(column: str) -> list[Summary]:
        return [group.of(label, column)[0] for label in labels]

    peak = [s.mean for s in means("peak_memory_bytes")]
    unit = unit_for("bytes", peak)
    start = np.zeros(len(labels))
    for (column, _), (shade, hatch) in zip(MEMORY_PARTS.items(), MEMORY_SHADES, strict=True):
        widths = unit.factor * np.array([s.mean for s in means(column)])
        memory.barh(places, widths, 0.66, left=start, color=shade, hatch=hatch, edgecolor="white", linewidth=0)
        start = start + widths
    memory.plot(unit.factor * np.array(peak), places, linestyle="none", marker="|", color=INK, markersize=7,
                markeredgewidth=1.2)  # fmt: skip
    memory.set_title(f"Memory ({unit.name})", loc="left")
    handles: list[Patch | Line2D] = [
        Patch(facecolor=shade, hatch=hatch, edgecolor="white", linewidth=0, label=name)
        for name, (shade, hatch) in zip(MEMORY_PARTS.values(), MEMORY_SHADES, strict=True)
    ]
    handles.append(Line2D([], [], linestyle="none", marker="|", color=INK, markersize=7, label="peak"))

    rates = means("train_tokens_per_second")
    for place, label, rate in zip(places, labels, rates, strict=True):
        style = look(results.family_of(label))
        speed.barh(place, rate.mean, 0.66, color=style.color, xerr=rate.sd, ecolor=INK,
                   error_kw={"elinewidth": 0.8, "capsize": 1.6})  # fmt: skip
    speed.set_title("Throughput (tokens/s)", loc="left")
    speed.xaxis.set_major_formatter(FuncFormatter(tick))

    unmerged, merged = means("latency"), means("merged_latency")
    latency.axvline(1, color=MUTED, linewidth=0.8, dashes=(3, 2))
    for place, label, one, other in zip(places, labels, unmerged, merged, strict=True):
        style = look(results.family_of(label))
        for value, face, shift in ((one, style.color, 0.0), (other, "white", -0.28)):
            if value.n:
                latency.errorbar(value.mean, place + shift, xerr=value.sd or None,
                                 color=style.color, marker=style.marker, markersize=4, markerfacecolor=face,
                                 markeredgewidth=0.8, elinewidth=0.8, capsize=1.6)  # fmt: skip
    latency.margins(x=0.12)
    latency.set_title("Latency (× the backbone's)", loc="left")
    for axes in (memory, speed, latency):
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.spines["left"].set_visible(axes is not latency)
    latency.grid(axis="y", visible=True)
    drawing.legend(handles=handles, loc="outside lower left", ncols=5, handlelength=1.4, columnspacing=1.2)
    lay_out(drawing)
    return drawing


def curves(analysis: Analysis) -> list[Figure]:
    """Validation score at every evaluation, mean with a band of one standard deviation; per backbone. A panel per
    task, or per task and family where there are many configurations."""
    results, of = analysis.results, analysis.curves.of
    made = []
    for position, (backbone, lines) in enumerate(of.items()):
        tasks = list(dict.fromkeys(line.task for line in lines))
        panels = [
            (task, f"{short(task)} ({panel_metric(results, task)})", [line for line in lines if line.task == task])
            for task in tasks
        ]
        if len({line.label for line in lines}) > NAMED_LINES:
            families = families_in({line.family for line in lines})
            panels = [
                (
                    task,
                    f"{short(task)}: {family}",
                    [line for line in lines if (line.task, line.family) == (task, family)],
                )
                for task in tasks
                for family in families
            ]
        made.append(
            Figure(
                keyed("curves", position, len(of)),
                ("Validation score during training on "
                 f"{results.title('backbones', backbone)}: mean over seeds, band of ± one sample standard"
                 " deviation. Steps count all phases of a method; a dotted stretch joins two phases.",),
                f"Line plots of validation score against optimiser steps for {listing(tasks)}.",
                partial(_draw_curves, results, panels), wide=len(panels) > 1,
            )
        )  # fmt: skip
    return made


def _draw_curves(results: Results, panels: list[tuple[str, str, list[Curve]]]) -> Drawing:
    """`panels` are (task, title, lines)."""
    most = 2 if len(panels) > PANELS_PER_ROW else PANELS_PER_ROW
    drawing, all_axes = grid_of(len(panels), 2.35 if len(panels) <= most else 1.75, wide=len(panels) > 1, most=most)
    ends: list[list[tuple[str, float]]] = []
    spans = []
    for task, *_ in panels:
        taken = np.concatenate([line.steps["step"] for of, _, lines in panels if of == task for line in lines])
        spans.append((taken.min(), taken.max()))
    for axes, (task, title, lines), (first, last) in zip(all_axes, panels, spans, strict=True):
        ends.append([])
        for line in lines:
            style, steps, factor = look(line.family), line.steps, results.scale(task).unit.factor
            x, y, spread = steps["step"], factor * steps["mean"], factor * steps["sd"]
            axes.plot(x, y, color=style.color, linewidth=0.6, linestyle=":")
            for _, stretch in steps.groupby("phase", sort=False):
                axes.plot(stretch["step"], factor * stretch["mean"], color=style.color, linestyle=style.dashes,
                          marker=style.marker, markersize=3, markeredgecolor="white", markeredgewidth=0.3)  # fmt: skip
            axes.fill_between(x, y - spread, y + spread, color=style.color, alpha=0.13, linewidth=0)
            ends[-1].append((line.label, float(y.iloc[-1])))
        axes.set_title(title, loc="left")
        up_is_better(axes, results.scale(task))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        ticks = MaxNLocator(5, integer=True).tick_values(first, last)
        axes.set_xticks([tick for tick in ticks if first <= tick <= last] or [first])
    unit = in_points(results, [task for task, *_ in panels])
    outer_labels(all_axes, "Optimiser steps", f"Validation score{unit}", most)
    family_legend(drawing, families_in({line.family for *_, lines in panels for line in lines}), True)
    lay_out(drawing)
    for axes, named, (first, last) in zip(all_axes, ends, spans, strict=True):
        if named:
            make_room(axes, first, last, [short(label) for label, _ in named])
            label_ends(results, axes, last, named)
    return drawing


def make_room(axes: Axes, first: float, last: float, labels: list[str]) -> None:
    """Ends the axis so far right of `last` that the names fit."""
    extent = max(last - first, 1)  # a single evaluation has no extent of its own
    left = first - 0.04 * extent
    widest = max(text_extent(axes, label, LABEL_SIZE)[0] for label in labels)
    share = min((widest + 14) / axes.get_window_extent().width, 0.7)
    right = left + (last - left or extent) / (1 - share)
    axes.set_xlim(left, right)
    # Names stand on white: lines of the grid would strike them through.
    axes.axvspan(last + 0.01 * extent, right, color="white", linewidth=0, zorder=0.6)


def label_ends(results: Results, axes: Axes, last: float, ends: list[tuple[str, float]]) -> None:
    low, high = axes.get_window_extent().intervaly
    right = axes.transData.transform((last, 0))[0]
    wanted = [axes.transData.transform((last, value))[1] for _, value in ends]
    to_data = axes.transData.inverted()
    for (label, value), y in zip(ends, spread_out(wanted, LABEL_SIZE * 1.12, low + 3, high - 3), strict=True):
        color = look(results.family_of(label)).color
        x_text, y_text = to_data.transform((right + 12, y))
        axes.plot([to_data.transform((right + 3, 0))[0], to_data.transform((right + 11, 0))[0]], [value, y_text],
                  color=color, linewidth=0.5, scalex=False, scaley=False)  # fmt: skip
        axes.text(x_text, y_text, short(label), color=color, fontsize=LABEL_SIZE, va="center", in_layout=False)


def short(name: str, longest: int = 22) -> str:
    """A name as figures have room for it: cut in the middle, as names differ at their ends."""
    name = " ".join(name.split())
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half + 1 :]}"


def tick(value: float, _: int) -> str:
    """A round count: "5k", "2.5k", "1M"."""
    for factor, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:g}{suffix}"
    return f"{value:g}"


def drawing_of(width: float, height: float) -> Drawing:
    drawing = Drawing(figsize=(width * scale(), height * scale()), layout="constrained")
    FigureCanvasAgg(drawing)
    return drawing


def grid_of(n: int, height: float, wide: bool = True, most: int = PANELS_PER_ROW) -> tuple[Drawing, list[Axes]]:
    """`n` panels, at most `most` in a row, each about `height` inches high."""
    across = min(n, most)
    down = math.ceil(n / across)
    drawing = drawing_of(PAGE_WIDTH if wide else COLUMN_WIDTH, height * down + 0.3)
    panels = drawing.subplots(down, across, squeeze=False).ravel().tolist()
    for unused in panels[n:]:
        unused.remove()
    return drawing, panels[:n]


def outer_labels(panels: list[Axes], x: str, y: str, most: int = PANELS_PER_ROW) -> None:
    across = min(len(panels), most)
    for i, axes in enumerate(panels):
        if i + across >= len(panels):
            axes.set_xlabel(x)
        if i % across == 0:
            axes.set_ylabel(y)


def family_legend(drawing: Drawing, families: list[str], lines: bool = False) -> None:
    handles = [
        Line2D([], [], color=look(f).color, marker=look(f).marker, markersize=4, label=f,
               linestyle=look(f).dashes if lines else "none")
        for f in families
    ]  # fmt: skip
    narrow = drawing.get_figwidth() < 4 * scale()
    drawing.legend(handles=handles, loc="outside lower center", ncols=3 if narrow else 6,
                   handletextpad=0.3 if not lines else 0.6, columnspacing=1.2,
                   handlelength=2.2 if lines else 1.0)  # fmt: skip


def lay_out(drawing: Drawing) -> None:
    """Settles the layout, so that display positions are final when labels are placed."""
    for _ in range(2):  # the first pass moves ticks, which changes what they need
        drawing.draw_without_rendering()
    drawing.set_layout_engine("none")

"""What a suite varies: learning rate, number of training examples, size of the backbone. Left out where it does not."""

from __future__ import annotations

import math
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from reports.analysis.sweeps import Line, Sweep
from reports.drawing.figures import (
    LABEL_SIZE,
    PANELS_PER_ROW,
    grid_of,
    lay_out,
    outer_labels,
    short,
    tick,
    up_is_better,
)
from reports.drawing.labels import spread_out, text_extent
from reports.drawing.style import look
from reports.model.document import Figure, listing

LINES_PER_PANEL = 8


# What is varied: the name of the axis, the score against which it is drawn, and how a sentence calls it.
_VARIED = {
    "learning-rate": ("Learning rate", "validation score", "peak learning rate"),
    "train-size": ("Training examples", "test score", "number of training examples"),
    "backbone-size": ("Parameters of the backbone", "test score", "size of the backbone"),
}


def sweep_figure(sweep: Sweep) -> Figure:
    x, measure, about = _VARIED[sweep.varied]
    panels = _panels(sweep)
    unit = " (points)" if all(line.scale.in_points for line in sweep.lines) else ""
    return Figure(
        sweep.varied,
        (f"Mean {measure} against the {about} (log scale), all else equal; bars: ± one sample standard"
         " deviation over seeds. Only configurations that differ in nothing else are joined.",),
        f"Line plots of {measure} against the {about} for {listing(list(panels))}.",
        partial(_draw, panels, x, f"{measure.capitalize()}{unit}"), wide=len(panels) > 1,
    )  # fmt: skip


def _panels(sweep: Sweep) -> dict[str, list[Line]]:
    """By task, or by family where the learning rates of many methods vary."""
    split = sweep.varied == "learning-rate" and len(sweep.lines) > LINES_PER_PANEL
    tasks = {line.task for line in sweep.lines}
    made: dict[str, list[Line]] = {}
    for line in sweep.lines:
        task = short(line.task)
        panel = f"{line.family}, {task}" if split and len(tasks) > 1 else line.family if split else task
        made.setdefault(panel, []).append(line)
    return made


def _draw(panels: dict[str, list[Line]], x: str, y: str) -> Drawing:
    most = 2 if len(panels) != PANELS_PER_ROW else PANELS_PER_ROW
    drawing, all_axes = grid_of(len(panels), 1.85, wide=len(panels) > 1, most=most)
    dashes = ("-", "--", ":", "-.")
    ends: list[list[tuple[Line, float, float]]] = []
    for axes, (panel, lines) in zip(all_axes, panels.items(), strict=True):
        ends.append([])
        for i, line in enumerate(lines):
            style = look(line.family)
            xs = [at for at, _ in line.points]
            ys = [line.scale.shown(s.mean) for _, s in line.points]
            spread = [abs(line.scale.unit.factor) * (s.sd or 0) for _, s in line.points]
            axes.errorbar(xs, ys, yerr=spread if any(spread) else None, color=style.color, marker=style.marker,
                          markersize=3, markeredgecolor="white", markeredgewidth=0.3, elinewidth=0.7, capsize=1.4,
                          linestyle=dashes[i % len(dashes)], linewidth=0.9)  # fmt: skip
            ends[-1].append((line, xs[-1], ys[-1]))
        axes.set_xscale("log")
        scale = ends[-1][0][0].scale
        axes.set_title(panel + ("" if scale.higher_is_better else " (less is better: axis upside down)"), loc="left")
        up_is_better(axes, scale)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(tick if ends[-1][0][1] >= 10 else _power))
    outer_labels(all_axes, x, y, most)
    lay_out(drawing)
    for axes, of_panel in zip(all_axes, ends, strict=True):
        _name_lines(axes, of_panel)
    return drawing


def _power(value: float, _: int) -> str:
    """A learning rate: "1e-3"."""
    return f"{value:g}" if value >= 1 else f"{value:.0e}".replace("e-0", "e-")


def _name_lines(axes: Axes, ends: list[tuple[Line, float, float]]) -> None:
    """Names at the right edge, in the order of the lines' ends, each joined to its own."""
    left, right = axes.get_xlim()
    widest = max(text_extent(axes, short(line.name), LABEL_SIZE)[0] for line, *_ in ends)
    share = min((widest + 14) / axes.get_window_extent().width, 0.6)
    axes.set_xlim(left, 10 ** (math.log10(left) + (math.log10(right) - math.log10(left)) / (1 - share)))
    low, high = axes.get_window_extent().intervaly
    edge = axes.transData.transform((right, 0))[0]
    wanted = [axes.transData.transform((x, y))[1] for _, x, y in ends]
    to_data = axes.transData.inverted()
    for (line, x, y), place in zip(ends, spread_out(wanted, LABEL_SIZE * 1.12, low + 3, high - 3), strict=True):
        color = look(line.family).color
        at_x, at_y = to_data.transform((edge + 6, place))
        axes.plot([x, to_data.transform((edge + 5, 0))[0]], [y, at_y], color=color, linewidth=0.4, scalex=False,
                  scaley=False)  # fmt: skip
        axes.text(at_x, at_y, short(line.name), color=color, fontsize=LABEL_SIZE, va="center", in_layout=False)

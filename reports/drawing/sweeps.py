"""What a suite varies: learning rate, number of training examples, size of the backbone. Left out where it does not."""

from __future__ import annotations

import math
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from records.text import listing
from reports.analysis.sweeps import Line, Sweep
from reports.drawing.labels import spread_out, text_extent
from reports.drawing.panels import (
    LABEL_SIZE,
    PANELS_PER_ROW,
    grid_of,
    lay_out,
    outer_labels,
    short,
    tick,
    up_is_better,
)
from reports.drawing.style import look
from reports.drawing.theme import Theme
from reports.model.document import Figure

LINES_PER_PANEL = 8
_DASHES = ("-", "--", ":", "-.")

# What is varied: the name of the axis, the score against which it is drawn, and how a sentence calls it.
_VARIED = {
    "learning-rate": ("Learning rate", "validation score", "peak learning rate"),
    "train-size": ("Training examples", "test score", "number of training examples"),
    "backbone-size": ("Parameters of the backbone", "test score", "size of the backbone"),
}


def figure(sweep: Sweep) -> Figure:
    """Mean scores against what is varied, a line per configuration."""
    x, measure, about = _VARIED[sweep.varied]
    panels = _panels(sweep)
    unit = " (points)" if all(line.scale.in_points for line in sweep.lines) else ""
    caption = (
        f"Mean {measure} against the {about} (log scale), all else equal; bars: ± one sample standard deviation over"
        " seeds. Only configurations that differ in nothing else are joined."
    )
    return Figure(
        key=sweep.varied,
        caption=(caption,),
        alt=f"Line plots of {measure} against the {about} for {listing(list(panels))}.",
        draw=partial(draw, panels, x, f"{measure.capitalize()}{unit}"),
        wide=len(panels) > 1,
    )


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


def draw(panels: dict[str, list[Line]], x: str, y: str, theme: Theme) -> Drawing:
    """A panel for each title, a line for each of its lines, named at its end."""
    most = 2 if len(panels) != PANELS_PER_ROW else PANELS_PER_ROW
    drawing, all_axes = grid_of(theme, len(panels), 1.85, wide=len(panels) > 1, most=most)
    for axes, (title, lines) in zip(all_axes, panels.items(), strict=True):
        _panel(axes, title, lines)
    outer_labels(all_axes, x, y, most)
    lay_out(drawing)
    for axes, lines in zip(all_axes, panels.values(), strict=True):
        _name_lines(axes, lines)
    return drawing


def _panel(axes: Axes, title: str, lines: list[Line]) -> None:
    for i, line in enumerate(lines):
        style = look(line.family)
        spread = [abs(line.scale.unit.factor) * (summary.sd or 0) for _, summary in line.points]
        axes.errorbar(
            [at for at, _ in line.points],
            [line.scale.shown(summary.mean) for _, summary in line.points],
            yerr=spread if any(spread) else None,
            color=style.color,
            marker=style.marker,
            markersize=3,
            markeredgecolor="white",
            markeredgewidth=0.3,
            elinewidth=0.7,
            capsize=1.4,
            linestyle=_DASHES[i % len(_DASHES)],
            linewidth=0.9,
        )
    axes.set_xscale("log")
    scale = lines[0].scale
    axes.set_title(title + ("" if scale.higher_is_better else " (less is better: axis upside down)"), loc="left")
    up_is_better(axes, scale)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(tick if _end(lines[0])[0] >= 10 else _power))


def _end(line: Line) -> tuple[float, float]:
    """The last point, as it is drawn."""
    x, summary = line.points[-1]
    return x, line.scale.shown(summary.mean)


def _power(value: float, _: int) -> str:
    """A learning rate: "1e-3"."""
    return f"{value:g}" if value >= 1 else f"{value:.0e}".replace("e-0", "e-")


def _name_lines(axes: Axes, lines: list[Line]) -> None:
    """Names at the right edge, in the order of the lines' ends, each joined to its own."""
    left, right = axes.get_xlim()
    widest = max(text_extent(axes, short(line.name), LABEL_SIZE)[0] for line in lines)
    share = min((widest + 14) / axes.get_window_extent().width, 0.6)
    axes.set_xlim(left, 10 ** (math.log10(left) + (math.log10(right) - math.log10(left)) / (1 - share)))
    low, high = axes.get_window_extent().intervaly
    edge = axes.transData.transform((right, 0))[0]
    wanted = [axes.transData.transform(_end(line))[1] for line in lines]
    places = spread_out(wanted, LABEL_SIZE * 1.12, low + 3, high - 3)
    to_data = axes.transData.inverted()
    for line, place in zip(lines, places, strict=True):
        color = look(line.family).color
        x, y = _end(line)
        at_x, at_y = to_data.transform((edge + 6, place))
        joint = [x, to_data.transform((edge + 5, 0))[0]]
        axes.plot(joint, [y, at_y], color=color, linewidth=0.4, scalex=False, scaley=False)
        axes.text(at_x, at_y, short(line.name), color=color, fontsize=LABEL_SIZE, va="center", in_layout=False)

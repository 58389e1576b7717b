"""What fewer trials, or less time for them, would have found."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from reports.analysis.analysis import Analysis
from reports.analysis.tuning import Tuned
from reports.drawing.labels import End, name_ends
from reports.drawing.panels import (
    LABEL_SIZE,
    family_legend,
    grid_of,
    in_points,
    lay_out,
    panel_metric,
    short,
    up_is_better,
)
from reports.drawing.style import families_in, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.model.writing import unit_for
from reports.results import Results

# Of more lines than this in a panel, none is named.
NAMED_LINES = 16


def figures(analysis: Analysis) -> list[Figure]:
    """Per backbone and task: the expected best validation score against the number of trials, and their time."""
    groups: dict[tuple[str, str], list[Tuned]] = {}
    for found in analysis.tuned:
        groups.setdefault((found.search.backbone, found.search.task), []).append(found)
    return [
        _figure(analysis.results, *place, found, keyed("tuning", i, len(groups)))
        for i, (place, found) in enumerate(groups.items())
    ]


def _figure(results: Results, backbone: str, task: str, found: list[Tuned], key: str) -> Figure:
    when = "at their end" if all(each.in_full for each in found) else "at the first rung, which all reached"
    caption = (
        f"Expected validation score of the best of so many trials on {results.title('backbones', backbone)} and {task},"
        f" against their number and against the time that they take on average, by scores {when}."
    )
    return Figure(
        key=key,
        caption=(caption,),
        alt=f"Line plots of the expected best validation score against number and time of trials, for {task}.",
        draw=partial(_draw, results, task, found),
        wide=True,
    )


def _draw(results: Results, task: str, found: list[Tuned], theme: Theme) -> Drawing:
    drawing, (trials, time) = grid_of(theme, 2, 2.6)
    scale = results.scale(task)
    each_takes = [each.seconds / len(each.search.trials) for each in found]
    unit = unit_for("seconds", [len(each.expected) * takes for each, takes in zip(found, each_takes, strict=True)])
    ends: list[End] = []
    for each, takes in zip(found, each_takes, strict=True):
        style, y = look(each.family), [scale.shown(value) for value in each.expected]
        x = list(range(1, len(y) + 1))
        for axes, at in ((trials, x), (time, [unit.factor * takes * n for n in x])):
            axes.plot(
                at, y, color=style.color, linestyle=style.dashes, marker=style.marker, markersize=2.4, linewidth=0.9
            )
        ends.append(End(y[-1], short(each.search.label), style.color))
    last = max(len(each.expected) for each in found)
    for axes in (trials, time):
        up_is_better(axes, scale)
        axes.yaxis.set_major_locator(MaxNLocator(6))
    trials.set_title(f"{short(task)} ({panel_metric(results, task)})", loc="left")
    trials.set_xlabel("Number of trials")
    trials.set_ylabel(f"Expected best validation score{in_points(results, [task])}")
    time.set_xlabel(f"Time of the trials ({unit.name})")
    family_legend(theme, drawing, families_in({each.family for each in found}), lines=True)
    lay_out(drawing)
    if len(found) <= NAMED_LINES:
        _name(trials, ends, last)
    return drawing


def _name(axes: Axes, ends: list[End], last: int) -> None:
    ticks = [tick for tick in MaxNLocator(5, integer=True).tick_values(1, last) if 1 <= tick <= last]
    axes.set_xticks(ticks or [1])
    name_ends(axes, ends, 1, last, LABEL_SIZE)

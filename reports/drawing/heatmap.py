"""The heat map of tasks: how far each configuration is behind the best."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.analysis import Analysis
from reports.drawing.panels import LABEL_SIZE, drawing_of, lay_out, short, widen
from reports.drawing.style import FRONT, INK, PAGE_WIDTH
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.model.writing import named_scores, score
from reports.results import Results, select
from reports.scales import Scale

# Up to as many, a heat map would repeat the table of scores.
FEW_TASKS = 2
# Of more than these, it takes the width of the page.
NARROW_TASKS = 4
# Letters are white on what is darker than this share of the darkest shade.
DARK = 0.55


def figures(analysis: Analysis) -> list[Figure]:
    """Gap of every label's mean test score to the best mean on each task, where there are so many that the table of
    scores does not show it at sight."""
    results = analysis.results
    made = []
    backbones = [b for b in results.backbones if select(results.scored, backbone=b)["task"].nunique() > FEW_TASKS]
    for position, backbone in enumerate(backbones):
        scored = select(results.scored, backbone=backbone)
        tasks = [task for task in results.tasks if task in set(scored["task"])]
        labels = [label for label in results.labels if label in set(scored["label"])]
        means = np.array(
            [[analysis.scored.of("score", backbone, task, label)[0].mean for task in tasks] for label in labels]
        )
        caption = (
            f"Mean test {_printed(results, tasks)} (printed) and its distance to the best mean of the task (shade: the"
            f" darker, the further behind{_each_task(results, tasks)}) on {results.title('backbones', backbone)}. A"
            " hatched field has no score."
        )
        figure = Figure(
            key=keyed("heatmap", position, len(backbones)),
            caption=(caption,),
            alt=f"Heat map of {len(labels)} configurations by {len(tasks)} tasks.",
            draw=partial(_draw, labels, tasks, means, [results.scale(task) for task in tasks]),
            wide=len(tasks) > NARROW_TASKS,
        )
        made.append(figure)
    return made


def _printed(results: Results, tasks: list[str]) -> str:
    said = named_scores(results, tasks)
    return "score in points" if said == "primary metric in points" else said


def _each_task(results: Results, tasks: list[str]) -> str:
    return "" if all(results.scale(task).in_points for task in tasks) else ", on each task's own scale"


def _draw(labels: list[str], tasks: list[str], means: np.ndarray, scales: list[Scale], theme: Theme) -> Drawing:
    """`means` has a row per label and a column per task."""
    width = PAGE_WIDTH if len(tasks) > NARROW_TASKS else PAGE_WIDTH * 0.48
    drawing = drawing_of(theme, width, 0.5 + 0.17 * len(labels))
    widen(drawing, 0.12)
    axes = drawing.subplots()
    gap = _behind(means, scales)
    darkest = 1.25 * max(1.0, float(np.nanmax(gap)))
    axes.set_facecolor("white")
    # Squares, not an image: the figure stays vector.
    edges = np.arange(len(tasks) + 1) - 0.5, np.arange(len(labels) + 1) - 0.5
    axes.pcolormesh(*edges, np.ma.masked_invalid(gap), cmap="Greys", vmin=0, vmax=darkest)
    axes.invert_yaxis()
    for (row, column), value in np.ndenumerate(means):
        said = score(value, scales[column]) if math.isfinite(value) else None
        field(axes, row, column, said, bool(gap[row, column] > DARK * darkest))
    axes.set_xticks(range(len(tasks)), [short(task, 16) for task in tasks])
    axes.set_yticks(range(len(labels)), [short(label) for label in labels])
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    lay_out(drawing)
    return drawing


def _behind(means: np.ndarray, scales: list[Scale]) -> np.ndarray:
    """By how much each mean is behind the best of its column: in points, or where a column has other units as a share
    (in %) of the largest distance in it, so that what is furthest behind is as dark on each task."""
    gap: np.ndarray = 100 * (np.nanmax(means, axis=0) - means)
    if all(scale.in_points for scale in scales):
        return gap
    furthest = np.nanmax(gap, axis=0)
    return 100 * gap / np.where(furthest > 0, furthest, 1.0)


def field(axes: Axes, row: int, column: int, said: str | None, dark: bool) -> None:
    """What is printed in a field of a heat map; one without anything is hatched."""
    if said is not None:
        color = "white" if dark else INK
        axes.text(column, row, said, ha="center", va="center", fontsize=LABEL_SIZE, color=color)
    else:
        sides, below, above = [column - 0.5, column + 0.5], row - 0.5, row + 0.5
        axes.fill_between(sides, below, above, facecolor="none", edgecolor=FRONT, hatch="////", linewidth=0)

"""Score against more than one cost, a panel each, with the Pareto front; and the heat map of tasks."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import Bbox

from records.vocabulary import QUANTITIES
from reports.analysis.analysis import Analysis
from reports.analysis.fronts import COSTS, Front
from reports.drawing.figures import (
    CROWD,
    LABEL_SIZE,
    drawing_of,
    family_legend,
    front_boxes,
    lay_out,
    short,
    up_is_better,
)
from reports.drawing.labels import Anchor, place_around
from reports.drawing.style import FRONT, INK, PAGE_WIDTH, families_in, look
from reports.drawing.style import scale as size
from reports.model.document import Figure, keyed, listing
from reports.model.writing import named_scores, unit_for
from reports.results import Results, select
from reports.scales import Scale

# Up to as many, a heat map would repeat the table of scores.
FEW_TASKS = 2
# What a unit is called on an axis.
_UNITS = {"ratio": "× the backbone's"}


def fronts(analysis: Analysis) -> list[Figure]:
    """A figure per backbone and protocol that has at least two labels with score and cost."""
    results, found = analysis.results, analysis.fronts
    left_out = f" Without {listing(results.untrained)}, which train nothing." if results.untrained else ""
    return [
        Figure(
            keyed("fronts", position, len(found)),
            (f"Mean test score on {listing(list(front.tasks))} against four costs on"
             f" {results.title('backbones', front.group.backbone)}; grey: the Pareto front of the means. Latency is"
             " that of the merged model where the method can be merged, over the plain backbone's beside it. Stored"
             f" bytes are on a log scale. Each cost has a front of its own.{left_out}"
             + results.left_out(front.group.tasks)
             + ("" if front.scale.higher_is_better else " Less is better: the axis of scores stands on its head.")
             + (" Named are those on a front." if len(front.placed) > CROWD else ""),),
            "Four scatter plots of mean test score against peak memory, step time, latency and stored bytes.",
            partial(_draw, front), wide=True,
        )
        for position, front in enumerate(found)
    ]  # fmt: skip


def _draw(front_: Front) -> Drawing:
    found, scale = front_.placed, front_.scale
    drawing = drawing_of(PAGE_WIDTH, 4.3 if size() == 1 else 3.2)  # a slide is less high
    panels = drawing.subplots(2, 2, sharey=True).ravel().tolist()
    positions: list[list[tuple[str, str, float, float, bool]]] = []
    for axes, column in zip(panels, COSTS, strict=True):
        quantity = QUANTITIES[column]
        unit = unit_for(_UNITS.get(quantity.unit, quantity.unit), [each.costs[column] for each in found])
        placed = [(p.label, p.family, p.costs[column] * unit.factor, scale.shown(p.score)) for p in found]
        if column == "stored_bytes" and min(x for *_, x, _ in placed) > 0:
            axes.set_xscale("log")
        on_front = [column in each.on_front for each in found]
        front = sorted(((x, y) for (*_, x, y), on in zip(placed, on_front, strict=True) if on), key=lambda at: at[0])
        right = max(x for *_, x, _ in placed)
        axes.plot(*zip(*[*front, (right, front[-1][1])], strict=True), drawstyle="steps-post", color=FRONT,
                  linewidth=1.0, zorder=1)  # fmt: skip
        for _, family, x, y in placed:
            style = look(family)
            axes.plot(x, y, color=style.color, marker=style.marker, markersize=4.2, markeredgecolor="white",
                      markeredgewidth=0.4, linestyle="none", clip_on=False, zorder=3)  # fmt: skip
        axes.margins(x=0.12, y=0.12)
        axes.set_title(f"{quantity.title} ({unit.name})", loc="left", color=INK)
        axes.yaxis.set_major_locator(MaxNLocator(6))
        if axes.get_xscale() == "linear":
            axes.xaxis.set_major_locator(MaxNLocator(6))
        else:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(axis="x", visible=False)
        positions.append([(*point, on) for point, on in zip(placed, on_front, strict=True)])
    up_is_better(panels[0], scale)  # the panels share their axis
    for axes in panels[::2]:
        axes.set_ylabel("Score (points)" if scale.in_points else "Score")
    family_legend(drawing, families_in({each.family for each in found}))
    lay_out(drawing)
    for axes, named in zip(panels, positions, strict=True):
        anchors, obstacles = [], front_boxes(axes)
        for label, family, x, y, on in named:
            px, py = axes.transData.transform((x, y))
            if on or len(named) <= CROWD * size():
                anchors.append(Anchor(px, py, short(label), look(family).color))
            obstacles.append(Bbox.from_extents(px - 2.5, py - 2.5, px + 2.5, py + 2.5))
        place_around(axes, anchors, obstacles, LABEL_SIZE)
    return drawing


def heatmap(analysis: Analysis) -> list[Figure]:
    """Gap of every label's mean test score to the best mean on each task, where there are so many that the table of
    scores does not show it at sight."""
    results = analysis.results
    made = []
    backbones = [b for b in results.backbones if select(results.scored, backbone=b)["task"].nunique() > FEW_TASKS]
    for position, backbone in enumerate(backbones):
        scored = select(results.scored, backbone=backbone)
        tasks = [task for task in results.tasks if task in set(scored["task"])]
        labels = [label for label in results.labels if label in set(scored["label"])]
        means = np.array([[analysis.scored.of("score", backbone, task, label)[0].mean for task in tasks]
                          for label in labels])  # fmt: skip
        made.append(
            Figure(
                keyed("heatmap", position, len(backbones)),
                (f"Mean test {_printed(results, tasks)} (printed) and its distance to the best mean of the task"
                 f" (shade: the darker, the further behind{_each_task(results, tasks)}) on"
                 f" {results.title('backbones', backbone)}. A hatched field has no score.",),
                f"Heat map of {len(labels)} configurations by {len(tasks)} tasks.",
                partial(_draw_heatmap, labels, tasks, means, [results.scale(t) for t in tasks]), wide=len(tasks) > 4,
            )
        )  # fmt: skip
    return made


def _printed(results: Results, tasks: list[str]) -> str:
    said = named_scores(results, tasks)
    return "score in points" if said == "primary metric in points" else said


def _each_task(results: Results, tasks: list[str]) -> str:
    return "" if all(results.scale(task).in_points for task in tasks) else ", on each task's own scale"


def _draw_heatmap(labels: list[str], tasks: list[str], means: np.ndarray, scales: list[Scale]) -> Drawing:
    wide = len(tasks) > 4
    drawing = drawing_of(PAGE_WIDTH if wide else PAGE_WIDTH * 0.48, 0.5 + 0.17 * len(labels))
    drawing.get_layout_engine().set(w_pad=0.12)  # type: ignore[union-attr, call-arg]
    axes = drawing.subplots()
    gap = 100 * (np.nanmax(means, axis=0) - means)
    if not all(scale.in_points for scale in scales):  # what is furthest behind on a task is as dark on each
        furthest = np.nanmax(gap, axis=0)
        gap = 100 * gap / np.where(furthest > 0, furthest, 1.0)
    worst = max(1.0, float(np.nanmax(gap)))
    axes.set_facecolor("white")
    # Squares, not an image: the figure stays vector.
    edges = np.arange(len(tasks) + 1) - 0.5, np.arange(len(labels) + 1) - 0.5
    axes.pcolormesh(*edges, np.ma.masked_invalid(gap), cmap="Greys", vmin=0, vmax=worst * 1.25)
    axes.invert_yaxis()
    for row in range(len(labels)):
        for column in range(len(tasks)):
            value, behind = means[row, column], gap[row, column]
            if math.isfinite(value):
                axes.text(column, row, scales[column].text(value), ha="center", va="center", fontsize=LABEL_SIZE,
                          color="white" if behind > 0.55 * worst * 1.25 else INK)  # fmt: skip
            else:
                axes.fill_between([column - 0.5, column + 0.5], row - 0.5, row + 0.5, facecolor="none",
                                  edgecolor=FRONT, hatch="////", linewidth=0)  # fmt: skip
    axes.set_xticks(range(len(tasks)), [short(task, 16) for task in tasks])
    axes.set_yticks(range(len(labels)), [short(label) for label in labels])
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    lay_out(drawing)
    return drawing

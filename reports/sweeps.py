"""What a suite varies: learning rate, number of training examples, size of the backbone. Left out where it does not."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from reports.figures import LABEL_SIZE, PANELS_PER_ROW, grid_of, lay_out, outer_labels, short, tick, up_is_better
from reports.frame import Results
from reports.labels import spread_out, text_extent
from reports.scales import Scale
from reports.statistics import Summary, summarise
from reports.structure import Figure, listing
from reports.style import look

LINES_PER_PANEL = 8


@dataclass(frozen=True)
class Line:
    """Scores of one configuration along what is varied; `points` are (x, mean and spread) in order of x, `scale` is
    that of the task."""

    panel: str
    name: str
    family: str
    points: tuple[tuple[float, Summary], ...]
    scale: Scale


def sweeps(results: Results) -> list[Figure]:
    """The figures for which there is data."""
    made = []
    for key, lines, x, measure, about in (
        ("learning-rate", learning_rates(results), "Learning rate", "validation score", "peak learning rate"),
        ("train-size", train_sizes(results), "Training examples", "test score", "number of training examples"),
        ("backbone-size", backbone_sizes(results), "Parameters of the backbone", "test score", "size of the backbone"),
    ):
        if not lines:
            continue
        panels = list(dict.fromkeys(line.panel for line in lines))
        unit = " (points)" if all(line.scale.in_points for line in lines) else ""
        made.append(
            Figure(
                key,
                (f"Mean {measure} against the {about} (log scale), all else equal; bars: ± one sample standard"
                 " deviation over seeds. Only configurations that differ in nothing else are joined.",),
                f"Line plots of {measure} against the {about} for {listing(panels)}.",
                partial(_draw, lines, panels, x, f"{measure.capitalize()}{unit}"), wide=len(panels) > 1,
            )
        )  # fmt: skip
    return made


def learning_rates(results: Results) -> list[Line]:
    """By validation score, as a search is; configurations of a method that share all but the learning rate."""

    def key(cell_id: str) -> tuple[str, float] | None:
        cell = results.manifest.cells[cell_id]
        rate = cell.hyperparameters.get("lr")
        rest = {k: v for k, v in cell.hyperparameters.items() if k != "lr"}
        same = json.dumps([cell.method, rest, cell.backbone, cell.task, cell.budget.model_dump()], sort_keys=True)
        return (same, float(rate)) if isinstance(rate, (int, float)) and rate > 0 else None

    return _lines(results, key, "validation_score", lambda i: results.manifest.cells[i].method, True)


def train_sizes(results: Results) -> list[Line]:
    """A task under several budgets that differ in their training examples."""

    def key(cell_id: str) -> tuple[str, float] | None:
        cell = results.manifest.cells[cell_id]
        budget = cell.budget.model_dump(exclude={"train_examples"})
        same = json.dumps([cell.method, cell.hyperparameters, cell.backbone, cell.task, budget], sort_keys=True)
        return same, float(cell.budget.train_examples)

    return _lines(results, key, "score", lambda i: str(results.cells.loc[i, "label"]), False)


def backbone_sizes(results: Results) -> list[Line]:
    """Backbones of different size under one label."""

    def key(cell_id: str) -> tuple[str, float] | None:
        cell = results.manifest.cells[cell_id]
        size = results.backbone_card(cell.backbone).parameters or results.cells.loc[cell_id, "backbone_parameters"]
        same = json.dumps([cell.label, cell.task, cell.budget.model_dump()], sort_keys=True)
        return (same, float(size)) if isinstance(size, (int, float)) and math.isfinite(size) and size > 0 else None

    return _lines(results, key, "score", lambda i: str(results.cells.loc[i, "label"]), False)


def _lines(results: Results, key, column: str, name, by_family: bool) -> list[Line]:
    """Lines with two points or more. Panels are tasks, or families where many methods vary."""
    groups: dict[str, dict[float, list[str]]] = {}
    for cell_id in map(str, results.cells.index[results.cells[column].notna()]):
        if (found := key(cell_id)) is not None:
            groups.setdefault(found[0], {}).setdefault(found[1], []).append(cell_id)
    groups = {same: by_x for same, by_x in groups.items() if len(by_x) > 1}
    split = by_family and len(groups) > LINES_PER_PANEL
    tasks = {str(results.cells.loc[i, "task"]) for by_x in groups.values() for ids in by_x.values() for i in ids}
    made = []
    for by_x in groups.values():
        first = next(iter(by_x.values()))[0]
        family, task = str(results.cells.loc[first, "family"]), str(results.cells.loc[first, "task"])
        panel = f"{family}, {short(task)}" if split and len(tasks) > 1 else family if split else short(task)
        points = [(x, summarise(results.cells.loc[ids, column].tolist())) for x, ids in sorted(by_x.items())]
        made.append(Line(panel, name(first), family, tuple(points), results.scale(task)))
    return made


def _draw(lines: Sequence[Line], panels: list[str], x: str, y: str) -> Drawing:
    most = 2 if len(panels) != PANELS_PER_ROW else PANELS_PER_ROW
    drawing, all_axes = grid_of(len(panels), 1.85, wide=len(panels) > 1, most=most)
    dashes = ("-", "--", ":", "-.")
    ends: list[list[tuple[Line, float, float]]] = []
    for axes, panel in zip(all_axes, panels, strict=True):
        ends.append([])
        for i, line in enumerate(line for line in lines if line.panel == panel):
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

"""Scores, and where it was measured forgetting, between the backbone and a merged model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.rewinding import TRAINED, Path, Rewinding
from reports.drawing.labels import Anchor, End, name_ends, place_around
from reports.drawing.panels import (
    LABEL_SIZE,
    PANELS_PER_ROW,
    family_legend,
    grid_of,
    in_points,
    lay_out,
    outer_labels,
    panel_metric,
    point_box,
    short,
    up_is_better,
)
from reports.drawing.style import MUTED, families_in, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.results import Results
from reports.scales import Scale

# Of more lines than this, each family has a panel of its own.
NAMED_LINES = 12
# Inches: what a page has room for, and a name at the end of a line.
PAGE_HEIGHT, NAME = 8.0, 1.12 * LABEL_SIZE / 72
# The marker of what was trained, and of the other points of a way.
TRAINED_SIZE, OTHER_SIZE = 4.6, 2.4
# Between two points of a way.
BOXES = 6


@dataclass(frozen=True)
class _Panel:
    task: str
    title: str
    scale: Scale
    paths: list[Path]


def figures(analysis: Analysis) -> list[Figure]:
    """Per backbone: validation score against the share α of the difference, a panel per task, or per task and family
    where there are many configurations; beside each, where it was measured, score against forgetting. Several figures
    where there are more panels than a page holds."""
    pages = [(found, page) for found in analysis.rewinding for page in _pages(analysis.results, found)]
    return [_figure(analysis.results, *page, keyed("rewinding", i, len(pages))) for i, page in enumerate(pages)]


def _figure(results: Results, found: Rewinding, panels: list[_Panel], key: str) -> Figure:
    tasks = listing(list(dict.fromkeys(panel.task for panel in panels)))
    return Figure(
        key=key,
        caption=(_caption(results, found),),
        alt=f"Line plots of validation score against the share of what was trained for {tasks}.",
        draw=partial(_draw, panels, found, in_points(results, found.tasks)),
        wide=len(panels) > 1 or found.forgetting,
    )


def _caption(results: Results, found: Rewinding) -> str:
    said = (
        f"Validation score on {results.title('backbones', found.backbone)} with the share α of what training has"
        " changed: mean over seeds, band of ± one sample standard deviation. The upright line is the model as trained."
    )
    beside = (
        " Beside it, the same scores against what was forgotten of general text, from α = 0 on; the large marker is the"
        " model as trained."
    )
    return said + (beside if found.forgetting else "")


def _pages(results: Results, found: Rewinding) -> list[list[_Panel]]:
    """Panels, as many on a page as it has room for."""
    panels = []
    split = len({path.label for path in found.paths}) > NAMED_LINES
    for task in found.tasks:
        own, scale = [path for path in found.paths if path.task == task], results.scale(task)
        title = f"{short(task)} ({panel_metric(results, task)})"
        for family in families_in({path.family for path in own}) if split else [""]:
            of = [path for path in own if path.family == family] if split else own
            panels.append(_Panel(task, f"{title}: {family}" if split else title, scale, of))
    rows = max(1, int(PAGE_HEIGHT / _height(panels)))
    fit = rows if found.forgetting else 2 * rows
    return [panels[i : i + fit] for i in range(0, len(panels), fit)]


def _height(panels: list[_Panel]) -> float:
    """Inches: less where there are several rows, and as much as the names of the fullest panel take."""
    names = max(len(panel.paths) for panel in panels)
    return max(1.75 if len(panels) > 2 else 2.35, NAME * names + 0.35)


def _draw(panels: list[_Panel], found: Rewinding, unit: str, theme: Theme) -> Drawing:
    across = 2 if found.forgetting or len(panels) > PANELS_PER_ROW else PANELS_PER_ROW
    drawings = len(panels) * (1 + found.forgetting)
    drawing, grid = grid_of(theme, drawings, _height(panels), wide=drawings > 1, most=across)
    ways, trades = (grid[::2], grid[1::2]) if found.forgetting else (grid, [])
    for axes, panel in zip(ways, panels, strict=True):
        _way(axes, panel)
    outer_labels(ways, "Share α of the difference", f"Validation score{unit}", 1 if found.forgetting else across)
    for axes, panel in zip(trades, panels, strict=False):
        _trade(axes, panel)
    outer_labels(trades, "Forgotten (nats per byte)", "", 1)
    family_legend(theme, drawing, families_in({path.family for path in found.paths}), lines=True)
    lay_out(drawing)
    first, last = (end(point.alpha for path in found.paths for point in path.points) for end in (min, max))
    for axes, panel in zip(ways, panels, strict=True):
        name_ends(axes, [_end(path, panel.scale) for path in panel.paths], first, last, LABEL_SIZE)
    for axes, panel in zip(trades, panels, strict=False):
        _name_trained(axes, _measured(panel), panel.scale)
    return drawing


def _way(axes: Axes, panel: _Panel) -> None:
    axes.axvline(TRAINED, color=MUTED, linewidth=0.7, zorder=0.7)
    for path in panel.paths:
        style = look(path.family)
        alphas = np.array([point.alpha for point in path.points])
        mean = panel.scale.unit.factor * np.array([point.score.mean for point in path.points])
        spread = panel.scale.unit.factor * np.array([point.score.sd or 0.0 for point in path.points])
        axes.plot(
            alphas,
            mean,
            color=style.color,
            linestyle=style.dashes,
            marker=style.marker,
            markersize=3,
            markeredgecolor="white",
            markeredgewidth=0.3,
        )
        axes.fill_between(alphas, mean - spread, mean + spread, color=style.color, alpha=0.13, linewidth=0)
    _finish(axes, panel)
    axes.set_xticks(sorted({point.alpha for path in panel.paths for point in path.points}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _trade(axes: Axes, panel: _Panel) -> None:
    axes.axvline(0.0, color=MUTED, linewidth=0.7, zorder=0.7)
    for path in _measured(panel):
        style = look(path.family)
        forgotten, shown = zip(*_trade_of(path, panel.scale), strict=True)
        axes.plot(
            forgotten,
            shown,
            color=style.color,
            linestyle=style.dashes,
            linewidth=0.9,
            marker=style.marker,
            markersize=OTHER_SIZE,
        )
        trained = [point.alpha for point in path.points].index(TRAINED)
        axes.plot(
            forgotten[trained],
            shown[trained],
            color=style.color,
            marker=style.marker,
            markersize=TRAINED_SIZE,
            markeredgecolor="white",
            markeredgewidth=0.4,
            zorder=3,
        )
    _finish(axes, panel)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _finish(axes: Axes, panel: _Panel) -> None:
    axes.set_title(panel.title, loc="left")
    up_is_better(axes, panel.scale)
    axes.yaxis.set_major_locator(MaxNLocator(6))


def _measured(panel: _Panel) -> list[Path]:
    return [path for path in panel.paths if all(point.forgotten.n for point in path.points)]


def _trade_of(path: Path, scale: Scale) -> list[tuple[float, float]]:
    return [(point.forgotten.mean, scale.shown(point.score.mean)) for point in path.points]


def _end(path: Path, scale: Scale) -> End:
    return End(scale.shown(path.points[-1].score.mean), short(path.label), look(path.family).color)


def _name_trained(axes: Axes, paths: Sequence[Path], scale: Scale) -> None:
    """Names beside the models as trained, off all ways."""
    anchors, obstacles = [], []
    for path in paths:
        places = axes.transData.transform(_trade_of(path, scale))
        # Boxes along a way keep names off its line.
        along = np.linspace(0, len(places) - 1, BOXES * (len(places) - 1) + 1)
        x, y = (np.interp(along, range(len(places)), places[:, i]) for i in (0, 1))
        obstacles += [point_box(*at) for at in zip(x, y, strict=True)]
        at_x, at_y = places[[point.alpha for point in path.points].index(TRAINED)]
        anchors.append(Anchor(at_x, at_y, short(path.label), look(path.family).color))
    place_around(axes, anchors, obstacles, LABEL_SIZE)

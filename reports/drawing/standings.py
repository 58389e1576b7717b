"""Critical-difference diagrams (Demšar 2006): average ranks, and which of them a test cannot tell apart."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.analysis import Analysis
from reports.analysis.ranks import Ranking, Standing
from reports.drawing.panels import LABEL_SIZE, drawing_of, short
from reports.drawing.style import INK, MUTED, PAGE_WIDTH, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.model.writing import decimal
from reports.results import Results

# Inches from one name to the next, and what the axis above the names takes.
LINE, HEAD = 0.15, 0.66
# Units of the vertical axis, which grows downwards from the axis of ranks, a line of names being 1.
BARS_FROM, BAR = 0.55, 0.42


def figures(analysis: Analysis) -> list[Figure]:
    """One per backbone with tasks and configurations enough for a test."""
    results = analysis.results
    found = [standing for standing in analysis.standings if standing.ranking.critical_difference is not None]
    return [
        Figure(
            key=keyed("ranks", position, len(found)),
            caption=(_caption(results, standing),),
            alt=f"Average ranks of {len(standing.ranking.ranks)} configurations on a line; bars join those alike.",
            draw=partial(_draw, results, standing.ranking),
            wide=True,
        )
        for position, standing in enumerate(found)
    ]


def _caption(results: Results, standing: Standing) -> str:
    return (
        f"Average ranks over {len(standing.tasks)} tasks on {results.title('backbones', standing.backbone)}, the best"
        " on the left. A bar joins configurations whose average ranks differ by less than the critical difference (CD)"
        " of Nemenyi's test at 5 %."
    )


def _draw(results: Results, ranking: Ranking, theme: Theme) -> Drawing:
    names, critical = list(ranking.ranks), ranking.critical_difference or 0.0
    left = names[: (len(names) + 1) // 2]
    right = names[len(left) :][::-1]
    depth = BARS_FROM + BAR * _lanes(ranking)
    drawing = drawing_of(theme, PAGE_WIDTH, HEAD + LINE * (depth + len(left)))
    axes = drawing.subplots()
    k = len(names)
    # A quarter of the width on either side is for names.
    axes.set_xlim(1 - (k - 1) / 2, k + (k - 1) / 2)
    axes.set_ylim(depth + len(left), -2.5)
    axes.axis("off")
    _rule(axes, k, critical)
    for side, ends in ((left, 1 - 0.06 * (k - 1)), (right, k + 0.06 * (k - 1))):
        for i, name in enumerate(side):
            _name(axes, results, name, ranking.ranks[name], ends, depth + i + 0.4)
    for group, lane in _placed(ranking):
        first, last = ranking.ranks[group[0]], ranking.ranks[group[-1]]
        at = BARS_FROM + BAR * lane
        axes.plot([first - 0.01 * k, last + 0.01 * k], [at, at], color=INK, linewidth=2.4, solid_capstyle="butt")
    return drawing


def _rule(axes: Axes, k: int, critical: float) -> None:
    """The axis of ranks, and above it the length of the critical difference."""
    axes.plot([1, k], [0, 0], color=INK, linewidth=0.8)
    step = max(1, round(k / 12))
    for rank in range(1, k + 1, step):
        axes.plot([rank, rank], [0, -0.3], color=INK, linewidth=0.8)
        axes.text(rank, -0.4, str(rank), ha="center", va="bottom", fontsize=LABEL_SIZE, color=INK)
    end = 1 + critical
    axes.plot([1, end], [-1.7, -1.7], color=MUTED, linewidth=1.2, marker="|", markersize=5)
    axes.text(
        (1 + end) / 2, -1.85, f"CD {decimal(critical, 2)}", ha="center", va="bottom", fontsize=LABEL_SIZE, color=INK
    )


def _name(axes: Axes, results: Results, label: str, rank: float, end: float, y: float) -> None:
    """Down from its rank, and out to its name."""
    color, left = look(results.family_of(label)).color, end < rank
    axes.plot([rank, rank, end], [0, y, y], color=color, linewidth=0.7, zorder=1)
    written = decimal(rank, 2)
    text = f"{short(label)}  {written}" if left else f"{written}  {short(label)}"
    axes.text(end, y, f" {text} ", ha="right" if left else "left", va="center", fontsize=LABEL_SIZE, color=color)


def _placed(ranking: Ranking) -> list[tuple[tuple[str, ...], int]]:
    """Each group with its lane, so that bars of one lane do not touch."""
    ends: list[float] = []
    placed = []
    for group in ranking.groups:
        first, last = ranking.ranks[group[0]], ranking.ranks[group[-1]]
        lane = next((i for i, end in enumerate(ends) if end < first - 0.05 * len(ranking.ranks)), len(ends))
        ends[lane : lane + 1] = [last]
        placed.append((group, lane))
    return placed


def _lanes(ranking: Ranking) -> int:
    return max((lane for _, lane in _placed(ranking)), default=-1) + 1

"""The figure of training steps: each method's over the yardstick's, ours and peft's, beside what it has to compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.performance.figures import Ratio
from tests.performance.steps import SCRIPTED, Step

COLUMN, ROW, MARGIN = 5.0, 0.2, 0.9  # inches


def draw(panels: Mapping[str, Sequence[Step]], path: Path) -> None:
    """A panel for each backbone and precision, a row for each step; as SVG, the same each time."""
    height = MARGIN + ROW * max(map(len, panels.values()))
    figure = Figure(figsize=(COLUMN * len(panels), height), layout="constrained")
    for axes, (title, steps) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _panel(axes, title, sorted(steps, key=lambda step: -step.ratio.median))
    figure.axes[0].legend(loc="upper right", fontsize=7)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "performance"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


def _panel(axes: Axes, title: str, steps: Sequence[Step]) -> None:
    rows = range(len(steps))
    axes.axvline(1, color="0.8", linewidth=0.8)
    axes.scatter([step.arithmetic for step in steps], rows, marker="|", color="0.4", label="its matrix products")
    theirs = {row: Ratio.of(step.rounds, SCRIPTED, "yardstick") for row, step in enumerate(steps) if step.to_peft}
    _dots(axes, theirs, "C1", "peft")
    _dots(axes, {row: step.ratio for row, step in enumerate(steps)}, "C0", "ours")
    axes.set_yticks(rows, [step.what for step in steps], fontsize=7)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("a step over the yardstick's (median, quartiles)", fontsize=8)


def _dots(axes: Axes, ratios: Mapping[int, Ratio], colour: str, label: str) -> None:
    medians = [each.median for each in ratios.values()]
    spread = [
        [each.median - each.low for each in ratios.values()],
        [each.high - each.median for each in ratios.values()],
    ]
    axes.errorbar(medians, list(ratios), xerr=spread, fmt="o", markersize=3, linewidth=0.8, color=colour, label=label)

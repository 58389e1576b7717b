"""The five axes of Pfeiffer et al. (2023): their ratings of the three compositions beside measured ones.

Theirs are the authors' judgement of whole lines of work; ours come from the few methods of one suite on one
backbone, by cut points that are our own choice and fixed here, whatever a suite measures. The two need not agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from reports.results import Results, select

Rating = Literal["++", "+", "−", "−−"]
Agreement = Literal["same", "same side", "opposite", "not measured"]

RATINGS: tuple[Rating, ...] = ("++", "+", "−", "−−")
SOURCE = "pfeiffer2023modular"
AXES = ("parameter efficiency", "training efficiency", "inference efficiency", "performance", "compositionality")
# As we read the survey's table, in the order of AXES.
PRINTED: dict[str, tuple[Rating, ...]] = {
    "parameter": ("+", "−", "++", "+", "+"),
    "input": ("++", "−−", "−−", "−", "+"),
    "function": ("−", "+", "−", "++", "+"),
}


@dataclass(frozen=True)
class AxisRating:
    """One composition on one axis. `printed` is the survey's rating as we read it; `computed` follows `rule`
    from `value` (in `unit`), the median over `labels`; both None where nothing was measured, and `reason`
    says why. `agreement` compares the two; "same side" means that both are favourable or both are not."""

    backbone: str
    composition: str
    axis: str
    printed: Rating
    computed: Rating | None
    value: float | None
    unit: str
    rule: str
    agreement: Agreement
    labels: tuple[str, ...]
    reason: str = ""


class _Axis(NamedTuple):
    """`value` maps a label's cells and the reference's to the figure; `cuts` are the worst values that still
    earn ++, + and −; larger is better where `ascending`."""

    value: Callable[[pd.DataFrame, pd.DataFrame], float]
    unit: str
    cuts: tuple[float, float, float]
    rule: str
    ascending: bool = False
    against: bool = True


def composition_table(results: Results) -> list[AxisRating]:
    """Three compositions × five axes for every backbone, in the survey's order."""
    return [
        _rate(results, backbone, composition, axis, printed)
        for backbone in results.backbones
        for composition, ratings in PRINTED.items()
        for axis, printed in zip(AXES, ratings, strict=True)
    ]


def _rate(results: Results, backbone: str, composition: str, name: str, printed: Rating) -> AxisRating:
    axis = _MEASURED.get(name)
    if axis is None:
        reason = "No suite here puts modules of two trainings together."
        return _unrated(backbone, composition, name, printed, reason)
    cells = select(results.cells, backbone=backbone)
    labels = [
        label
        for label in results.labels
        if results.method_card(results.method_of(label)).composition == composition and results.trains(label)
    ]
    if name == "performance":  # its cut points are in points, which only fractions have
        cells = cells[[results.scale(task).in_points for task in cells["task"]]]
    reference = cells[cells["label"] == results.reference]
    figures = {label: axis.value(cells[cells["label"] == label], reference) for label in labels}
    figures = {label: figure for label, figure in figures.items() if np.isfinite(figure)}
    if not figures:
        reason = _why_not(axis, labels, cells, reference)
        return _unrated(backbone, composition, name, printed, reason, axis.unit, axis.rule)
    value = float(np.median(list(figures.values())))
    computed = _rating(value, axis)
    agreement = _agreement(printed, computed)
    measured = (computed, value, axis.unit, axis.rule, agreement, tuple(figures))
    return AxisRating(backbone, composition, name, printed, *measured)


def _unrated(
    backbone: str, composition: str, name: str, printed: Rating, reason: str, unit: str = "", rule: str = ""
) -> AxisRating:
    return AxisRating(backbone, composition, name, printed, None, None, unit, rule, "not measured", (), reason)


def _why_not(axis: _Axis, labels: list[str], cells: pd.DataFrame, reference: pd.DataFrame) -> str:
    if not labels:
        return "The suite has no method of this composition."
    if cells.empty:
        return "No task is scored by a fraction, which alone has points."
    if axis.against and reference.empty:
        return "The suite has no full fine-tuning to compare with."
    return "No cell of these methods has the figure."


def _rating(value: float, axis: _Axis) -> Rating:
    reached = [value >= cut if axis.ascending else value <= cut for cut in axis.cuts]
    return RATINGS[reached.index(True)] if any(reached) else RATINGS[-1]


def _agreement(printed: Rating, computed: Rating) -> Agreement:
    if printed == computed:
        return "same"
    return "same side" if printed[0] == computed[0] else "opposite"


def _by_task(rows: pd.DataFrame, column: str) -> pd.Series:
    return rows.groupby("task")[column].mean()


def _percent(own: pd.DataFrame, _: pd.DataFrame) -> float:
    return float(own["percent"].mean())


def _training(own: pd.DataFrame, full: pd.DataFrame) -> float:
    return float((_by_task(own, "train_flops") / _by_task(full, "train_flops")).mean())


def _inference(own: pd.DataFrame, full: pd.DataFrame) -> float:
    """What merges leaves the plain backbone, whose FLOPs full fine-tuning has."""
    if own["merged_inference_seconds"].notna().any():
        return 1.0
    return float((_by_task(own, "inference_flops") / _by_task(full, "inference_flops")).mean())


def _performance(own: pd.DataFrame, full: pd.DataFrame) -> float:
    return 100 * float((_by_task(own, "score") - _by_task(full, "score")).mean())


_MEASURED = {
    "parameter efficiency": _Axis(
        value=_percent,
        unit="percent",
        cuts=(0.1, 1, 10),
        rule="trained parameters, the head apart, in percent of the backbone's: ++ up to 0.1, + up to 1, − up to 10",
        against=False,
    ),
    "training efficiency": _Axis(
        value=_training,
        unit="ratio",
        cuts=(0.5, 0.9, 1.1),
        rule="FLOPs of a training step over full fine-tuning's: ++ up to 0.5, + up to 0.9, − up to 1.1",
    ),
    "inference efficiency": _Axis(
        value=_inference,
        unit="ratio",
        cuts=(1.001, 1.02, 1.1),
        rule="FLOPs of inference over the backbone's, once merged where a method merges:"
        " ++ up to 1.001, + up to 1.02, − up to 1.1",
    ),
    "performance": _Axis(
        value=_performance,
        unit="points",
        cuts=(-1, -3, -10),
        rule="test score minus full fine-tuning's in points, the mean over tasks: ++ from −1, + from −3, − from −10",
        ascending=True,
    ),
}

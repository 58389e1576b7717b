"""What becomes of costs as backbones grow: a step, its memory and what is trained, against the size of the backbone."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from typing import Literal

from records.cards import Metric
from reports.analysis.costs import CostGroup
from reports.analysis.statistics import summarise
from reports.analysis.sweeps import Line
from reports.results import Results
from reports.scales import Scale

# Of a training step over the yardstick's; of full fine-tuning's peak; of the backbone's parameters, those trained.
Grown = Literal["step", "peak", "trained"]
# Of more configurations than this, lines are medians of families.
MOST_LINES = 8
_PLAIN = Scale(Metric("figure", high=None), decimals=2)


@dataclass(frozen=True)
class Growth:
    """One protocol on several backbones: `sizes` are their parameters, by name, the smallest first; `lines` are ratios
    (`step`) and percent (the others), by configuration, or by family where `by_family`."""

    tasks: tuple[str, ...]
    sizes: dict[str, float]
    lines: dict[Grown, tuple[Line, ...]]
    by_family: bool


def growth(results: Results, groups: list[CostGroup]) -> list[Growth]:
    """Of protocols under which backbones of at least two sizes were profiled."""
    by_protocol: dict[str, list[CostGroup]] = {}
    for group in groups:
        by_protocol.setdefault(json.dumps([group.protocol, group.tasks], sort_keys=True), []).append(group)
    found = []
    for alike in by_protocol.values():
        sized = sorted(((_size(results, group), group) for group in alike), key=lambda pair: pair[0])
        known = [(size, group) for size, group in sized if math.isfinite(size)]
        if len({size for size, _ in known}) > 1:
            found.append(_growth(results, known))
    return found


def _size(results: Results, group: CostGroup) -> float:
    counted = group.cells["backbone_parameters"].dropna()
    return float(counted.iloc[0]) if len(counted) else results.backbone_card(group.backbone).parameters or math.nan


def _growth(results: Results, known: list[tuple[float, CostGroup]]) -> Growth:
    labels = [label for label in results.labels if sum(label in group.labels for _, group in known) > 1]
    by_family = len(labels) > MOST_LINES
    tasks = known[0][1].tasks
    lines: dict[Grown, tuple[Line, ...]] = {}
    measures: tuple[Grown, ...] = ("step", "peak", "trained")
    for name in measures:
        values = [(size, _values(group, name)) for size, group in known]
        told: dict[str, list[str]] = {}
        for label in labels:
            told.setdefault(results.family_of(label) if by_family else label, []).append(label)
        made = []
        for line, members in told.items():
            points = [(size, [by[label] for label in members if label in by]) for size, by in values]
            there = tuple((size, summarise([statistics.median(of)])) for size, of in points if of)
            if len(there) > 1:
                made.append(Line(", ".join(tasks), line, results.family_of(members[0]), there, _PLAIN))
        if made:
            lines[name] = tuple(made)
    return Growth(tasks, {group.backbone: size for size, group in known}, lines, by_family)


def _values(group: CostGroup, name: Grown) -> dict[str, float]:
    """Of full fine-tuning its step alone: the rest is what others are compared with."""
    if name == "step":
        return group.means("step_ratio")
    found = group.means("percent")
    if name == "peak":
        found = {label: 100 * value for label, value in group.relative("peak_memory_bytes").items()}
    return {label: value for label, value in found.items() if label != group.reference}

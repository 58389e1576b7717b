"""Metrics beside the primary one, of what others published: what was forgotten, say."""

from __future__ import annotations

from dataclasses import dataclass

from records.cards import Metric
from reports.analysis.statistics import Summary, summarise
from reports.results import Results, metric_values, select
from reports.scales import Scale, read_scale


@dataclass(frozen=True)
class Secondary:
    """One metric of one task on a backbone; by configuration its mean over seeds, held such that more is better, and
    the cells behind it."""

    backbone: str
    task: str
    metric: Metric
    scale: Scale
    found: dict[str, tuple[Summary, tuple[str, ...]]]


def secondary(results: Results) -> list[Secondary]:
    """Nothing for a run of ours, whose records and page have them."""
    if not results.published:
        return []
    made = []
    for backbone in results.backbones:
        for task in results.tasks:
            card = results.task_card(task)
            for name in map(str, card.metrics[1:]):
                scale = read_scale(card, name, metric_values(results.records.values(), task, name))
                if found := _by_label(results, backbone, task, name, scale):
                    made.append(Secondary(backbone, task, card.scales[name], scale, found))
    return made


def _by_label(
    results: Results, backbone: str, task: str, name: str, scale: Scale
) -> dict[str, tuple[Summary, tuple[str, ...]]]:
    found = {}
    for label in results.labels:
        ids = [str(cell) for cell in select(results.scored, backbone=backbone, task=task, label=label).index]
        values = {cell: results.records[cell].test[name] for cell in ids if name in results.records[cell].test}
        if values:
            found[label] = (summarise([scale.raw(value) for value in values.values()]), tuple(values))
    return found

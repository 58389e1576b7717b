"""Cost profiles, grouped such that figures may be averaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from records.vocabulary import MEMORY
from reports.analysis.statistics import summarise
from reports.analysis.summaries import Found, summary_of
from reports.results import Results, select


@dataclass(frozen=True)
class MemoryUse:
    """Memory of training, by configuration that trains: the measured `peak` in bytes, and, where its parts were
    counted, how many times their sum it is (`beyond`).

    Of those other than the reference, where there is one, in percent: the peak as a share of the reference's (`share`),
    the share of the backbone's parameters that are trained (`percent`), and that of weights and kept activations in
    what is counted (`kept`).
    """

    peak: dict[str, float]
    beyond: dict[str, float]
    share: dict[str, float]
    percent: dict[str, float]
    kept: dict[str, float]


@dataclass(frozen=True)
class CostGroup:
    """Cells that were profiled under one protocol, on one backbone: only these may be averaged. `labels` are in the
    suite's order; `reference` is full fine-tuning, where the suite has it; `rounds` are those of `Results`."""

    backbone: str
    protocol: dict[str, Any]
    tasks: tuple[str, ...]
    cells: pd.DataFrame
    labels: tuple[str, ...]
    reference: str | None
    rounds: Callable[[str, str], list[float]]
    _found: dict[tuple[str, str], Found] = field(default_factory=dict, repr=False, compare=False)

    @property
    def most(self) -> int:
        """The greatest number of profiles behind a figure."""
        return int(self.cells.groupby("label")["profile"].nunique().max())

    @property
    def shared(self) -> bool:
        """Whether seeds share a profile."""
        return bool(self.cells["profile"].duplicated().any())

    def of(self, label: str, column: str) -> Found:
        """Mean, spread and count over the configuration's profiles, and their cells' ids. Of one profile that was timed
        in rounds the spread is that of these."""
        if (label, column) not in self._found:
            summary, ids = summary_of(select(self.cells, label=label), column)
            if len(ids) == 1 and (rounds := self.rounds(str(ids[0]), column)):
                summary = summary._replace(sd=summarise([summary.mean * one for one in rounds]).sd)
            self._found[label, column] = summary, ids
        return self._found[label, column]

    def range(self, label: str, column: str) -> tuple[float, float]:
        """The least and the greatest of the configuration's profiles, or of the rounds in which they were timed."""
        found = []
        for cell in self.of(label, column)[1]:
            value = self.cells[column][cell]
            found += [float(value * one) for one in self.rounds(str(cell), column) or [1.0]]
        return min(found), max(found)

    def means(self, column: str) -> dict[str, float]:
        """By label, where there is one."""
        found = {label: self.of(label, column)[0] for label in self.labels}
        return {label: summary.mean for label, summary in found.items() if summary.n}

    def relative(self, column: str) -> dict[str, float]:
        """Means over the reference's, its own included; nothing without a reference."""
        means = self.means(column)
        full = means.get(self.reference or "")
        return {} if full is None else {label: mean / full for label, mean in means.items()}

    @cached_property
    def memory(self) -> MemoryUse | None:
        """None where nothing is trained: prompting has peaks of inference only."""
        steps, peaks = self.means("step_seconds"), self.means("peak_memory_bytes")
        peak = {label: value for label, value in peaks.items() if label in steps}
        if not peak:
            return None
        parts = {column: self.means(column) for column in MEMORY}
        known = [label for label in peak if all(label in values for values in parts.values())]
        counted = {label: sum(values[label] for values in parts.values()) for label in known}
        full = peak.get(self.reference or "")
        others = [label for label in peak if label != self.reference] if full is not None else []
        held = {
            label: parts["weights_bytes"][label] + parts["activation_bytes"][label]
            for label in others
            if label in known
        }
        return MemoryUse(
            peak=peak,
            beyond={label: peak[label] / counted[label] for label in known},
            share={label: 100 * peak[label] / full for label in others} if full else {},
            percent={label: share for label, share in self.means("percent").items() if label in others},
            kept={label: 100 * value / counted[label] for label, value in held.items()},
        )


def cost_groups(results: Results) -> list[CostGroup]:
    """Groups by backbone and protocol, in the suite's order."""
    groups: dict[tuple[str, str], list[str]] = {}
    for cell_id, backbone in results.costed["backbone"].items():
        cost = results.records[str(cell_id)].cost
        assert cost is not None
        key = (str(backbone), json.dumps(cost.protocol, sort_keys=True))
        groups.setdefault(key, []).append(str(cell_id))
    made = []
    for (backbone, protocol), ids in groups.items():
        cells = results.cells.loc[ids]
        cells = cells.assign(training_memory_bytes=cells[list(MEMORY)].sum(axis=1, skipna=False))
        tasks, labels = set(cells["task"]), set(cells["label"])
        made.append(
            CostGroup(
                backbone=backbone,
                protocol=json.loads(protocol),
                tasks=tuple(task for task in results.tasks if task in tasks),
                cells=cells,
                labels=tuple(label for label in results.labels if label in labels),
                reference=results.reference,
                rounds=results.rounds,
            )
        )
    return made

"""Cost profiles, grouped such that figures may be averaged."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from records.vocabulary import MEMORY
from reports.analysis.summaries import Found, summary_of
from reports.results import Results, select


@dataclass(frozen=True)
class CostGroup:
    """Cells that were profiled under one protocol, on one backbone: only these may be averaged."""

    backbone: str
    protocol: dict
    tasks: tuple[str, ...]
    cells: pd.DataFrame
    _found: dict[tuple[str, str], Found] = field(default_factory=dict, repr=False, compare=False)

    @property
    def labels(self) -> set[str]:
        return set(self.cells["label"])

    def of(self, label: str, column: str) -> Found:
        """Mean, spread and count over the configuration's profiled cells, and their ids."""
        if (label, column) not in self._found:
            self._found[label, column] = summary_of(select(self.cells, label=label), column)
        return self._found[label, column]

    def means(self, column: str, labels: Iterable[str]) -> dict[str, float]:
        """By label, where there is one."""
        found = {label: self.of(label, column)[0] for label in labels}
        return {label: summary.mean for label, summary in found.items() if summary.n}


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
        cells = cells.assign(training_memory_bytes=cells[list(MEMORY)].sum(axis=1))
        tasks = tuple(task for task in results.tasks if task in set(cells["task"]))
        made.append(CostGroup(backbone, json.loads(protocol), tasks, cells))
    return made

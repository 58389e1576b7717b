"""PSCP, one figure for score and costs (Belanec et al. 2025, arXiv:2511.21285): P · Π (1 + M / C)^(−β).

M are the trained parameters, the FLOPs that inference takes beyond the plain backbone's, and the memory of training; C
are what halves a score, and β = 1 throughout, as in the authors' code (PEFT-Factory, scripts/peftfactory/cal_psqp.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from reports.analysis.costs import CostGroup
from reports.results import Results

# Parameters; FLOPs to a text, so many that the authors would rather use the backbone as it is; bytes, of one H100 NVL.
HALVES = {"parameters": 5e8, "flops": 10e12, "memory": 94e9}
BETA = 1.0


@dataclass(frozen=True)
class Penalised:
    """A configuration's `score` (a fraction, the mean over tasks of means over seeds), by what each cost multiplies it,
    and what comes of it; with the ids of the cells behind the score."""

    label: str
    score: float
    cells: tuple[str, ...]
    penalties: dict[str, float]

    @property
    def penalty(self) -> float:
        """The product of all three."""
        return math.prod(self.penalties.values())

    @property
    def pscp(self) -> float:
        """As the score is, a fraction."""
        return self.score * self.penalty


@dataclass(frozen=True)
class Penalties:
    """Configurations of one backbone and protocol, in the suite's order, on `tasks`. `moved` are those whose rank by
    PSCP is another than by score; `strongest` is the cost whose penalty differs most between configurations."""

    group: CostGroup
    tasks: tuple[str, ...]
    rows: tuple[Penalised, ...]

    @property
    def moved(self) -> list[str]:
        """In the suite's order."""
        by_score, by_pscp = (
            rankdata([-value for value in values])
            for values in ([row.score for row in self.rows], [row.pscp for row in self.rows])
        )
        return [row.label for row, one, other in zip(self.rows, by_score, by_pscp, strict=True) if one != other]

    @property
    def strongest(self) -> str:
        """One of `HALVES`."""
        return max(HALVES, key=lambda name: np.ptp([row.penalties[name] for row in self.rows]))


def penalty(measured: float, halves: float) -> float:
    """By what a cost multiplies a score."""
    return float((1 + measured / halves) ** -BETA)


def penalties(results: Results, groups: list[CostGroup]) -> list[Penalties]:
    """Of the groups with at least two configurations of which scores on all tasks and all three costs are known; tasks
    are those whose scores are fractions and may be averaged."""
    found = []
    for group in groups:
        scales = {task: results.scale(task) for task in group.tasks}
        points = [task for task, scale in scales.items() if scale.in_points and scale.higher_is_better]
        tasks = results.averaged(points)
        rows = tuple(row for label in group.labels if tasks and (row := _row(group, label, tasks)) is not None)
        if len(rows) > 1:
            found.append(Penalties(group, tasks, rows))
    return found


def _row(group: CostGroup, label: str, tasks: tuple[str, ...]) -> Penalised | None:
    cells = group.cells[(group.cells["label"] == label) & group.cells["score"].notna()]
    by_task = cells[cells["task"].isin(tasks)].groupby("task")["score"].mean()
    measured = {
        "parameters": group.of(label, "total_parameters")[0].mean,
        "flops": _flops_beyond(group, label),
        "memory": group.of(label, "peak_memory_bytes")[0].mean,
    }
    if len(by_task) < len(tasks) or not all(math.isfinite(value) for value in measured.values()):
        return None
    found = {name: penalty(value, HALVES[name]) for name, value in measured.items()}
    return Penalised(label, float(by_task.mean()), tuple(map(str, cells.index)), found)


def _flops_beyond(group: CostGroup, label: str) -> float:
    """To a text, beyond the plain backbone's: none where the method merges. Older profiles did not count the plain
    backbone, but full fine-tuning, which leaves it as it is."""
    batch = group.protocol.get("inference_batch")
    if not isinstance(batch, list) or not isinstance(batch[0], int):
        return math.nan
    if group.of(label, "merged_inference_seconds")[0].n:
        return 0.0
    plain = group.of(label, "backbone_inference_flops")[0].mean
    if not math.isfinite(plain) and group.reference is not None:
        plain = group.of(group.reference, "inference_flops")[0].mean
    return max(float(group.of(label, "inference_flops")[0].mean - plain), 0.0) / batch[0]

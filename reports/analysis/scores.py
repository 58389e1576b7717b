"""How far mean scores lie apart on each task, and how far single scores do over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reports.analysis.summaries import Summaries
from reports.results import Results


@dataclass(frozen=True)
class TaskScores:
    """Mean test scores on a task, as they are held, of the configurations that have one."""

    task: str
    means: dict[str, float]

    @property
    def lowest(self) -> str:
        """The configuration whose mean is worst."""
        return min(self.means, key=self.means.__getitem__)

    @property
    def highest(self) -> str:
        """The configuration whose mean is best."""
        return max(self.means, key=self.means.__getitem__)


@dataclass(frozen=True)
class SeedSpread:
    """Sample standard deviations over seeds of all (task, configuration), as fractions."""

    least: float
    greatest: float
    median: float


@dataclass(frozen=True)
class BackboneScores:
    """Of one backbone. `spread` is over the tasks that are written in points: None where no task is, or where every
    cell ran with one seed; `in_points` tells the two apart."""

    backbone: str
    tasks: tuple[TaskScores, ...]
    spread: SeedSpread | None
    in_points: bool


def by_backbone(results: Results, scored: Summaries) -> list[BackboneScores]:
    """Those with a score, in the suite's order."""
    made = []
    in_points = {task for task in results.tasks if results.scale(task).in_points}
    for backbone in results.backbones:
        tasks, spreads = [], []
        for task in results.tasks:
            found = {label: scored.of("score", backbone, task, label)[0] for label in results.labels}
            means = {label: summary.mean for label, summary in found.items() if summary.n}
            if means:
                tasks.append(TaskScores(task, means))
            if task in in_points:
                spreads += [summary.sd for summary in found.values() if summary.sd is not None]
        if tasks:
            spread = SeedSpread(min(spreads), max(spreads), float(np.median(spreads))) if spreads else None
            made.append(BackboneScores(backbone, tuple(tasks), spread, bool(in_points)))
    return made

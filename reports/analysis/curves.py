"""Validation scores during training, and whether they had ended rising when the budget ended."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.results import Results, select


@dataclass(frozen=True)
class Curve:
    """One configuration on one task: `steps` has a row per evaluation with step, phase, mean and sd (over seeds, 0
    for one), scores as they are held."""

    task: str
    label: str
    family: str
    steps: pd.DataFrame


@dataclass(frozen=True)
class Curves:
    """`of` is by backbone. Of `runs` with more than one evaluation, `last` had their best score at the last one."""

    of: dict[str, list[Curve]]
    runs: int
    last: int


def curves(results: Results) -> Curves:
    """In the suite's order of tasks and labels."""
    history = results.history[results.history["score"].notna()]
    found: dict[str, list[Curve]] = {}
    for backbone in results.backbones:
        lines = select(history, backbone=backbone)
        by_task_and_label = dict(list(lines.groupby(["task", "label"], sort=False)))
        for task in results.tasks:
            for label in results.labels:
                if (own := by_task_and_label.get((task, label))) is None:
                    continue
                steps = own.groupby(["step", "phase"], sort=True)["score"].agg(["mean", "std"]).reset_index()
                steps = steps.assign(sd=steps.pop("std").fillna(0))
                found.setdefault(backbone, []).append(Curve(task, label, results.family_of(label), steps))
    runs = last = 0
    for cell_id in results.scored.index:
        record = results.records[cell_id]
        if record.best_step is not None and len(record.history) > 1:
            runs += 1
            last += record.best_step == record.history[-1].step
    return Curves(found, runs, last)

"""How soon a configuration comes near full fine-tuning: examples and seconds until a run's validation score first is a
given share of the best one of full fine-tuning with the same seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.analysis.statistics import Summary, summarise
from reports.results import Results, select

SHARES = (0.95, 0.99)


@dataclass(frozen=True)
class Target:
    """One configuration on one task. Of the `seeds` that it shares with the reference, `reached` came to `share` of the
    reference's best validation score; `examples` and `seconds` (of training alone, as profiled; None where it was not)
    are those up to the first evaluation at which it was there, over these seeds. `cells` are the ids of its cells."""

    backbone: str
    task: str
    label: str
    share: float
    seeds: int
    reached: int
    examples: Summary
    seconds: Summary | None
    cells: tuple[str, ...]


def targets(results: Results) -> list[Target]:
    """Of all configurations that were trained, the reference included, by backbone, task and label in the suite's order
    and then by share; only on tasks whose scores are fractions of which a share can be taken."""
    reference = results.reference
    scored = results.history[results.history["score"].notna()]
    if reference is None or scored.empty or results.published:  # others' files do not tell examples per step
        return []
    seconds = results.cells.groupby(["backbone", "task", "label"])["step_seconds"].mean()
    found = []
    for (backbone, task), on_task in scored.groupby(["backbone", "task"], sort=False):
        scale = results.scale(str(task))
        if not (scale.in_points and scale.higher_is_better):
            continue
        best = select(on_task, label=reference).groupby("seed")["score"].max()
        for label in results.labels:
            runs = {seed: run for seed, run in select(on_task, label=label).groupby("seed") if seed in best.index}
            if not runs:
                continue
            step = float(seconds.get((backbone, task, label), np.nan))
            for share in SHARES:
                steps = [_first(run, share * best[seed]) for seed, run in runs.items()]
                there = [value for value in steps if value is not None]
                ids = tuple(str(run["id"].iloc[0]) for run in runs.values())
                size = _batch_size(results, ids[0])
                found.append(
                    Target(
                        backbone=str(backbone), task=str(task), label=label, share=share, seeds=len(runs),
                        reached=len(there), examples=summarise([size * value for value in there]),
                        seconds=summarise([step * value for value in there]) if np.isfinite(step) else None, cells=ids,
                    )
                )  # fmt: skip
    place = {name: number for number, name in enumerate((*results.backbones, *results.tasks, *results.labels))}
    return sorted(found, key=lambda each: (place[each.backbone], place[each.task], place[each.label]))


def _first(run: pd.DataFrame, target: float) -> int | None:
    """The step of the first evaluation at which the target is reached."""
    rows = run.sort_values("step")
    there = rows.loc[rows["score"] >= target, "step"]
    return int(there.iloc[0]) if len(there) else None


def _batch_size(results: Results, cell: str) -> float:
    """Examples to a step: the last batch of an epoch may be smaller than the others."""
    budget, data = results.manifest.cells[cell].budget, results.records[cell].data
    assert budget is not None  # as in every run of ours
    whole = float(budget.batch_size)
    return whole if data is None or not data.train else data.train / math.ceil(data.train / whole)

"""How much a method's score moves with its learning rate and with the seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reports.analysis.sweeps import budget_of
from reports.results import Results, select


@dataclass(frozen=True)
class Sensitivity:
    """One method, alike in all but its learning rate, on one backbone and task.

    `best` is the learning rate of the highest mean validation score, which `label` has. `lr_drop` is how far below it
    the worst of the `rates` lies and `neighbour_drop` the worse of the rates next to it: what a poor choice costs.
    `seed_sd` is the standard deviation over seeds, pooled over the rates (None with one seed each), `seeds` the most
    that a rate has. Scores are validation scores as they are held; a search must not look at test scores.
    """

    backbone: str
    task: str
    method: str
    label: str
    rates: tuple[float, ...]
    best: float
    lr_drop: float
    neighbour_drop: float
    seed_sd: float | None
    seeds: int
    cells: tuple[str, ...]

    @property
    def within_noise(self) -> bool:
        """Whether the drop beside the best is less than seeds differ."""
        return self.seed_sd is not None and self.neighbour_drop < self.seed_sd


def sensitivity(results: Results) -> list[Sensitivity]:
    """One entry per backbone, task and configuration that was run with two learning rates or more, in the suite's
    order; what a search has found is no such rate."""
    found = []
    scored = results.cells[
        results.cells["validation_score"].notna() & ~results.cells["label"].isin(list(results.tuned))
    ]
    for backbone in results.backbones:
        for task in results.tasks:
            cells = select(scored, backbone=backbone, task=task)
            scores = dict(zip(map(str, cells.index), cells["validation_score"].tolist(), strict=True))
            groups: dict[str, dict[float, list[str]]] = {}
            for cell_id in scores:
                cell = results.manifest.cells[cell_id]
                rate = cell.hyperparameters.get("lr")
                if isinstance(rate, (int, float)) and rate > 0:
                    rest = {name: value for name, value in cell.hyperparameters.items() if name != "lr"}
                    same = json.dumps([cell.method, rest, budget_of(cell)], sort_keys=True)
                    groups.setdefault(same, {}).setdefault(float(rate), []).append(cell_id)
            found += [_sensitivity(results, scores, by_rate) for by_rate in groups.values() if len(by_rate) > 1]
    return found


def _sensitivity(results: Results, scores: Mapping[str, float], by_rate: Mapping[float, list[str]]) -> Sensitivity:
    rates = sorted(by_rate)
    values = [np.array([scores[cell] for cell in by_rate[rate]]) for rate in rates]
    means = [float(of.mean()) for of in values]
    best = int(np.argmax(means))
    beside = [means[i] for i in (best - 1, best + 1) if 0 <= i < len(rates)]
    freedom = sum(of.size - 1 for of in values)
    squares = sum(((of - of.mean()) ** 2).sum() for of in values)
    cell = results.manifest.cells[by_rate[rates[best]][0]]
    return Sensitivity(
        backbone=cell.backbone,
        task=cell.task,
        method=cell.method,
        label=cell.label,
        rates=tuple(rates),
        best=rates[best],
        lr_drop=means[best] - min(means),
        neighbour_drop=means[best] - min(beside),
        seed_sd=float(np.sqrt(squares / freedom)) if freedom else None,
        seeds=max(of.size for of in values),
        cells=tuple(cell for rate in rates for cell in by_rate[rate]),
    )

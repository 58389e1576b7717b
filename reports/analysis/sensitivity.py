"""How much a method's score moves with its learning rate and with the seed."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from reports.analysis.statistics import summarise
from reports.results import Results, select


@dataclass(frozen=True)
class Sensitivity:
    """One method, alike in all but its learning rate, on one backbone and task.

    `best` is the learning rate of the highest mean validation score, `lr_drop` how far below it the worst of
    the `rates` lies and `neighbour_drop` the worse of the rates next to it (None with one rate): what a poor
    choice costs. `seed_sd` is the standard deviation over seeds, pooled over the rates (None with one seed
    each). Scores are validation scores, as fractions; a search must not look at test scores.
    """

    backbone: str
    task: str
    method: str
    rates: tuple[float, ...]
    best: float
    lr_drop: float | None
    neighbour_drop: float | None
    seed_sd: float | None
    seeds: int
    cells: tuple[str, ...]


def sensitivity(results: Results) -> list[Sensitivity]:
    """One entry per backbone, task and configuration that has a validation score, in the suite's order."""
    found = []
    scored = results.cells[results.cells["validation_score"].notna()]
    for backbone in results.backbones:
        for task in results.tasks:
            groups: dict[tuple[str, str], dict[float, list[str]]] = {}
            for cell_id in select(scored, backbone=backbone, task=task).index:
                cell = results.manifest.cells[str(cell_id)]
                rest = {name: value for name, value in cell.hyperparameters.items() if name != "lr"}
                key = (cell.method, json.dumps(rest, sort_keys=True))
                rate = float(cell.hyperparameters.get("lr", np.nan))
                groups.setdefault(key, {}).setdefault(rate, []).append(str(cell_id))
            for (method, _), by_rate in groups.items():
                found.append(_sensitivity(scored["validation_score"].to_dict(), backbone, task, method, by_rate))
    return found


def _sensitivity(scores: dict, backbone: str, task: str, method: str, by_rate: dict[float, list[str]]) -> Sensitivity:
    rates = sorted(by_rate)
    values = [np.array([scores[cell] for cell in by_rate[rate]]) for rate in rates]
    means = [summarise(of.tolist()).mean for of in values]
    best = int(np.argmax(means))
    beside = [means[i] for i in (best - 1, best + 1) if 0 <= i < len(rates)]
    freedom = sum(of.size - 1 for of in values)
    pooled = sum(((of - of.mean()) ** 2).sum() for of in values)
    return Sensitivity(
        backbone, task, method, tuple(rates), rates[best],
        lr_drop=means[best] - min(means) if beside else None,
        neighbour_drop=means[best] - min(beside) if beside else None,
        seed_sd=float(np.sqrt(pooled / freedom)) if freedom else None,
        seeds=max(of.size for of in values), cells=tuple(cell for rate in rates for cell in by_rate[rate]),
    )  # fmt: skip

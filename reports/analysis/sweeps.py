"""What a suite varies: learning rate, number of training examples, size of the backbone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from records.cell import Cell
from reports.analysis.statistics import Summary, summarise
from reports.results import Results
from reports.scales import Scale


@dataclass(frozen=True)
class Line:
    """Scores of one configuration along what is varied; `points` are (x, mean and spread) in order of x, `scale` is
    that of the task."""

    task: str
    name: str
    family: str
    points: tuple[tuple[float, Summary], ...]
    scale: Scale


@dataclass(frozen=True)
class Sweep:
    """The lines of one thing that is varied."""

    varied: Literal["learning-rate", "train-size", "backbone-size"]
    lines: tuple[Line, ...]


# A cell's configuration but for what is varied, and the value of that; None where it is not part of a line.
_Key = Callable[[str], tuple[str, float] | None]


def sweeps(results: Results) -> list[Sweep]:
    """Those for which there is data."""
    found = [
        Sweep("learning-rate", tuple(learning_rates(results))),
        Sweep("train-size", tuple(train_sizes(results))),
        Sweep("backbone-size", tuple(backbone_sizes(results))),
    ]
    return [sweep for sweep in found if sweep.lines]


def learning_rates(results: Results) -> list[Line]:
    """By validation score, as a search is; configurations of a method that share all but the learning rate."""

    def key(cell_id: str) -> tuple[str, float] | None:
        cell = results.manifest.cells[cell_id]
        rate = None if cell.label in results.tuned else cell.hyperparameters.get("lr")
        rest = {k: v for k, v in cell.hyperparameters.items() if k != "lr"}
        same = json.dumps([cell.method, rest, cell.backbone, cell.task, budget_of(cell)], sort_keys=True)
        return (same, float(rate)) if isinstance(rate, (int, float)) and rate > 0 else None

    return _lines(results, key, "validation_score", lambda i: results.manifest.cells[i].method)


def train_sizes(results: Results) -> list[Line]:
    """A task under several budgets that differ in their training examples."""

    def key(cell_id: str) -> tuple[str, float] | None:
        cell = results.manifest.cells[cell_id]
        if cell.budget is None:
            return None
        budget = cell.budget.model_dump(exclude={"train_examples"})
        same = json.dumps([cell.method, cell.hyperparameters, cell.backbone, cell.task, budget], sort_keys=True)
        return same, float(cell.budget.train_examples)

    return _lines(results, key, "score", lambda i: str(results.cells.loc[i, "label"]))


def backbone_sizes(results: Results) -> list[Line]:
    """Backbones of different size under one label."""

    def key(cell_id: str) -> tuple[str, float] | None:
        cell = results.manifest.cells[cell_id]
        size = results.backbone_card(cell.backbone).parameters or results.cells.loc[cell_id, "backbone_parameters"]
        same = json.dumps([cell.label, cell.task, budget_of(cell)], sort_keys=True)
        return (same, float(size)) if isinstance(size, (int, float)) and math.isfinite(size) and size > 0 else None

    return _lines(results, key, "score", lambda i: str(results.cells.loc[i, "label"]))


def budget_of(cell: Cell) -> dict[str, Any] | None:
    """As plain data; None of a cell that others ran."""
    return None if cell.budget is None else cell.budget.model_dump()


def _lines(results: Results, key: _Key, column: str, name: Callable[[str], str]) -> list[Line]:
    """Lines with two points or more."""
    groups: dict[str, dict[float, list[str]]] = {}
    for cell_id in map(str, results.cells.index[results.cells[column].notna()]):
        if (found := key(cell_id)) is not None:
            groups.setdefault(found[0], {}).setdefault(found[1], []).append(cell_id)
    made = []
    for by_x in groups.values():
        if len(by_x) < 2:
            continue
        first = next(iter(by_x.values()))[0]
        family, task = str(results.cells.loc[first, "family"]), str(results.cells.loc[first, "task"])
        points = [(x, summarise(results.cells.loc[ids, column].tolist())) for x, ids in sorted(by_x.items())]
        made.append(Line(task, name(first), family, tuple(points), results.scale(task)))
    return made

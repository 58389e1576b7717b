"""What a run cannot show, as far as its own records tell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from records.record import Rescored, precisions
from reports.results import SCORED, Results, select


@dataclass(frozen=True)
class Sampling:
    """The binomial standard error of the best mean accuracy on a task's test `examples`; both as fractions."""

    task: str
    best: float
    error: float
    examples: int


@dataclass(frozen=True)
class Later:
    """A metric that was computed from kept predictions after the run, of so many `cells` and by code of these
    `versions`; of `replaced` cells the run itself had given it another value."""

    metric: str
    cells: int
    replaced: int
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """`parameters` are those of the backbones, as far as known. `unscored` counts cells without a score. `sampling` is
    of the tasks whose metric is accuracy. Of the tasks with a score outside of the metric's range, `outside` counts
    such scores. `devices` are those on which time was measured. `uncommitted`: some records come from code with local
    changes. `environments` counts different ones, `precisions` cells by their arithmetic. `later` has the metrics that
    were computed after the run, `later_scores` the cells of which the primary one is among them."""

    seeds: tuple[int, ...]
    parameters: tuple[float, ...]
    kinds: tuple[str, ...]
    unscored: int
    sampling: tuple[Sampling, ...]
    outside: dict[str, int]
    devices: tuple[str, ...]
    uncommitted: bool
    environments: int
    precisions: dict[str, int]
    later: tuple[Later, ...]
    later_scores: frozenset[str]


def limits(results: Results) -> Limits:
    """From what the manifest and the records hold."""
    environments = [environment for environment, _ in results.environments()]
    timed = [environment | environment.get("profiled", {}) for environment in environments]
    return Limits(
        seeds=tuple(sorted({int(seed) for seed in results.cells["seed"]})),
        parameters=_parameters(results),
        kinds=tuple(sorted({str(results.task_card(task).kind or "unknown") for task in results.tasks})),
        unscored=int((~results.cells["status"].isin(SCORED)).sum()),
        sampling=tuple(error for task in results.tasks if (error := _sampling(results, task))),
        outside={task: n for task in results.tasks if (n := _outside(results, task))},
        devices=tuple(sorted({str(each.get("device")) for each in timed if each.get("device")})),
        uncommitted=any(each.get("dirty") for each in (*environments, *timed)),
        environments=len(environments),
        precisions=precisions(results.records.values()),
        later=tuple(_later(results)),
        later_scores=frozenset(
            cell
            for cell, rescored in _rescored(results).items()
            if results.metric_key(results.records[cell].cell.task) in rescored
        ),
    )


def _parameters(results: Results) -> tuple[float, ...]:
    """As the cards have them; without cards, as they were counted."""
    known = [results.backbone_card(backbone).parameters for backbone in results.backbones]
    given = [float(size) for size in known if isinstance(size, (int, float))]
    return tuple(given or results.scored["backbone_parameters"].dropna().unique().tolist())


def _sampling(results: Results, task: str) -> Sampling | None:
    cells = select(results.scored, task=task)
    examples = [use.test for cell in cells.index if (use := results.records[cell].data) and use.test]
    if results.metric(task) != "accuracy" or not results.scale(task).in_points or not examples:
        return None
    best = float(cells.groupby("label")["score"].mean().max())
    return Sampling(task, best, math.sqrt(best * (1 - best) / examples[0]), examples[0]) if 0 < best < 1 else None


def _outside(results: Results, task: str) -> int:
    scale = results.scale(task)
    scores = select(results.scored, task=task)["score"]
    return sum(not scale.metric.allows(scale.raw(score)) for score in scores)


def _rescored(results: Results) -> dict[str, dict[str, Rescored]]:
    cells = [str(cell) for cell in results.cells.index]
    return {cell: record.rescored for cell in cells if (record := results.records.get(cell)) and record.rescored}


def _later(results: Results) -> Iterator[Later]:
    rescored = _rescored(results)
    for metric in sorted({metric for of in rescored.values() for metric in of}):
        found = {cell: of[metric] for cell, of in rescored.items() if metric in of}
        replaced = sum(each.was is not None for each in found.values())
        yield Later(metric, len(found), replaced, tuple(sorted({each.version for each in found.values()})))

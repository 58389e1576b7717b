"""Two results folders side by side: what differs between them besides their results, and by how much these differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from reports.analysis.statistics import ALPHA, Comparison, Summary, compare_paired, holm
from reports.analysis.summaries import seeds_of, summary_of
from reports.results import Results, select

# The costs that are compared, in the order of the table's columns.
COSTS = ("adapter_parameters", "stored_bytes", "peak_memory_bytes", "step_seconds", "deployed_seconds")
ENVIRONMENT = ("precision", "device", "processor", "cores", "threads", "python")


@dataclass(frozen=True)
class ScorePair:
    """Of one configuration on one task: the means of A and B as they are held, and their `difference`, B minus A.
    `paired` is over the seeds that both have; `adjusted` is Holm's p over all pairs."""

    backbone: str
    task: str
    label: str
    a: Summary
    b: Summary
    paired: Comparison
    cells: tuple[str, ...]
    adjusted: float | None = None

    @property
    def difference(self) -> float:
        """Of the means."""
        return self.b.mean - self.a.mean


@dataclass(frozen=True)
class CostPair:
    """A mean cost of A and of B. `ratio` is B over A, None where A's is nothing."""

    a: float
    b: float
    cells: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """None where A's is nothing."""
        return self.b / self.a if self.a else None


@dataclass(frozen=True)
class CostsOf:
    """The costs, by name, that one configuration has in both on one task."""

    backbone: str
    task: str
    label: str
    costs: Mapping[str, CostPair]


@dataclass(frozen=True)
class Changes:
    """What differs besides the results. `budgets`, `hyperparameters`, `protocols` and `revisions` name tasks or
    configurations of both whose these are; `seeds` and the values of `environment` and `versions` are those of A and
    of B; `alone` names by kind what only one of them has, `scales` the tasks whose scores are read differently."""

    budgets: tuple[str, ...]
    hyperparameters: tuple[str, ...]
    seeds: tuple[tuple[int, ...], tuple[int, ...]] | None
    environment: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    versions: Mapping[str, tuple[str, str]]
    revisions: tuple[str, ...]
    alone: Mapping[str, tuple[str, ...]]
    scales: tuple[str, ...]
    protocols: tuple[str, ...]


@dataclass(frozen=True)
class SideBySide:
    """Two runs, A and B, compared."""

    a: Results
    b: Results
    changes: Changes
    scores: tuple[ScorePair, ...]
    costs: tuple[CostsOf, ...]

    @property
    def pairs(self) -> int:
        """The greatest number of seeds that a score has in both."""
        return max((pair.paired.n for pair in self.scores), default=0)

    @property
    def tested(self) -> int:
        """How many score pairs have a test."""
        return sum(pair.adjusted is not None for pair in self.scores)

    @property
    def shown(self) -> int:
        """How many of them show a difference."""
        return sum(pair.adjusted is not None and pair.adjusted < ALPHA for pair in self.scores)

    @property
    def largest(self) -> ScorePair | None:
        """The largest difference of scores that are fractions."""
        plain = [pair for pair in self.scores if self.a.scale(pair.task).in_points]
        return max(plain, key=lambda pair: abs(pair.difference), default=None)


def compare(a: Results, b: Results) -> SideBySide:
    """The comparison of two runs, of whatever both have."""
    return SideBySide(a, b, changes(a, b), tuple(_scores(a, b)), tuple(_costs(a, b)))


def changes(a: Results, b: Results) -> Changes:
    """Of two runs."""
    seeds = [tuple(sorted({int(seed) for seed in each.cells["seed"]})) for each in (a, b)]
    environment = {key: (_environment(a, key), _environment(b, key)) for key in ENVIRONMENT}
    names = {
        "backbones": (a.backbones, b.backbones),
        "tasks": (a.tasks, b.tasks),
        "configurations": (a.labels, b.labels),
    }
    alone = {
        kind: tuple(n for n in (*ours, *theirs) if (n in ours) != (n in theirs))
        for kind, (ours, theirs) in names.items()
    }
    versions = [_versions(each) for each in (a, b)]
    return Changes(
        budgets=_changed(_budgets, a, b),
        hyperparameters=_changed(_hyperparameters, a, b),
        seeds=(seeds[0], seeds[1]) if seeds[0] != seeds[1] else None,
        environment={
            key: (ours, theirs) for key, (ours, theirs) in environment.items() if ours and theirs and ours != theirs
        },
        versions={name: (versions[0][name], versions[1][name]) for name in _changed(_versions, a, b)},
        revisions=_changed(_revisions, a, b),
        alone={kind: found for kind, found in alone.items() if found},
        scales=tuple(task for task in a.tasks if task in b.tasks and not same_scale(a, b, task)),
        protocols=_changed(_protocols, a, b),
    )


def same_scale(a: Results, b: Results, task: str) -> bool:
    """Whether the scores of a task are read alike in both."""
    one, other = a.scale(task), b.scale(task)
    # Cards of old say nothing of a range: a correlation of theirs reads as a fraction, and is in points all the same.
    ranges = (one.in_points and other.in_points) or (one.low, one.high) == (other.low, other.high)
    return one.higher_is_better == other.higher_is_better and ranges and a.metric_key(task) == b.metric_key(task)


def _scores(a: Results, b: Results) -> list[ScorePair]:
    found = []
    for where in _shared(a, b):
        backbone, task, label = where
        cells = [select(each.scored, backbone=backbone, task=task, label=label) for each in (a, b)]
        (one, ids), (other, other_ids) = (summary_of(each, "score") for each in cells)
        if one.n and other.n and same_scale(a, b, task):
            paired = compare_paired(seeds_of(cells[1]), seeds_of(cells[0]))
            found.append(ScorePair(*where, one, other, paired, (*ids, *other_ids)))
    adjusted = iter(holm([pair.paired.p for pair in found if pair.paired.p is not None]))
    return [pair if pair.paired.p is None else replace(pair, adjusted=next(adjusted)) for pair in found]


def _costs(a: Results, b: Results) -> Iterable[CostsOf]:
    for backbone, task, label in _shared(a, b):
        cells = [_deployed(select(each.cells, backbone=backbone, task=task, label=label)) for each in (a, b)]
        costs = {}
        for column in COSTS:
            (one, ids), (other, other_ids) = (summary_of(each, column) for each in cells)
            if one.n and other.n:
                costs[column] = CostPair(one.mean, other.mean, (*ids, *other_ids))
        yield CostsOf(backbone, task, label, costs)


def _deployed(cells: pd.DataFrame) -> pd.DataFrame:
    """In seconds: of two machines, the backbone's own latency is of interest as well."""
    return cells.assign(deployed_seconds=cells["merged_inference_seconds"].fillna(cells["inference_seconds"]))


def _shared(a: Results, b: Results) -> list[tuple[str, str, str]]:
    """(backbone, task, label) of both, in the order of the first."""
    return [
        (backbone, task, label)
        for backbone in a.backbones
        if backbone in b.backbones
        for task in a.tasks
        if task in b.tasks
        for label in a.labels
        if label in b.labels
    ]


def _changed(of: Callable[[Results], Mapping[str, str]], a: Results, b: Results) -> tuple[str, ...]:
    """The names that both have, with another value."""
    one, other = of(a), of(b)
    return tuple(name for name in one if name in other and one[name] != other[name])


def _budgets(results: Results) -> dict[str, str]:
    cells = results.manifest.cells.values()
    return _joined((cell.task, cell.budget.model_dump_json()) for cell in cells if cell.budget is not None)


def _hyperparameters(results: Results) -> dict[str, str]:
    cells = results.manifest.cells.values()
    return _joined((cell.label, str(sorted(cell.hyperparameters.items(), key=str))) for cell in cells)


def _versions(results: Results) -> dict[str, str]:
    versions = [environment.get("versions") or {} for environment, _ in results.environments()]
    return _joined(((str(name), str(version)) for of in versions for name, version in of.items()), "/")


def _joined(pairs: Iterable[tuple[str, Any]], between: str = " ") -> dict[str, str]:
    """By name, all different values as one text."""
    found: dict[str, set[str]] = {}
    for name, value in pairs:
        found.setdefault(name, set()).add(value)
    return {name: between.join(sorted(values)) for name, values in found.items()}


def _revisions(results: Results) -> dict[str, str]:
    found: dict[str, str] = {}
    for cell in results.manifest.cells.values():
        found[cell.method] = cell.method_revision
        found[cell.task] = cell.task_revision
        found[cell.backbone] = cell.backbone_revision
    return found


def _protocols(results: Results) -> dict[str, str]:
    found: dict[str, str] = {}
    for cell_id, record in results.records.items():
        if record.cost is not None:
            found[results.manifest.cells[cell_id].task] = str(sorted(record.cost.protocol.items(), key=str))
    return found


def _environment(results: Results, key: str) -> tuple[str, ...]:
    return tuple(sorted({str(each[key]) for each, _ in results.environments() if each.get(key) is not None}))

"""What reviewers ask of a run, as far as its records answer: counts and sums over all of its cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from reports.results import SCORED, Results


@dataclass(frozen=True)
class Splits:
    """The examples that cells of a task were given (train, validation, test), and those left out as duplicates; None
    where no record tells."""

    task: str
    sizes: tuple[int | None, int | None, int | None]
    duplicates: int | None
    commits: dict[str, str]


@dataclass(frozen=True)
class Facts:
    """`seconds` is the sum of training and evaluation over all cells that left a record, failed ones among them, and
    `longest` the longest of them, in seconds; profiles of cost are not in them. `devices`, `processors` and `commits`
    are those of the records, `versions` the versions of each package. `configurations` counts a suite's configurations
    by method, `parameters` the least and the most that one trains, the head included. `uncommitted` counts records of
    code with local changes, `without` those that hold no commit. `reported` is whether every scored cell has validation
    scores as well, `chosen` whether records tell the step whose checkpoint was chosen. `kept` counts the cells whose
    predictions were kept."""

    cells: int
    scored: int
    by_status: dict[str, int]
    seconds: float
    longest: float
    seeds: tuple[int, ...]
    devices: tuple[str, ...]
    processors: tuple[str, ...]
    precisions: tuple[str, ...]
    commits: tuple[str, ...]
    uncommitted: int
    without: int
    versions: dict[str, tuple[str, ...]]
    splits: tuple[Splits, ...]
    configurations: dict[str, int]
    parameters: tuple[float, float] | None
    reported: bool
    chosen: bool
    kept: int


def facts(results: Results) -> Facts:
    """Of all cells of a results folder."""
    records = results.records.values()
    environments = [record.environment for record in records if record.environment]
    methods = [results.method_of(label) for label in results.labels]
    seconds = [record.seconds for record in records]
    scored = [record for record in records if record.status in SCORED]
    trained = results.scored["total_parameters"].dropna()
    statuses = results.cells["status"].value_counts()
    return Facts(
        cells=len(results.cells),
        scored=int(results.cells["status"].isin(SCORED).sum()),
        by_status={str(status): int(n) for status, n in statuses.items()},
        seconds=sum(seconds),
        longest=max(seconds, default=0.0),
        seeds=tuple(sorted({int(seed) for seed in results.cells["seed"]})),
        devices=_distinct(environments, "device"),
        processors=_distinct(environments, "processor"),
        precisions=_distinct(environments, "precision"),
        commits=_distinct(environments, "commit"),
        uncommitted=sum(bool(environment.get("dirty")) for environment in environments),
        without=sum(not record.environment.get("commit") for record in records),
        versions=_versions(environments),
        splits=tuple(_splits(results, task) for task in results.tasks),
        configurations={method: methods.count(method) for method in dict.fromkeys(methods)},
        parameters=(float(trained.min()), float(trained.max())) if len(trained) else None,
        reported=bool(scored) and all(record.validation for record in scored),
        chosen=any(record.best_step is not None for record in scored),
        kept=sum("predictions.parquet" in record.kept for record in records),
    )


def _distinct(environments: list[dict[str, Any]], name: str) -> tuple[str, ...]:
    found = (environment.get(name) for environment in environments)
    return tuple(dict.fromkeys(str(value) for value in found if value))


def _versions(environments: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for environment in environments:
        versions = environment.get("versions")
        for package, version in versions.items() if isinstance(versions, dict) else ():
            found.setdefault(str(package), {})[str(version)] = None
    return {package: tuple(versions) for package, versions in found.items()}


def _splits(results: Results, task: str) -> Splits:
    uses = [record.data for record in results.records.values() if record.cell.task == task and record.data]
    # Prompting trains on nothing: what a task's cells were given is the most that one of them was.
    train, validation, test = (_most(getattr(use, split) for use in uses) for split in ("train", "validation", "test"))
    commits = {repo: commit for use in uses for repo, commit in use.commits.items()}
    return Splits(task, (train, validation, test), _most(use.duplicates_removed for use in uses), commits)


def _most(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)

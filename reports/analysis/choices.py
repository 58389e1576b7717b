"""Which configuration for which constraint: what meets it, and which of those scores best on validation data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reports.analysis.costs import CostGroup
from reports.analysis.statistics import summarise
from reports.analysis.summaries import summary_of
from reports.results import Results, select
from reports.scales import Scale


@dataclass(frozen=True)
class Candidate:
    """A label with a score: means over the group's tasks, and its cells."""

    label: str
    validation: float
    test: float
    figures: dict[str, float]
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Constraint:
    name: str
    meets: Callable[[Candidate, dict[str, float]], bool]


# `reference` holds the figures of full fine-tuning; a constraint without its figure is met by nothing.
CONSTRAINTS = (
    Constraint("none", lambda c, _: True),
    Constraint("at most 1 % of the backbone's parameters trained", lambda c, _: _at_most(c, "percent", 1.0)),
    Constraint("at most 0.1 % of them", lambda c, _: _at_most(c, "percent", 0.1)),
    Constraint("at most 1 MB stored per task", lambda c, _: _at_most(c, "stored_bytes", 1e6)),
    Constraint("peak memory at most three quarters of full fine-tuning's",
               lambda c, full: _at_most(c, "peak_memory_bytes", 0.75 * full.get("peak_memory_bytes", float("nan")))),
    Constraint("a training step no slower than full fine-tuning's",
               lambda c, full: _at_most(c, "step_seconds", full.get("step_seconds", float("nan")))),
    Constraint("at most 2 % added latency once deployed", lambda c, _: _at_most(c, "deployed_latency", 1.02)),
)  # fmt: skip


def candidates(results: Results, group: CostGroup) -> list[Candidate]:
    """Every label that has scores on all tasks of the group that may be averaged."""
    made = []
    for label in results.labels:
        cells = select(group.cells, label=label)
        validation, test = [], []
        for task in results.averaged(group.tasks):
            of_task = select(cells, task=task)
            validation.append(summary_of(of_task, "validation_score")[0])
            test.append(summary_of(of_task, "score")[0])
        if not all(s.n for s in (*validation, *test)):
            continue
        figures = {
            column: summary.mean
            for column in ("percent", "stored_bytes", "peak_memory_bytes", "step_seconds", "deployed_latency")
            if (summary := summary_of(cells, column)[0]).n
        }
        ids = tuple(map(str, cells.index))
        made.append(Candidate(label, summarise([s.mean for s in validation]).mean,
                              summarise([s.mean for s in test]).mean, figures, ids))  # fmt: skip
    return made


def _at_most(candidate: Candidate, figure: str, most: float) -> bool:
    value = candidate.figures.get(figure)
    return value is not None and value <= most


@dataclass(frozen=True)
class Choice:
    """What meets a constraint, the best on validation data first."""

    constraint: str
    able: tuple[Candidate, ...]


@dataclass(frozen=True)
class Choices:
    """Of one cost group, over those of its `tasks` whose scores may be averaged."""

    group: CostGroup
    tasks: tuple[str, ...]
    scale: Scale
    choices: tuple[Choice, ...]


def choices(results: Results, groups: list[CostGroup]) -> list[Choices]:
    """One per group of two configurations or more."""
    made = []
    for group in groups:
        tasks = results.averaged(group.tasks)
        if len(group.labels) < 2 or not tasks:
            continue
        found = candidates(results, group)
        full = next((c.figures for c in found if results.method_of(c.label) == "full"), {})
        chosen = []
        for constraint in CONSTRAINTS:
            able = sorted((c for c in found if constraint.meets(c, full)), key=lambda c: -c.validation)
            chosen.append(Choice(constraint.name, tuple(able)))
        made.append(Choices(group, tasks, results.scale(tasks[0]), tuple(chosen)))
    return made

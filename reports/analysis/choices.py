"""Which configuration for which constraint: what meets it, and which of those scores best on validation data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reports.analysis.costs import CostGroup
from reports.analysis.joint import Population
from reports.analysis.rank_sets import Ranks
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
    """`meets` is given a candidate and the figures of full fine-tuning."""

    name: str
    meets: Callable[[Candidate, dict[str, float]], bool]


def _no_more_than_full(figure: str, share: float = 1.0) -> Callable[[Candidate, dict[str, float]], bool]:
    return lambda candidate, full: _at_most(candidate, figure, share * full.get(figure, float("nan")))


def _no_more_than(figure: str, most: float) -> Callable[[Candidate, dict[str, float]], bool]:
    return lambda candidate, _: _at_most(candidate, figure, most)


# A constraint without its figure is met by nothing.
CONSTRAINTS = (
    Constraint("none", lambda *_: True),
    Constraint("at most 1 % of the backbone's parameters trained", _no_more_than("percent", 1.0)),
    Constraint("at most 0.1 % of them", _no_more_than("percent", 0.1)),
    Constraint("at most 1 MB stored per task", _no_more_than("stored_bytes", 1e6)),
    Constraint(
        "peak memory at most three quarters of full fine-tuning's", _no_more_than_full("peak_memory_bytes", 0.75)
    ),
    Constraint("a training step no slower than full fine-tuning's", _no_more_than_full("step_seconds")),
    Constraint("at most 2 % added latency once deployed", _no_more_than("deployed_latency", 1.02)),
)
FIGURES = ("percent", "stored_bytes", "peak_memory_bytes", "step_seconds", "deployed_latency")


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
        figures = {column: summary.mean for column in FIGURES if (summary := summary_of(cells, column)[0]).n}
        means = [summarise([each.mean for each in of]).mean for of in (validation, test)]
        made.append(Candidate(label, means[0], means[1], figures, tuple(map(str, cells.index))))
    return made


def _at_most(candidate: Candidate, figure: str, most: float) -> bool:
    value = candidate.figures.get(figure)
    return value is not None and value <= most


@dataclass(frozen=True)
class Choice:
    """What meets a constraint, the best on validation data first. `open` are those of them that none of the others is
    shown to be better than, on test data; None where nothing is tested."""

    constraint: str
    able: tuple[Candidate, ...]
    open: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Choices:
    """Of one cost group, over those of its `tasks` whose scores may be averaged. `population` is what tests of the
    scores are about; None where nothing is tested."""

    group: CostGroup
    tasks: tuple[str, ...]
    scale: Scale
    choices: tuple[Choice, ...]
    population: Population | None = None


def choices(results: Results, groups: list[CostGroup], ranks: Ranks) -> list[Choices]:
    """One per group of two configurations or more."""
    made = []
    for group in groups:
        tasks = results.averaged(group.tasks)
        if len(group.labels) < 2 or not tasks:
            continue
        found = candidates(results, group)
        full = next((c.figures for c in found if results.method_of(c.label) == "full"), {})
        shown = ranks.of(group.backbone, tasks)
        chosen = []
        for constraint in CONSTRAINTS:
            able = sorted((c for c in found if constraint.meets(c, full)), key=lambda c: -c.validation)
            unbeaten = None if shown is None else shown.unbeaten([c.label for c in able])
            chosen.append(Choice(constraint.name, tuple(able), unbeaten))
        made.append(
            Choices(group, tasks, results.scale(tasks[0]), tuple(chosen), None if shown is None else shown.population)
        )
    return made

"""Score against cost: what each configuration scores and costs, and which are on the Pareto front of the means."""

from __future__ import annotations

from dataclasses import dataclass

from reports.analysis.costs import CostGroup
from reports.analysis.statistics import Summary, pareto_front, summarise
from reports.analysis.summaries import Summaries, summary_of
from reports.results import Results, select
from reports.scales import Scale


@dataclass(frozen=True)
class Point:
    """A method on a task: its adapter's parameters, its score as it is held, and whether no other method has
    at most as many parameters and at least as good a mean."""

    task: str
    label: str
    family: str
    parameters: float
    score: Summary
    on_front: bool


def tradeoff(results: Results, scored: Summaries, backbone: str) -> list[Point]:
    """Every (task, label) with a score on this backbone."""
    points = []
    for task in results.tasks:
        panel: list[tuple[str, float, Summary]] = []
        for label in results.labels:
            score, _ = scored.of("score", backbone, task, label)
            parameters, _ = scored.of("adapter_parameters", backbone, task, label)
            if score.n and parameters.n:
                panel.append((label, parameters.mean, score))
        front = pareto_front([parameters for _, parameters, _ in panel], [score.mean for *_, score in panel])
        points += [
            Point(task, label, results.family_of(label), parameters, score, on)
            for (label, parameters, score), on in zip(panel, front, strict=True)
        ]
    return points


# The costs that a configuration is judged by, one front each.
COSTS = ("peak_memory_bytes", "step_seconds", "deployed_latency", "stored_bytes")


@dataclass(frozen=True)
class Placed:
    """A configuration in all panels: its mean score as it is held, its costs, and for which of them it is on the
    front."""

    label: str
    family: str
    score: float
    costs: dict[str, float]
    on_front: frozenset[str]


@dataclass(frozen=True)
class Front:
    """Configurations of one cost group, over those of its `tasks` whose scores may be averaged, by the `costs` that
    were measured of any."""

    group: CostGroup
    tasks: tuple[str, ...]
    scale: Scale
    placed: tuple[Placed, ...]
    costs: tuple[str, ...] = COSTS


def fronts(results: Results, groups: list[CostGroup]) -> list[Front]:
    """One per group in which at least two configurations have score and costs."""
    made = []
    for group in groups:
        tasks = results.averaged(group.tasks)
        known = tuple(cost for cost in COSTS if group.means(cost))
        found = _scores_and_costs(results, group, tasks, known) if tasks else {}
        if len(found) < 2:
            continue
        on_front: dict[str, set[str]] = {label: set() for label in found}
        for cost in known:
            front = pareto_front([costs[cost] for _, costs in found.values()], [score for score, _ in found.values()])
            for label, on in zip(found, front, strict=True):
                on_front[label] |= {cost} if on else set()
        placed = [
            Placed(label, results.family_of(label), score, costs, frozenset(on_front[label]))
            for label, (score, costs) in found.items()
        ]
        made.append(Front(group, tasks, results.scale(tasks[0]), tuple(placed), known))
    return made


def _scores_and_costs(
    results: Results, group: CostGroup, tasks: tuple[str, ...], known: tuple[str, ...]
) -> dict[str, tuple[float, dict[str, float]]]:
    found = {}
    for label in results.labels:
        own = select(group.cells, label=label)
        scores = [summary_of(select(own, task=task), "score")[0] for task in tasks]
        costs = {column: group.of(label, column)[0] for column in known}
        if all(s.n for s in scores) and all(c.n for c in costs.values()):
            found[label] = (summarise([s.mean for s in scores]).mean, {k: c.mean for k, c in costs.items()})
    return found

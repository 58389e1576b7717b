"""Score against cost: what each configuration scores and costs, and which are on the Pareto front: of the means, and as
far as the data decide it."""

from __future__ import annotations

from dataclasses import dataclass

from records.vocabulary import QUANTITIES
from reports.analysis.costs import CostGroup
from reports.analysis.front_states import Span, State, front_states
from reports.analysis.rank_sets import Ranks, RankSets
from reports.analysis.statistics import Summary, pareto_front, summarise
from reports.analysis.summaries import Summaries, summary_of
from reports.results import Results, select
from reports.scales import Scale


@dataclass(frozen=True)
class Point:
    """A method on a task: its adapter's parameters, its score as it is held, and whether no other method has
    at most as many parameters and at least as good a mean. `state` is what the data say of that, None where nothing is
    tested."""

    task: str
    label: str
    family: str
    parameters: float
    score: Summary
    on_front: bool
    state: State | None = None


def tradeoff(results: Results, scored: Summaries, backbone: str, ranks: Ranks) -> list[Point]:
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
        counted = {label: Span(parameters, parameters) for label, parameters, _ in panel}
        states = _states(counted, ranks.of(backbone, (task,)))
        points += [
            Point(task, label, results.family_of(label), parameters, score, on, states.get(label))
            for (label, parameters, score), on in zip(panel, front, strict=True)
        ]
    return points


def _states(costs: dict[str, Span], found: RankSets | None) -> dict[str, State]:
    """Of those that take part; nothing where nothing is tested. One that takes no part leaves others undecided."""
    if found is None:
        return {}
    return {label: state for label, state in front_states(costs, found.better).items() if label in found.sets}


# The costs that a configuration is judged by, one front each.
COSTS = ("peak_memory_bytes", "step_seconds", "deployed_latency", "stored_bytes")


@dataclass(frozen=True)
class Placed:
    """A configuration in all panels: its mean score as it is held, its costs, for which of them it is on the front of
    the means, and what the data say of that by cost; nothing where nothing is tested."""

    label: str
    family: str
    score: float
    costs: dict[str, float]
    on_front: frozenset[str]
    states: dict[str, State]


@dataclass(frozen=True)
class Front:
    """Configurations of one cost group, over those of its `tasks` whose scores may be averaged, by the `costs` that
    were measured of any. `ranks` is what is shown of their scores; None where nothing is tested."""

    group: CostGroup
    tasks: tuple[str, ...]
    scale: Scale
    placed: tuple[Placed, ...]
    ranks: RankSets | None = None
    costs: tuple[str, ...] = COSTS


def fronts(results: Results, groups: list[CostGroup], ranks: Ranks) -> list[Front]:
    """One per group in which at least two configurations have score and costs."""
    made = []
    for group in groups:
        tasks = results.averaged(group.tasks)
        known = tuple(cost for cost in COSTS if group.means(cost))
        found = _scores_and_costs(results, group, tasks, known) if tasks else {}
        if len(found) < 2:
            continue
        on_front: dict[str, set[str]] = {label: set() for label in found}
        states: dict[str, dict[str, State]] = {label: {} for label in found}
        shown = ranks.of(group.backbone, tasks)
        for cost in known:
            front = pareto_front([costs[cost] for _, costs in found.values()], [score for score, _ in found.values()])
            for label, on in zip(found, front, strict=True):
                on_front[label] |= {cost} if on else set()
            for label, state in _states({label: _span(group, label, cost) for label in found}, shown).items():
                states[label][cost] = state
        placed = [
            Placed(label, results.family_of(label), score, costs, frozenset(on_front[label]), states[label])
            for label, (score, costs) in found.items()
        ]
        made.append(Front(group, tasks, results.scale(tasks[0]), tuple(placed), shown, known))
    return made


def _span(group: CostGroup, label: str, cost: str) -> Span:
    """What is counted differs between a configuration's cells by the tasks' heads alone."""
    mean = group.of(label, cost)[0].mean
    return Span(mean, mean) if QUANTITIES[cost].kind == "counted" else Span(*group.range(label, cost))


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

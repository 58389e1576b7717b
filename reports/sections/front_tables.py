"""What the data say of who is on which Pareto front: tables that two subjects share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from records.text import listing
from records.vocabulary import QUANTITIES
from reports.analysis.analysis import Analysis
from reports.analysis.front_states import STATES, State
from reports.analysis.fronts import COSTS
from reports.analysis.rank_sets import LEVEL
from reports.model.document import Column, Table, Text, keyed
from reports.model.prose import say
from reports.model.writing import population
from reports.results import Results
from reports.sections.rows import TASKS_IN_PROSE, Cell, by_family

# By task or cost, and then by label; nothing of what is not tested.
States = Mapping[str, Mapping[str, State]]


def by_task(analysis: Analysis) -> list[Table]:
    """Of trained parameters, a table per backbone; with many tasks, on how many of them each state holds."""
    made = []
    for backbone, points in analysis.tradeoff.items():
        states: dict[str, dict[str, State]] = {}
        for point in points:
            if point.state:
                states.setdefault(point.task, {})[point.label] = point.state
        if states:
            covers = listing(sorted({population(of.population) for of in analysis.rank_sets.by_task(backbone, states)}))
            made.append((backbone, states, say("trained parameters; {covers}", covers=covers)))
    return [
        _table(analysis.results, keyed("front-tasks", i, len(made)), *found, "task") for i, found in enumerate(made)
    ]


def by_cost(analysis: Analysis) -> list[Table]:
    """Of each measured cost, a table per backbone and protocol."""
    found = [front for front in analysis.fronts if front.ranks is not None]
    made = []
    for i, front in enumerate(found):
        states = {cost: {one.label: one.states[cost] for one in front.placed if cost in one.states} for cost in COSTS}
        assert front.ranks is not None
        what = say(
            "the cost of its column, scores on {tasks}; {covers}",
            tasks=listing(front.tasks),
            covers=population(front.ranks.population),
        )
        key = keyed("front-costs", i, len(found))
        made.append(_table(analysis.results, key, front.group.backbone, states, what, "cost"))
    return made


def _table(results: Results, key: str, backbone: str, states: States, what: Text, axis: str) -> Table:
    counted = axis == "task" and len(states) > TASKS_IN_PROSE

    def row(label: str) -> tuple[Cell, ...]:
        own = [of.get(label) for of in states.values()]
        return tuple(str(own.count(state)) for state in STATES) if counted else tuple(own)

    labels = [label for label in results.labels if any(label in of for of in states.values())]
    heads = [_head(name, axis) for name in (STATES if counted else states)]
    caption = say(
        "Who is on the Pareto front of mean test score and {what}. Dominated: another is shown to be better and costs"
        " no more; on the front: each of the others is shown to be worse or costs more; all of it at once with"
        " {level} % confidence. {counted}Backbone: {backbone}.",
        what=what,
        level=f"{100 * LEVEL:.0f}",
        counted="Numbers of tasks. " if counted else "",
        backbone=results.title("backbones", backbone),
    )
    data = pd.DataFrame(
        [_line(backbone, axis, of, label, state) for of, by in states.items() for label, state in by.items()]
    )
    columns = (Column("Method", "label"), *(Column(head, "number" if counted else "label") for head in heads))
    return Table(key, caption, columns, by_family(results, labels, row), data, wide=len(heads) > 2)


def _head(name: str, axis: str) -> str:
    return QUANTITIES[name].title if axis == "cost" else name


def _line(backbone: str, axis: str, of: str, label: str, state: State) -> dict[str, Any]:
    return {"backbone": backbone, axis: of, "label": label, "state": state}

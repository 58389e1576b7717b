"""Which method for which constraint: what meets it here, and which of those scores best on validation data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from reports.frame import Results, select, summary_of
from reports.scales import Scale
from reports.statistics import summarise
from reports.structure import Column, Number, Row, Table, Text
from reports.tables import CostGroup, cost_groups, keyed


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


def decisions(results: Results) -> list[Table]:
    """A table per backbone and protocol."""
    groups = [
        group
        for group in cost_groups(results)
        if len(group.cells["label"].unique()) > 1 and results.averaged(group.tasks)
    ]
    return [_table(results, group, keyed("choices", i, len(groups))) for i, group in enumerate(groups)]


def _table(results: Results, group: CostGroup, key: str) -> Table:
    found, judged = candidates(results, group), results.averaged(group.tasks)
    scale = results.scale(judged[0])
    full = next((c.figures for c in found if results.method_of(c.label) == "full"), {})
    rows, data = [], []
    for constraint in CONSTRAINTS:
        able = sorted((c for c in found if constraint.meets(c, full)), key=lambda c: -c.validation)
        first = able[0] if able else None
        second = able[1] if len(able) > 1 else None
        rows.append(
            Row((
                constraint.name, str(len(able)), first.label if first else "none",
                _number(first, scale), second.label if second else None, _number(second, scale),
            ))
        )  # fmt: skip
        for place, c in enumerate((first, second), 1):
            if c is not None:
                data.append({"backbone": group.backbone, "constraint": constraint.name, "place": place,
                             "label": c.label, "meeting": len(able), "validation": scale.raw(c.validation),
                             "test": scale.raw(c.test),
                             "cells": " ".join(c.ids)})  # fmt: skip
    columns = (
        Column("Constraint", "text", share=0.34),
        Column("met by"),
        Column("method", "label", group="First on validation"),
        Column("test", group="First on validation"),
        Column("method", "label", group="Second"),
        Column("test", group="Second"),
    )
    tasks = f"on {judged[0]}" if len(judged) == 1 else f"over {len(judged)} tasks"
    unit = " in points" if scale.in_points else f" ({scale.named(results.metric(judged[0]))})"
    caption: Text = (
        f"Which configuration for which constraint, on {results.title('backbones', group.backbone)}: how many meet it,"
        f" and the two of them with the {results.highest} mean validation score {tasks}, with their mean test score"
        f"{unit}. Choosing on validation keeps the test score free of the choice; that the first differs from the"
        f" second is not shown by it.{results.left_out(group.tasks)}",
    )
    return Table(key, caption, columns, tuple(rows), pd.DataFrame(data), wide=True)


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


def _number(candidate: Candidate | None, scale: Scale) -> Number | None:
    if candidate is None:
        return None
    return Number(scale.text(candidate.test), scale.raw(candidate.test), cells=candidate.ids)

"""What tuning for a task did to a language model's loss on general text, where a suite asks for it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.forgetting import Forgetting
from reports.model.document import Block, Code, Column, Part, Ref, Section, Table, Text, keyed
from reports.model.prose import Prose, say
from reports.model.writing import decimal, number, numeral
from reports.results import Results
from reports.scales import Unit
from reports.sections.rows import Cell, by_family, paragraphs, several

PLACE = "results"
ORDER = 70

UNIT = Unit("nats per byte", 1, 3)


def part(analysis: Analysis, prose: Prose) -> Part:
    """A paragraph and a table per backbone."""
    return Part(Section("forgetting", "What was forgotten", tuple(blocks(analysis))))


def blocks(analysis: Analysis) -> list[Block]:
    """The mean change of the loss, a row per method, a column per task."""
    made: list[Block] = []
    for i, found in enumerate(analysis.forgetting):
        table = _table(analysis.results, found, keyed("forgetting", i, len(analysis.forgetting)))
        made += [*paragraphs([sentences(analysis.results, found, table)]), table]
    return made


def sentences(results: Results, found: Forgetting, table: Table) -> list[Text]:
    """The loss of the bare backbone, and who raised it most."""
    before = say(
        "{backbone} reads general text (the task {task}) at a loss of {loss} nats per byte.",
        backbone=results.title("backbones", found.backbone),
        task=Code(found.general),
        loss=decimal(found.before, 3),
    )
    (label, task), most = list(found.changes.items())[-1]
    rose = say(
        "The mean loss rose in {worse} of {all} pairs of method and task{most}{label} on {task} ({change}).",
        worse=numeral(sum(change > 0 for change in found.changes.values())),
        all=numeral(len(found.changes)),
        most=", most with " if most > 0 else "; it came nearest to that with ",
        label=Code(label),
        task=Code(task),
        change=decimal(most, 3, signed=True),
    )
    text = (
        "The text is the same for all cells; how far seeds differ is the spread in the table, and other text might give"
        " another order."
    )
    return [before, say("What tuning changed of that is in {table}.", table=Ref(table.label)), rose, say(text)]


def _table(results: Results, found: Forgetting, key: str) -> Table:
    data: list[dict[str, Any]] = []

    def row(label: str) -> tuple[Cell, ...]:
        cells = []
        for task in found.tasks:
            summary, ids = found.measured.of("forgotten", found.backbone, task, label)
            cells.append(number(summary, UNIT, ids, found.seeds))
            line = {"backbone": found.backbone, "label": label, "task": task, "unit": UNIT.name}
            data.append(line | summary._asdict() | {"cells": " ".join(ids)})
        return tuple(cells)

    rows = by_family(results, found.labels, row)
    columns = (Column("Method", "label"), *(Column(task) for task in found.tasks))
    return Table(key, _caption(results, found), columns, rows, pd.DataFrame(data), wide=len(found.tasks) > 2)


def _caption(results: Results, found: Forgetting) -> Text:
    return say(
        "Change of the loss on general text in {unit}, after tuning for the task at the column's head less that of the"
        " bare backbone; mean ± sample standard deviation over {seeds}; backbone {backbone}. Above zero, something was"
        " forgotten.",
        unit=UNIT.name,
        seeds=several(found.seeds, "seed"),
        backbone=results.title("backbones", found.backbone),
    )

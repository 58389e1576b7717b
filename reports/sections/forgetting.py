"""What tuning for a task did to a language model's loss on general text, where a suite asks for it."""

from __future__ import annotations

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.forgetting import Forgetting
from reports.model.document import Block, Code, Column, Inline, Paragraph, Part, Ref, Section, Table, keyed
from reports.model.prose import Prose
from reports.model.writing import Unit, number, numeral
from reports.results import Results
from reports.sections.tables import by_family

PLACE = "results"
ORDER = 70
UNIT = Unit("nats per byte", 1, 3)


def part(analysis: Analysis, prose: Prose) -> Part:
    return Part(Section("forgetting", "What was forgotten", tuple(blocks(analysis))))


def blocks(analysis: Analysis) -> list[Block]:
    """A paragraph, and a table per backbone: the mean change of the loss, a row per method, a column per task."""
    made: list[Block] = []
    for i, found in enumerate(analysis.forgetting):
        table = _table(analysis.results, found, keyed("forgetting", i, len(analysis.forgetting)))
        made += [_said(analysis.results, found, table), table]
    return made


def _said(results: Results, found: Forgetting, table: Table) -> Paragraph:
    text: list[Inline] = [
        f"{results.title('backbones', found.backbone)} reads general text (the task ", Code(found.general),
        f") at a loss of {found.before:.3f} nats per byte. What tuning changed of that is in ", Ref(table.label), ". ",
    ]  # fmt: skip
    worse = sum(change > 0 for change in found.changes.values())
    (label, task), most = list(found.changes.items())[-1]
    text += [
        f"The mean loss rose in {numeral(worse)} of {numeral(len(found.changes))} pairs of method and task"
        + (", most with " if most > 0 else "; it came nearest to that with "), Code(label), " on ", Code(task),
        f" ({most:+.3f}). ".replace("-", "−"),
        "The text is the same for all cells; how far seeds differ is the spread in the table, and other text might give"
        " another order.",
    ]  # fmt: skip
    return Paragraph(tuple(text))


def _table(results: Results, found: Forgetting, key: str) -> Table:
    backbone, tasks, labels, usual = found.backbone, found.tasks, found.labels, found.seeds
    data: list[dict] = []

    def row(label: str) -> tuple:
        cells = []
        for task in tasks:
            summary, ids = found.measured.of("forgotten", backbone, task, label)
            cells.append(number(summary, UNIT, ids, usual))
            data.append({"backbone": backbone, "label": label, "task": task, "unit": UNIT.name, "mean": summary.mean,
                         "sd": summary.sd, "n": summary.n, "cells": " ".join(ids)})  # fmt: skip
        return tuple(cells)

    rows = by_family(results, labels, row)
    caption = (
        f"Change of the loss on general text in {UNIT.name}, after tuning for the task at the column's head less that"
        f" of the bare backbone; mean ± sample standard deviation over {usual} seed{'s' if usual > 1 else ''}; backbone"
        f" {results.title('backbones', backbone)}. Above zero, something was forgotten."
    )
    columns = (Column("Method", "label"), *(Column(task) for task in tasks))
    return Table(key, (caption,), columns, rows, pd.DataFrame(data), wide=len(tasks) > 2)

"""What tuning for a task did to a language model's loss on general text, where a suite asks for it."""

from __future__ import annotations

import pandas as pd

from reports.frame import Results, select, summary_of
from reports.quantities import Unit, number, numeral
from reports.structure import Block, Code, Column, Inline, Paragraph, Ref, Table
from reports.tables import by_family, keyed

UNIT = Unit("nats per byte", 1, 3)


def blocks(results: Results) -> list[Block]:
    """A paragraph, and a table per backbone: the mean change of the loss, a row per method, a column per task."""
    measured = results.cells[results.cells["forgotten"].notna()]
    if measured.empty:
        return []
    shown = [backbone for backbone in results.backbones if backbone in set(measured["backbone"])]
    made: list[Block] = []
    for i, backbone in enumerate(shown):
        cells = select(measured, backbone=backbone)
        table = _table(results, cells, backbone, keyed("forgetting", i, len(shown)))
        made += [_said(results, cells, backbone, table), table]
    return made


def _said(results: Results, cells: pd.DataFrame, backbone: str, table: Table) -> Paragraph:
    before, general = float(cells["general_loss"].mean()), str(results.suite.get("forgetting"))
    text: list[Inline] = [
        f"{results.title('backbones', backbone)} reads general text (the task ", Code(general),
        f") at a loss of {before:.3f} nats per byte. What tuning changed of that is in ", Ref(table.label), ". ",
    ]  # fmt: skip
    change = cells.groupby(["label", "task"])["forgotten"].mean().sort_values()
    worse = int((change > 0).sum())
    (label, task), most = change.index[-1], float(change.iloc[-1])
    text += [
        f"The mean loss rose in {numeral(worse)} of {numeral(len(change))} pairs of method and task"
        + (", most with " if most > 0 else "; it came nearest to that with "), Code(label), " on ", Code(task),
        f" ({most:+.3f}). ".replace("-", "−"),
        "The text is the same for all cells; how far seeds differ is the spread in the table, and other text might give"
        " another order.",
    ]  # fmt: skip
    return Paragraph(tuple(text))


def _table(results: Results, cells: pd.DataFrame, backbone: str, key: str) -> Table:
    tasks = [task for task in results.tasks if task in set(cells["task"])]
    labels = [label for label in results.labels if label in set(cells["label"])]
    usual = int(cells.groupby(["label", "task"]).size().max())
    data: list[dict] = []

    def row(label: str) -> tuple:
        found = []
        for task in tasks:
            summary, ids = summary_of(select(cells, label=label, task=task), "forgotten")
            found.append(number(summary, UNIT, ids, usual))
            data.append({"backbone": backbone, "label": label, "task": task, "unit": UNIT.name, "mean": summary.mean,
                         "sd": summary.sd, "n": summary.n, "cells": " ".join(ids)})  # fmt: skip
        return tuple(found)

    rows = by_family(results, labels, row)
    caption = (
        f"Change of the loss on general text in {UNIT.name}, after tuning for the task at the column's head less that"
        f" of the bare backbone; mean ± sample standard deviation over {usual} seed{'s' if usual > 1 else ''}; backbone"
        f" {results.title('backbones', backbone)}. Above zero, something was forgotten."
    )
    columns = (Column("Method", "label"), *(Column(task) for task in tasks))
    return Table(key, (caption,), columns, rows, pd.DataFrame(data), wide=len(tasks) > 2)

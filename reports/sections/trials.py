"""All trials of a search, for whoever wants to look at them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.tuning import Tuned
from reports.model.document import Column, Number, Part, Row, Section, Table
from reports.model.prose import Prose, say
from reports.model.writing import decimal, learning_rate, score
from reports.results import Results
from reports.sections.rows import Cell

PLACE = "appendix"
ORDER = 25


def part(analysis: Analysis, prose: Prose) -> Part:
    """Of all configurations; nothing where nothing was searched."""
    whole = analysis.everything
    return (
        Part(Section("trials", "Trials of the Search", (table(whole.results, whole.tuned),))) if whole.tuned else Part()
    )


def table(results: Results, found: list[Tuned]) -> Table:
    """A row per trial, the lowest value first."""
    several = len({(each.search.backbone, each.search.task) for each in found}) > 1
    rows: list[Row] = []
    data: list[dict[str, Any]] = []
    for each in found:
        name, scale = each.search.space[0].name, results.scale(each.search.task)
        for position, trial in enumerate(sorted(each.search.trials, key=lambda trial: trial.values[name])):
            end = 1.0 if trial.at(1.0).done else each.search.stopped(trial)
            reached, value, chosen = trial.at(end), trial.values[name], trial == each.chosen
            got = None if reached.score is None else scale.raw(reached.score)
            cells: tuple[Cell, ...] = (
                each.search.label,
                *([each.search.task] if several else []),
                Number(learning_rate(value), value, cells=reached.cells),
                Number(f"{decimal(100 * end, 0)}\u00a0%", end, cells=reached.cells),
                None if got is None else Number(score(got, scale), got, cells=reached.cells),
                "chosen" if chosen else "no score" if got is None else "",
            )
            rows.append(Row(cells, gap=position == 0 and bool(rows)))
            place = {"backbone": each.search.backbone, "task": each.search.task, "label": each.search.label}
            told = {"share": end, "validation": reached.score, "chosen": chosen, "reason": reached.reason}
            data.append(place | trial.values | told | {"cells": " ".join(reached.cells)})
    columns = (
        Column("Method", "label"),
        *([Column("Task", "label")] if several else []),
        Column(found[0].search.space[0].name),
        Column("trained"),
        Column("validation"),
        Column("", "label"),
    )
    caption = say(
        "All trials of the search: the value that was tried, the share of the steps to which it was trained, and the"
        " validation score there."
    )
    return Table("trials", caption, columns, tuple(rows), pd.DataFrame(data))

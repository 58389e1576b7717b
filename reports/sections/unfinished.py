"""The cells that left no result: part of the result."""

from __future__ import annotations

import pandas as pd

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.model.document import Block, Column, Paragraph, Part, Row, Section, Table, Text
from reports.model.prose import Prose, join, say
from reports.model.writing import plural, shorten
from reports.results import NOT_RUN, SCORED, Results

PLACE = "results"
ORDER = 95
# Of which the reader may not know that a cell can end in it.
_RARE = {
    "undefined": "undefined (the primary metric has no finite value)",
    "broken": "broken (the record cannot be read)",
}


def part(analysis: Analysis, prose: Prose) -> Part:
    """Nothing where every cell has a score and a profile."""
    return Part(Section("unfinished", "What is missing", tuple(blocks(analysis))))


def blocks(analysis: Analysis) -> list[Block]:
    """How many cells have no score, and which and why."""
    said = told(analysis.results)
    return [*([Paragraph(join(said))] if said else []), *tables(analysis.results)]


def told(results: Results) -> list[Text]:
    """How many cells have no score, by status."""
    missing = results.cells[~results.cells["status"].isin(SCORED)]["status"].value_counts()
    waiting = int((results.cells["status"] == "trained").sum()) if results.profiles else 0
    said = left_out(results)
    if len(missing):
        said += [
            say(
                "{missing} of {all} cells have no score: {statuses} ([tab:unfinished]).",
                missing=str(missing.sum()),
                all=str(len(results.cells)),
                statuses=listing([f"{n} {status}" for status, n in missing.items()]),
            ),
            say("Means over the seeds that remain may be biased: a run does not fail at random."),
        ]
    if fitted := [record for record in results.records.values() if record.micro_batch]:
        smallest = min(record.micro_batch or 0 for record in fitted)
        said.append(
            say(
                "Of {cells} the batches did not fit into memory at once, and passed the model in parts, of {smallest}"
                " examples at least: same batches, same number of steps.",
                cells="one cell" if len(fitted) == 1 else f"{len(fitted)} cells",
                smallest=str(smallest),
            )
        )
    if waiting:
        cells = f"{waiting} cells have" if waiting > 1 else f"{waiting} cell has"
        said.append(say("{cells} a score but no cost profile yet.", cells=cells))
    return said


def left_out(results: Results) -> list[Text]:
    """What the suite names and could not run at all."""
    lost = results.manifest.left_out
    if not lost:
        return []
    return [
        say(
            "The last run could not load {count} that the suite names, and ran none of {their} cells: {which}.",
            count=plural(len(lost), "method or task", "methods and tasks"),
            their="its" if len(lost) == 1 else "their",
            which="; ".join(map(shorten, lost)),
        )
    ]


def tables(results: Results) -> list[Table]:
    """The cells without a score, with their reasons; cells that share a reason share a row."""
    cells = results.cells[~results.cells["status"].isin(SCORED)]
    if cells.empty:
        return []
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for cell_id in map(str, cells.index):
        cell = results.manifest.cells[cell_id]
        status, reason = str(cells.loc[cell_id, "status"]), cells.loc[cell_id, "reason"]
        reason = reason if isinstance(reason, str) else ""
        groups.setdefault((cell.label, cell.task, status, reason), []).append(cell_id)
    lines = [_line(results, *group, ids) for group, ids in groups.items()]
    columns = (
        Column("Method", "label"),
        Column("Task", "label"),
        Column("Seeds", "text", share=0.1),
        Column("Status", "label"),
        Column("Reason", "text", share=0.5),
    )
    rare = [words for status, words in _RARE.items() if (cells["status"] == status).any()]
    caption = say(
        "The {missing} of {all} cells without a score: failed, not applicable (n/a) or not run{rare}. They are part of"
        " the result and are left out of every mean.",
        missing=str(len(cells)),
        all=str(len(results.cells)),
        rare="".join(f", or {words}" for words in rare),
    )
    rows = tuple(_row(line) for line in lines)
    return [Table("unfinished", caption, columns, rows, pd.DataFrame(lines), wide=True, spare=75)]


def _line(results: Results, label: str, task: str, status: str, reason: str, ids: list[str]) -> dict[str, str]:
    cells = [results.manifest.cells[cell_id] for cell_id in ids]
    return {
        "label": label,
        "task": task,
        "backbones": " ".join(sorted({cell.backbone for cell in cells})),
        "seeds": ", ".join(map(str, sorted({cell.seed for cell in cells}))),
        "status": status,
        "reason": reason,
        "cells": " ".join(ids),
    }


def _row(line: dict[str, str]) -> Row:
    unsaid = "the run did not reach this cell" if line["status"] == NOT_RUN else "no reason recorded"
    return Row((line["label"], line["task"], line["seeds"], line["status"], shorten(line["reason"] or unsaid)))

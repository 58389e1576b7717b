"""PSCP: score and costs in one figure, as another benchmark has it, and how much of it is the score."""

from __future__ import annotations

from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.penalties import HALVES, Penalised, Penalties
from reports.analysis.statistics import summarise
from reports.model.document import Column, Number, Part, Section, Table, Text, keyed
from reports.model.prose import Prose, join, say
from reports.model.writing import decimal, points, span
from reports.results import Results
from reports.sections.rows import Cell, by_family, data_line, paragraphs

PLACE = "appendix"
ORDER = 23

_COSTS = {"parameters": "trained parameters", "flops": "inference", "memory": "memory of training"}


def part(analysis: Analysis, prose: Prose) -> Part:
    """Of all configurations."""
    whole = analysis.everything
    found = whole.penalties
    if not found:
        return Part()
    said = [_sentences(whole.results, of) for of in found]
    made = [_table(whole.results, of, keyed("pscp", i, len(found))) for i, of in enumerate(found)]
    return Part(Section("pscp", "Score and Costs in One Figure", (*paragraphs(said), *made)))


def _sentences(results: Results, of: Penalties) -> list[Text]:
    """What it weighs, and that its constants decide."""
    moved = of.moved
    what = (
        "PSCP [@belanec2025peftbench] multiplies a score by $(1 + M/C)^{-1}$ for each of three costs $M$: a half at 500"
        " million trained parameters, 10 TFLOP that a text takes beyond the backbone's, 94 GB of memory of training."
    )
    weighs = (
        "On {backbone} the penalties leave {range} of the score, {strongest} making most of the difference, and"
        " {moved}: how much a cost counts is chosen with these constants, which are those of one large GPU, and no"
        " uncertainty of the score is in it."
    )
    changed = f"{listing(moved)} change their ranks" if moved else "the ranks are those by score alone"
    return [
        say(what),
        say(
            weighs,
            backbone=results.title("backbones", of.group.backbone),
            range=f"{span([100 * row.penalty for row in of.rows], 1)}\u00a0%",
            strongest=_COSTS[of.strongest],
            moved=changed,
        ),
    ]


def _table(results: Results, of: Penalties, key: str) -> Table:
    known = {row.label: row for row in of.rows}

    def row(label: str) -> tuple[Cell, ...]:
        found = known[label]
        return (
            Number(points(found.score), found.score, cells=found.cells),
            *(Number(decimal(found.penalties[name], 3), found.penalties[name], cells=found.cells) for name in HALVES),
            Number(points(found.pscp), found.pscp, cells=found.cells),
        )

    columns = (
        Column("Method", "label"),
        Column("score"),
        *(Column(_COSTS[name], group="Penalty for") for name in HALVES),
        Column("PSCP"),
    )
    caption = join(
        [
            say(
                "PSCP on {backbone} ({tasks}): the mean test score, in points, times three penalties.",
                backbone=results.title("backbones", of.group.backbone),
                tasks=listing(of.tasks),
            ),
            say("A method that merges takes nothing beyond the backbone at inference."),
        ]
    )
    data = pd.DataFrame([line for each in of.rows for line in _lines(of, each)])
    return Table(key, caption, columns, by_family(results, list(known), row), data)


def _lines(of: Penalties, row: Penalised) -> list[dict[str, Any]]:
    place = (of.group.backbone, row.label, ", ".join(of.tasks))
    penalties = {f"penalty for {_COSTS[name]}": value for name, value in row.penalties.items()}
    figures = {"score": row.score, **penalties, "PSCP": row.pscp}
    return [data_line(*place, name, "", summarise([value]), row.cells) for name, value in figures.items()]

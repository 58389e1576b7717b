"""What the suite varies, and what a poor learning rate costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.sensitivity import Sensitivity
from reports.analysis.sweeps import Sweep
from reports.drawing import sweeps as drawing
from reports.model.document import Column, Figure, Number, Part, Row, Section, Slide, Table, Text
from reports.model.prose import Prose, join, say
from reports.model.writing import count, named_scores, numeral, plural, spread
from reports.results import Results
from reports.sections.rows import shown

PLACE = "results"
ORDER = 80

# How long each of them stays in the main part.
_RANKS = {"learning-rate": 60, "train-size": 58, "backbone-size": 56}
_VARIED = {
    "learning-rate": ("validation score", "peak learning rate"),
    "train-size": ("test score", "number of training examples"),
    "backbone-size": ("test score", "size of the backbone"),
}
RANK_OF_TABLE = 30


def part(analysis: Analysis, prose: Prose) -> Part:
    """A figure for each thing that varies, and a table of learning rates where they do."""
    found = analysis.sweeps
    if not found:
        return Part()
    drawn = [replace(drawing.figure(sweep), spare=_RANKS[sweep.varied]) for sweep in found]
    blocks: list[Table | Figure] = [*drawn, *tables(analysis)]
    said = [[say("Some configurations differ in one thing alone.")], sentences(analysis)]
    backup = [
        Slide("What the suite varies", (_drawn(sweep),), one, 50) for sweep, one in zip(found, drawn, strict=True)
    ]
    return Part(Section("sweeps", "What the suite varies", shown(said, blocks)), (), tuple(backup))


def _drawn(sweep: Sweep) -> Text:
    measure, about = _VARIED[sweep.varied]
    return say(
        "Mean {measure} against the {about} (log scale), all else equal; bars: ± one sample standard deviation over"
        " seeds.",
        measure=measure,
        about=about,
    )


def sentences(analysis: Analysis) -> list[Text]:
    """What a table of learning rates says, and what it does not; nothing where they do not vary."""
    found = analysis.sensitivities
    if not found:
        return []
    tried = (
        "What a poor choice of the learning rate costs is the drop from the best mean validation score to that at the"
        " worst rate tried, and at the worse of the two beside the best."
    )
    grid = (
        "The grid decides the drop: a wider one finds worse rates, and a method looks the less sensitive the closer its"
        " rates were chosen [@dodge2019work]."
    )
    best = (
        "The best of several means is the luckier one, too: a drop below the standard deviation over seeds says nothing"
        " of the rate."
    )
    within = sum(each.within_noise for each in found)
    counted = say(
        "Of {all}, the drop beside the best is less than that in {within}.",
        all=plural(len(found), "search", "searches"),
        within=numeral(within) if within else "none",
    )
    seeded = any(each.seed_sd is not None for each in found)
    return [say(tried), say(grid), *([say(best), counted] if seeded else [])]


def tables(analysis: Analysis) -> list[Table]:
    """A row per method and task, a method's configurations apart; nothing where no learning rate varies."""
    found = analysis.sensitivities
    if not found:
        return []
    results = analysis.results
    columns = (
        Column("Method", "label"),
        Column("Task", "label"),
        Column("rates"),
        Column("best", group="Learning rate"),
        Column("beside", group="Drop"),
        Column("worst", group="Drop"),
        Column("sd over seeds"),
        Column("seeds"),
    )
    rows = _rows(results, found)
    data = pd.DataFrame([_line(results, each) for each in found])
    tasks = list(dict.fromkeys(each.task for each in found))
    caption = _caption(results, tasks)
    return [Table("sensitivity", caption, columns, rows, data, wide=True, spare=RANK_OF_TABLE)]


def _rows(results: Results, found: Sequence[Sensitivity]) -> tuple[Row, ...]:
    """Where a method was searched several times on a task, the best label tells its searches apart."""
    alike = Counter((each.backbone, each.task, each.method) for each in found)
    several = len({each.backbone for each in found}) > 1
    rows: list[Row] = []
    before = None
    for each in found:
        name = each.method if alike[each.backbone, each.task, each.method] == 1 else each.label
        name = f"{name} ({each.backbone})" if several else name
        unit = results.scale(each.task).unit
        values = (each.neighbour_drop, each.lr_drop, each.seed_sd)
        written = [None if value is None else Number(spread(value, unit), value, cells=each.cells) for value in values]
        best = Number(_rate(each.best), each.best, cells=each.cells)
        where = (each.backbone, each.task)
        cells = (name, each.task, count(len(each.rates)), best, *written, count(each.seeds))
        rows.append(Row(cells, gap=before not in (None, where)))
        before = where
    return tuple(rows)


def _rate(rate: float) -> str:
    """As people write learning rates: "5e-4", "0.01"."""
    return f"{rate:g}" if rate >= 0.01 else np.format_float_scientific(rate, precision=2, trim="-", exp_digits=1)


def _line(results: Results, each: Sensitivity) -> dict[str, Any]:
    return asdict(each) | {
        "rates": " ".join(f"{rate:g}" for rate in each.rates),
        "metric": results.metric(each.task),
        "cells": " ".join(each.cells),
    }


def _caption(results: Results, tasks: Sequence[str]) -> Text:
    what = say(
        "What a poor learning rate costs: of configurations that differ in it alone, how many rates were tried, the one"
        " with the best mean validation score, and how far below that lie the worse of the rates beside it and the"
        " worst of all ({scores}).",
        scores=named_scores(results, list(tasks)).replace("primary metric", "validation score"),
    )
    spread_ = "The standard deviation over seeds is pooled over the rates."
    return join([what, say(spread_)])

"""Between which ranks each configuration lies, as far as the data say it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.joint import MIN_EXAMPLES
from reports.analysis.rank_sets import RankSets
from reports.analysis.statistics import MIN_PAIRS
from reports.drawing import rank_sets as drawing
from reports.model.document import Code, Column, Figure, Number, Part, Section, Slide, Table, Text, keyed, ranked
from reports.model.prose import Prose, each, join, say
from reports.model.writing import left_out, named_metric, ordinals, population, score, span
from reports.sections.rows import NAMED_IN_PROSE, TASKS_IN_PROSE, Cell, by_family, shown

PLACE = "results"
ORDER = 24

RANK = 60
TITLE = "Ranks, and how sure they are"


def part(analysis: Analysis, prose: Prose) -> Part:
    """A figure and a table per backbone; a sentence where there can be none."""
    found = analysis.ranked
    if not found:
        several = len(analysis.results.labels) > 1
        return Part(Section("rank-sets", TITLE, shown([[_none()]] if several else [], [])))
    figures = ranked(drawing.figures(analysis), RANK)
    blocks: list[Table | Figure] = [*figures, *ranked(tables(analysis), RANK - 5)]
    said = [[*sentences(analysis, of), _meaning(of)] for of in found]
    slides = [
        Slide(TITLE, tuple(sentences(analysis, of)[:2]), figure, 48)
        for of, figure in zip(found[:1], figures[:1], strict=True)
    ]
    return Part(Section("rank-sets", TITLE, shown(said, blocks)), tuple(slides))


def sentences(analysis: Analysis, found: RankSets) -> list[Text]:
    """Who comes first, who may, and how much is told apart."""
    results, sets = analysis.results, found.sets
    first = min(sets, key=lambda label: sets[label].rank)
    pairs = len(sets) * (len(sets) - 1) // 2
    lead = say(
        "By mean test score {over}, {first} comes first of {all} configurations on {backbone}, {sure}.",
        over=_over(found.tasks),
        first=Code(first),
        all=len(sets),
        backbone=results.title("backbones", found.backbone),
        sure=f"ranked {ordinals(1, high)}" if (high := sets[first].high) > 1 else "and no other may",
    )
    others = [label for label in sets if sets[label].low == 1 and label != first]
    return [
        lead,
        *([_may_be_best(others)] if others else []),
        say("Of {pairs} pairs {told} are told apart.", pairs=pairs, told=len(found.better)),
        *_absent(found),
    ]


def _may_be_best(others: list[str]) -> Text:
    if len(others) > NAMED_IN_PROSE:
        return say("Of {n} others it is not excluded that they are the best.", n=len(others))
    whom = "it is" if len(others) == 1 else "they are"
    return say("Of {labels} it is not excluded that {whom} the best.", labels=each(map(Code, others)), whom=whom)


def _absent(found: RankSets) -> list[Text]:
    if not found.absent:
        return []
    needed = "seeds enough" if found.population == "seeds" else "outcomes of these examples"
    return [
        say(
            "Without {needed}{everywhere}, {labels} {take} no part.",
            needed=needed,
            everywhere="" if len(found.tasks) == 1 else " on every task",
            labels=each(map(Code, found.absent)),
            take="take" if len(found.absent) > 1 else "takes",
        )
    ]


def _meaning(found: RankSets) -> Text:
    return say(
        "All ranges hold at once with {level} % confidence, for {population}: a configuration comes after all that are"
        " shown to be better and before all that are shown to be worse [@mogstad2024ranks].",
        level=f"{100 * found.level:.0f}",
        population=population(found.population),
    )


def _none() -> Text:
    return say(
        "Ranks have no confidence sets here: that takes, of two configurations on every task, the outcomes of"
        " {examples} test examples, or {seeds} seeds. Which come before which is therefore not said.",
        examples=MIN_EXAMPLES,
        seeds=MIN_PAIRS,
    )


def _over(tasks: tuple[str, ...]) -> str:
    if len(tasks) == 1:
        return f"on {tasks[0]}"
    return f"over {len(tasks)} tasks" if len(tasks) > TASKS_IN_PROSE else f"over {listing(tasks)}"


def tables(analysis: Analysis) -> list[Table]:
    """A row per configuration that takes part; the CSV file has every task beside the mean over them."""
    found = analysis.ranked
    return [_table(analysis, of, keyed("rank-sets", i, len(found))) for i, of in enumerate(found)]


def _table(analysis: Analysis, found: RankSets, key: str) -> Table:
    results, scale = analysis.results, analysis.results.scale(found.tasks[0])

    def row(label: str) -> tuple[Cell, ...]:
        of, ids = found.sets[label], _cells(analysis, found, label)
        return (
            Number(score(of.mean, scale), scale.raw(of.mean), cells=ids),
            Number(str(of.rank), of.rank, cells=ids),
            Number(span((of.low, of.high), 0), of.low, cells=ids),
        )

    columns = (Column("Method", "label"), Column("mean"), Column("rank"), Column("between"))
    by_task = analysis.rank_sets.by_task(found.backbone, found.tasks) if len(found.tasks) > 1 else []
    data = pd.DataFrame([_line(analysis, of, label) for of in [found, *by_task] for label in of.sets])
    return Table(key, _caption(analysis, found), columns, by_family(results, found.sets, row), data)


def _cells(analysis: Analysis, found: RankSets, label: str) -> tuple[str, ...]:
    by_task = [analysis.scored.of("score", found.backbone, task, label) for task in found.tasks]
    return tuple(cell for _, ids in by_task for cell in ids)


def _line(analysis: Analysis, found: RankSets, label: str) -> dict[str, Any]:
    of, ids = found.sets[label], _cells(analysis, found, label)
    return {
        "backbone": found.backbone,
        "label": label,
        "tasks": " ".join(found.tasks),
        "mean": analysis.results.scale(found.tasks[0]).raw(of.mean),
        "rank": of.rank,
        "low": of.low,
        "high": of.high,
        "of": len(found.sets),
        "level": found.level,
        "population": found.population,
        "cells": " ".join(ids),
    }


def _caption(analysis: Analysis, found: RankSets) -> Text:
    results, scale = analysis.results, analysis.results.scale(found.tasks[0])
    what = say(
        "Mean test score {over} ({unit}), its rank (1 is best), and the ranks between which it lies with {level} %"
        " confidence, all rows at once, for {population}; backbone {backbone}.",
        over=_over(found.tasks),
        unit="points" if scale.in_points else named_metric(results.metric(found.tasks[0]), scale),
        level=f"{100 * found.level:.0f}",
        population=population(found.population),
        backbone=results.title("backbones", found.backbone),
    )
    return join([what, say("{left_out}", left_out=left_out(results, results.tasks).strip())])

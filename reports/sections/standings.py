"""Configurations over several tasks: interquartile means, average ranks, and what a test can tell apart."""

from __future__ import annotations

from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.ranks import MIN_TASKS, Interval, Standing
from reports.analysis.statistics import ALPHA, MIN_PAIRS
from reports.drawing import standings as drawing
from reports.model.document import Code, Column, Figure, Number, Part, Section, Table, Text, keyed, ranked
from reports.model.prose import Prose, each, join, say
from reports.model.writing import decimal, left_out, named_metric, p_equals, score
from reports.results import Results
from reports.scales import Scale
from reports.sections.rows import TASKS_IN_PROSE, Cell, by_family, shown

PLACE = "results"
ORDER = 25

RANK = 30


def part(analysis: Analysis, prose: Prose) -> Part:
    """A table per backbone, and a diagram where there are tasks enough for a test."""
    said = [sentences(analysis, standing) for standing in analysis.standings]
    blocks: list[Table | Figure] = [*ranked(tables(analysis), RANK), *ranked(drawing.figures(analysis), RANK)]
    return Part(Section("standings", "Across tasks", shown([*said, _scope(analysis)], blocks)))


def sentences(analysis: Analysis, standing: Standing) -> list[Text]:
    """Who is first by either measure, and what is tested."""
    results = analysis.results
    over = f"{len(standing.tasks)} tasks" if len(standing.tasks) > TASKS_IN_PROSE else listing(standing.tasks)
    of = say(
        "Over {tasks}, the interquartile mean on {backbone} is the mean of the middle half of a configuration's scores"
        " [@agarwal2021rliable]: it is {highest} for {best}.",
        tasks=over,
        backbone=results.title("backbones", standing.backbone),
        highest=results.highest,
        best=Code(standing.highest),
    )
    first = next(iter(standing.ranking.ranks))
    rank = say(
        "Ranked by mean on each task, {first} comes first on average ({rank}).",
        first=Code(first),
        rank=decimal(standing.ranking.ranks[first], 2),
    )
    return [of, rank, _tested(standing), *_incomplete(standing)]


def _tested(standing: Standing) -> Text:
    ranking = standing.ranking
    if ranking.critical_difference is None:
        return say(
            "A test over tasks needs {least} of them and three configurations at the least, so that none is made.",
            least=MIN_TASKS,
        )
    if ranking.friedman_p is None or ranking.friedman_p >= ALPHA:
        return say(
            "Friedman's test shows no difference between the ranks{p}, and the diagram's bars say no more than that.",
            p="" if ranking.friedman_p is None else f" ({p_equals(ranking.friedman_p)})",
        )
    return say(
        "Friedman's test says that the ranks differ ({p}); two that lie less than {cd} apart are not told apart by"
        " Nemenyi's [@demsar2006].",
        p=p_equals(ranking.friedman_p),
        cd=decimal(ranking.critical_difference, 2),
    )


def _incomplete(standing: Standing) -> list[Text]:
    if not standing.incomplete:
        return []
    sentence = "Without a score on some of the tasks, {labels} {take} no part."
    labels = each(Code(label) for label in standing.incomplete)
    return [say(sentence, labels=labels, take="take" if len(standing.incomplete) > 1 else "takes")]


def _scope(analysis: Analysis) -> list[Text]:
    """What may not be concluded."""
    if not analysis.standings:
        return []
    middle = (
        "Neither number says that one configuration is better on a given task, and both depend on which tasks a suite"
        " happens to have: where tasks differ by more than runs do, the middle half leaves out the hardest and the"
        " easiest tasks rather than unlucky runs."
    )
    about = listing(sorted({standing.population for standing in analysis.standings}))
    seeds = f"Intervals are about other {about} on these tasks, not about other tasks."
    ranks = (
        "Ranks ignore by how much scores differ; a test of them takes the tasks as a sample of tasks, which a suite's"
        " are not, and what it does not tell apart is not thereby equal [@demsar2006]."
    )
    some = any(mean.low is not None for standing in analysis.standings for mean in standing.means.values())
    return [say(middle), *([say(seeds)] if some else []), say(ranks)]


def tables(analysis: Analysis) -> list[Table]:
    """A row per configuration that has all tasks."""
    found = analysis.standings
    return [_table(analysis, standing, keyed("standings", i, len(found))) for i, standing in enumerate(found)]


def _table(analysis: Analysis, standing: Standing, key: str) -> Table:
    results, scale = analysis.results, analysis.results.scale(standing.tasks[0])
    ids = {label: _cells(analysis, standing, label) for label in standing.means}
    intervals = any(mean.low is not None for mean in standing.means.values())

    def row(label: str) -> tuple[Cell, ...]:
        mean, rank = standing.means[label], standing.ranking.ranks[label]
        written = Number(score(mean.estimate, scale), scale.raw(mean.estimate), cells=ids[label])
        ranked = Number(decimal(rank, 2), rank, cells=ids[label])
        return (written, *([_interval(mean, scale)] if intervals else []), ranked)

    columns = (
        Column("Method", "label"),
        Column("mean" if intervals else "interquartile mean", group="Interquartile" if intervals else None),
        *([Column("interval", group="Interquartile")] if intervals else []),
        Column("average rank"),
    )
    rows = by_family(results, standing.means, row)
    data = pd.DataFrame([_line(standing, label, scale, ids[label]) for label in standing.means])
    return Table(key, _caption(results, standing), columns, rows, data)


def _cells(analysis: Analysis, standing: Standing, label: str) -> tuple[str, ...]:
    found = [analysis.scored.of("score", standing.backbone, task, label)[1] for task in standing.tasks]
    return tuple(cell for ids in found for cell in ids)


def _interval(mean: Interval, scale: Scale) -> str | None:
    """The lower end first, also of a metric of which less is better."""
    if mean.low is None or mean.high is None:
        return None
    low, high = sorted((mean.low, mean.high), key=scale.shown)
    return f"[{score(low, scale)}, {score(high, scale)}]"


def _line(standing: Standing, label: str, scale: Scale, ids: tuple[str, ...]) -> dict[str, Any]:
    mean = standing.means[label]
    ends = sorted(scale.raw(end) for end in (mean.low, mean.high) if end is not None)
    low, high = ends if ends else (None, None)
    return {
        "backbone": standing.backbone,
        "label": label,
        "tasks": " ".join(standing.tasks),
        "interquartile_mean": scale.raw(mean.estimate),
        "low": low,
        "high": high,
        "level": mean.level,
        "n": mean.n,
        "average_rank": standing.ranking.ranks[label],
        "friedman_p": standing.ranking.friedman_p,
        "critical_difference": standing.ranking.critical_difference,
        "cells": " ".join(ids),
    }


def _caption(results: Results, standing: Standing) -> Text:
    scale = results.scale(standing.tasks[0])
    unit = "points" if scale.in_points else named_metric(results.metric(standing.tasks[0]), scale)
    what = say(
        "Interquartile mean of all tasks' and seeds' scores ({unit}), and average rank of the mean scores on {tasks} (1"
        " is best); backbone {backbone}.{left_out}",
        unit=unit,
        tasks=f"{len(standing.tasks)} tasks",
        backbone=results.title("backbones", standing.backbone),
        left_out=left_out(results, results.tasks),
    )
    if all(mean.low is None for mean in standing.means.values()):
        sentence = "With fewer than {least} seeds on a task there is no interval."
        return join([what, say(sentence, least=MIN_PAIRS)])
    interval = (
        "Intervals of {level} %: a bootstrap that draws seeds within each task."
        if standing.population == "seeds"
        else "Intervals of {level} %: each task's scores are shifted by errors that are drawn for other {population}."
    )
    level = next(iter(standing.means.values())).level
    return join([what, say(interval, level=f"{100 * level:.0f}", population=standing.population)])

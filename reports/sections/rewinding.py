"""Merged models on the way from the backbone to what was trained: does training overshoot, and what buys back what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.rewinding import BACK, Bargain, Path, Point, Rewinding
from reports.drawing import rewinding as drawing
from reports.model.document import Code, Column, Figure, Number, Part, Row, Section, Slide, Table, Text, keyed, ranked
from reports.model.prose import Prose, join, say
from reports.model.writing import decimal, named_scores, number, numeral, plural, score, with_spread
from reports.results import Results
from reports.scales import Scale
from reports.sections.forgetting import UNIT
from reports.sections.rows import Cell, over_seeds, shown, unit_of

PLACE = "results"
ORDER = 72

RANK_OF_FIGURE, RANK_OF_TABLE = 53, 28


def part(analysis: Analysis, prose: Prose) -> Part:
    """A figure and a table per backbone; nothing where no cell was rewound."""
    found = analysis.rewinding
    if not found:
        return Part()
    drawn = ranked(drawing.figures(analysis), RANK_OF_FIGURE)
    head = prose.passage("rewinding", "head") if analysis.results.headed else ()
    what = [*prose.passage("rewinding", "what"), *head]
    caution = prose.passage("rewinding", "caution")
    blocks: list[Table | Figure] = [*drawn, *ranked(tables(analysis), RANK_OF_TABLE)]
    said = [sentences(analysis.results, each) for each in found]
    title = "On the way back to the backbone"
    slide = Slide(title, (*said[0][:2], *caution[:1]), drawn[0], 45)
    return Part(Section("rewinding", title, shown([what, *said, caution], blocks)), (), (slide,))


def sentences(results: Results, found: Rewinding) -> list[Text]:
    """Where the best scores lie, the greatest gain, and what forgetting is bought back for."""
    less, more = len(found.overshot), len(found.fell_short)
    where = say(
        "On {backbone}, of {all} of method and task, the mean validation score is highest at an α below 1 (training"
        " overshoots) in {less}, above 1 (it falls short) in {more}, and at 1 in {same}.",
        backbone=results.title("backbones", found.backbone),
        all=plural(len(found.paths), "pair"),
        less=_in_words(less),
        more=_in_words(more),
        same=_in_words(len(found.paths) - less - more),
    )
    moved = [*found.overshot, *found.fell_short]
    gains = [_gain(results, found, moved)] if moved else []
    spread = [path.beyond_spread for path in moved if path.beyond_spread is not None]
    seeds = say(
        "Of {moved}, the change is greater than its own standard deviation over seeds in {beyond}.",
        moved=plural(len(spread), "such pair"),
        beyond=_in_words(sum(spread)),
    )
    alone = (
        [say("Each pair was run with one seed: nothing here tells a change from noise.")] if found.seeds == 1 else []
    )
    return [where, *gains, *([seeds] if spread else alone), *(_bargain(results, each) for each in found.bargains)]


def _in_words(n: int) -> str:
    return numeral(n) if n else "none"


def _gain(results: Results, found: Rewinding, moved: list[Path]) -> Text:
    """The greatest, in points where there are some: other scores have no common measure."""
    plain = [path for path in moved if results.scale(path.task).in_points]
    most = max(plain or moved, key=lambda path: path.best.change.mean)
    scale = results.scale(most.task)
    change = with_spread(most.best.change, scale.unit, signed=True)
    return say(
        "The greatest change is that of {label} on {task} at α = {alpha}: {change}{unit}{seeds}.",
        label=Code(most.label),
        task=Code(most.task),
        alpha=f"{most.best.alpha:g}",
        change=change,
        unit=" points" if scale.in_points else "",
        seeds=f" over {plural(most.best.change.n, 'seed')}" if found.seeds > 1 else "",
    )


def _bargain(results: Results, bargain: Bargain) -> Text:
    return say(
        "Going back to α = {alpha} leaves {left} % of what was forgotten and changes the score by {change}, each the"
        " median of {paths} that had forgotten something.",
        alpha=f"{bargain.alpha:g}",
        left=decimal(100 * bargain.left, 0),
        change=score(bargain.change, results.scale(bargain.task), signed=True, unit=True),
        paths=plural(bargain.paths, "pair"),
    )


def tables(analysis: Analysis) -> list[Table]:
    """A row per task and configuration."""
    found = analysis.rewinding
    return [_table(analysis.results, each, keyed("rewinding", i, len(found))) for i, each in enumerate(found)]


def _table(results: Results, found: Rewinding, key: str) -> Table:
    rows: list[Row] = []
    for task in found.tasks:
        own = [path for path in found.paths if path.task == task]
        lines = [Row((path.label, task, *_cells(results, found, path))) for path in own]
        rows += [replace(lines[0], gap=bool(rows)), *lines[1:]]
    forgotten = (Column("forgotten"),) if found.forgetting else ()
    columns = [Column("Method", "label"), Column("Task", "label")]
    columns += [replace(column, group="α = 1") for column in (Column("score"), *forgotten)]
    columns += [Column("α", group="Best"), Column("change", group="Best")]
    for alpha in BACK:
        columns += [replace(column, group=f"α = {alpha:g}") for column in (Column("change"), *forgotten)]
    data = pd.DataFrame([_line(results, found, path, point) for path in found.paths for point in path.points])
    return Table(key, _caption(results, found), tuple(columns), tuple(rows), data, wide=True)


def _cells(results: Results, found: Rewinding, path: Path) -> tuple[Cell, ...]:
    scale = results.scale(path.task)

    def forgotten(point: Point | None) -> tuple[Cell, ...]:
        if not found.forgetting:
            return ()
        return (number(point.forgotten, UNIT, path.cells, found.seeds) if point else None,)

    def change(point: Point | None) -> Cell:
        return number(point.change, scale.unit, path.cells, found.seeds, signed=True) if point else None

    best = path.best
    trained = number(path.trained.score, scale.unit, path.cells, found.seeds)
    back = [cell for alpha in BACK for point in (path.at(alpha),) for cell in (change(point), *forgotten(point))]
    at = Number(f"{best.alpha:g}", best.alpha, cells=path.cells)
    return (trained, *forgotten(path.trained), at, change(best), *back)


def _line(results: Results, found: Rewinding, path: Path, point: Point) -> dict[str, Any]:
    scale: Scale = results.scale(path.task)
    return {
        "backbone": found.backbone,
        "label": path.label,
        "task": path.task,
        "alpha": point.alpha,
        "measure": f"validation {results.metric(path.task)}",
        "unit": unit_of(scale),
        "mean": scale.raw(point.score.mean),
        "sd": point.score.sd,
        "change": scale.raw(point.change.mean),
        "change_sd": point.change.sd,
        "forgotten": point.forgotten.mean,
        "forgotten_sd": point.forgotten.sd,
        "n": point.score.n,
        "best": point is path.best,
        "cells": " ".join(path.cells),
    }


def _caption(results: Results, found: Rewinding) -> Text:
    what = say(
        "Validation scores with the share α of what training has changed ({scores}), mean ± sample standard deviation"
        " over {seeds}; backbone {backbone}.",
        scores=named_scores(results, found.tasks),
        seeds=over_seeds(found.seeds),
        backbone=results.title("backbones", found.backbone),
    )
    change = say(
        "A change is that from α = 1, in pairs of seeds; the best α has the highest mean score, and of equal ones is"
        " the nearest to 1."
    )
    forgotten = say("Forgotten: by how many {unit} the loss on general text is above that at α = 0.", unit=UNIT.name)
    return join([what, change, *([forgotten] if found.forgetting else [])])

"""How hyperparameters were searched: where, with which effort, what was found, and what to doubt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.tuning import NEAR, Tuned
from reports.drawing import tuning as drawing
from reports.model.document import Code, Column, Number, Part, Row, Section, Slide, Source, Table, Text, ranked
from reports.model.prose import Prose, join, say
from reports.model.references import Entry
from reports.model.writing import count, decimal, learning_rate, numeral, plural, score, spread, three_digits, unit_for
from reports.results import Results
from reports.sections.rows import Cell, shown

PLACE = "before"
ORDER = 35

RANK_OF_FIGURE, RANK_OF_TABLE, RANK_OF_SPACES = 50, 55, 25
_SAMPLERS = {"sobol": "those of Sobol's sequence, which lie evenly", "random": "drawn at random"}


def part(analysis: Analysis, prose: Prose) -> Part:
    """Nothing where nothing was searched."""
    found = analysis.tuned
    if not found:
        return Part()
    tables = [
        *ranked([table(analysis.results, found)], RANK_OF_TABLE),
        *ranked([spaces(found, analysis.references)], RANK_OF_SPACES),
    ]
    drawn = ranked(drawing.figures(analysis), RANK_OF_FIGURE)
    said = [protocol(found), [*effort(found), *choices(analysis.results, found)], prose.passage("tuning", "caution")]
    slide = Slide("How hyperparameters were found", (*effort(found)[:2],), drawn[0], 55)
    section = Section("tuning", "Search for hyperparameters", shown(said, [*tables, *drawn]))
    return Part(section, (), (slide,))


def protocol(found: list[Tuned]) -> list[Text]:
    """What was done, alike for all."""
    search = found[0].search
    tuning = search.tuning
    tasks = list(dict.fromkeys(each.search.task for each in found))
    names = listing(list(dict.fromkeys(r.name for each in found for r in each.search.space)))
    searched = say(
        "Each method had {trials} for its hyperparameters ({names}), on {tasks} with {seeds}, of which no result is"
        " reported. All tried the same places of their own ranges, on a logarithmic scale: {places}.",
        trials=plural(tuning.trials, "trial"),
        names=names,
        places=_SAMPLERS[tuning.sampler],
        tasks=listing(tasks),
        seeds=f"seed {tuning.seeds[0]}" if len(tuning.seeds) == 1 else f"seeds {listing(list(map(str, tuning.seeds)))}",
    )
    others = " on examples that no reported run is validated on" if tuning.other_examples else ""
    judged = say("Validation scores{others} alone decide; no trial saw the test split.", others=others)
    if len(tuning.rungs) == 1:
        return [searched, judged]
    reached = [f"{n} after {_percent(rung)}" for n, rung in zip(tuning.counts[1:], tuning.rungs, strict=False)]
    halved = say(
        "Trials stop early by successive halving [@jamieson2016nonstochastic]: of those that reach a share of the"
        " optimiser steps the best go on, {reached}; the best at the end is chosen.",
        reached=listing(reached),
    )
    return [searched, judged, halved]


def effort(found: list[Tuned]) -> list[Text]:
    """Trials and steps that were spent."""
    steps, whole = sum(each.steps for each in found), sum(each.whole_steps for each in found)
    trials, stopped = (sum(values) for values in zip(*((len(e.search.trials), e.stopped) for e in found), strict=True))
    spent = say(
        "The {searches} took {steps} optimiser steps, {share} of what their {trials} trials take to the end: {stopped}"
        " were stopped early.",
        searches=plural(len(found), "search", "searches"),
        steps=f"{steps:,}",
        share=_percent(steps / whole),
        trials=f"{trials:,}",
        stopped=f"{stopped:,}",
    )
    failed = sum(each.failed for each in found)
    lost = [say("{failed} without a score, and count as tried.", failed=plural(failed, "trial ended", "trials ended"))]
    edge = sum(each.at_edge for each in found)
    edges = say(
        "In {edge} of {all} the best value was the lowest or the highest that was tried, so that a wider range might"
        " hold a better one.",
        edge=numeral(edge) if edge else "none",
        all=plural(len(found), "search", "searches"),
    )
    return [spent, edges, *(lost if failed else [])]


def choices(results: Results, found: list[Tuned]) -> list[Text]:
    """How far off the choices were, where all trials were trained to their ends."""
    known = [each for each in found if each.missed is not None]
    if not known:
        return []
    worst = max(known, key=lambda each: each.missed or 0.0)
    scale = results.scale(worst.search.task)
    best = sum(not each.missed for each in known)
    lost = say(
        ", and at worst, for {label}, one that lies {missed} below it",
        label=Code(worst.search.label),
        missed=score(worst.missed or 0.0, scale, unit=True),
    )
    held = say(
        "All {trials} trials were trained to their end as well: the search chose the best of them in {best} of"
        " {all}{worst}.",
        trials=f"{sum(len(each.search.trials) for each in known):,}",
        best=numeral(best) if best else "none",
        all=plural(len(known), "search", "searches"),
        worst=lost if worst.missed else "",
    )
    hits = [each.hit for each in known if each.hit is not None]
    within = say(
        "In {hits} of {all} that is within one standard error of a validation score over its examples.",
        hits=numeral(sum(hits)) if any(hits) else "none",
        all=numeral(len(hits)),
    )
    return [held, *([within] if hits else [])]


def spaces(found: list[Tuned], references: Mapping[str, Entry]) -> Table:
    """Where each method was searched, and why there."""
    rows, data = [], []
    for label, each in {each.search.label: each for each in found}.items():
        for of in each.search.space:
            ends = (Number(learning_rate(of.low), of.low), Number(learning_rate(of.high), of.high))
            rows.append(Row((label, of.name, *ends, of.text, _source(of.source, references))))
            data.append({"label": label, "hyperparameter": of.name, "low": of.low, "high": of.high, "why": of.text,
                         "source": of.source})  # fmt: skip
    columns = (
        Column("Method", "label"),
        Column("Searched", "label"),
        Column("from", group="Range"),
        Column("to", group="Range"),
        Column("Why there", "text", share=0.4),
        Column("Source", "label"),
    )
    caption = say("Where hyperparameters were searched, on a logarithmic scale. What a paper tried is as we read it.")
    return Table("search-spaces", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)


def _source(key: str, references: Mapping[str, Entry]) -> str:
    entry = references.get(key)
    return Source(f"{entry.short}, {entry.year}", key) if entry else key or "ours"


def table(results: Results, found: list[Tuned]) -> Table:
    """A row per search: what it took, what it found, how much depends on it."""
    places = {(each.search.backbone, each.search.task) for each in found}
    time = unit_for("seconds", [each.seconds for each in found])
    counted = any(each.flops for each in found)
    full = any(each.in_full for each in found)
    rows, before = [], None
    for each in found:
        where = (each.search.backbone, each.search.task)
        cells: tuple[Cell, ...] = (each.search.label, *([each.search.task] if len(places) > 1 else []))
        cells += (_number(each, count(len(each.search.trials)), len(each.search.trials)),)
        cells += (_number(each, count(each.stopped), each.stopped), _number(each, f"{each.steps:,}", each.steps))
        cells += (_number(each, decimal(time.factor * each.seconds, time.decimals), each.seconds),)
        if counted:
            cells += (_number(each, three_digits(each.flops / 1e12), each.flops) if each.flops else None,)
        cells += _found(results, each)
        if full:
            cells += (_points(results, each, each.missed),)
        rows.append(Row(cells, gap=before not in (None, where)))
        before = where
    columns = [Column("Method", "label"), *([Column("Task", "label")] if len(places) > 1 else [])]
    columns += [Column("trials", group="Spent"), Column("stopped", group="Spent"), Column("steps", group="Spent")]
    columns += [Column("time", unit=time.name, group="Spent")]
    columns += [Column("TFLOPs", group="Spent")] if counted else []
    columns += [Column(found[0].search.space[0].name, group="Chosen"), Column("validation", group="Chosen")]
    columns += [Column("at edge", group="Chosen"), Column("fall beside")]
    columns += [Column("missed")] if full else []
    data = pd.DataFrame([_line(results, each) for each in found])
    return Table("tuning", _caption(found, full), tuple(columns), tuple(rows), data, wide=True)


def _found(results: Results, each: Tuned) -> tuple[Cell, ...]:
    scale, value = results.scale(each.search.task), each.chosen.values[each.search.space[0].name]
    error = None if each.error is None else spread(each.error, scale.unit)
    found = Number(score(each.score, scale), scale.raw(each.score), error, cells=each.cells)
    return (
        _number(each, learning_rate(value), value),
        found,
        "yes" if each.at_edge else "no",
        _points(results, each, each.fall),
    )


def _points(results: Results, each: Tuned, value: float | None) -> Number | None:
    return None if value is None else _number(each, spread(value, results.scale(each.search.task).unit), value)


def _number(each: Tuned, text: str, value: float) -> Number:
    return Number(text, value, cells=each.cells)


def _caption(found: list[Tuned], full: bool) -> Text:
    at = "their end" if found[0].in_full else "the first rung, which all reached"
    what = say(
        "What each search spent, and what it chose: its validation score, with the standard error over the examples"
        " where their number tells it, and whether it was the lowest or highest value tried. Fall beside: how far the"
        " mean of the trials within a factor of {near} of the chosen value lies below it, at {at}.",
        near=f"{NEAR:g}",
        at=at,
    )
    missed = say("Missed: how far it lies below the best of all trials, trained to their end.")
    return join([what, *([missed] if full else [])])


def _line(results: Results, each: Tuned) -> dict[str, Any]:
    search = each.search
    values = {f"chosen_{name}": value for name, value in each.chosen.values.items()}
    trials = [f"{trial.values[search.space[0].name]:g}" for trial in search.trials]
    return {
        "backbone": search.backbone, "task": search.task, "label": search.label, "trials": len(search.trials),
        "stopped": each.stopped, "failed": each.failed, "steps": each.steps, "whole_steps": each.whole_steps,
        "seconds": each.seconds, "flops": each.flops, **values,
        "validation": results.scale(search.task).raw(each.score), "error": each.error, "at_edge": each.at_edge,
        "fall": each.fall, "missed": each.missed, "tried": " ".join(trials),
        "scores": " ".join(str(each.scores.get(trial.number, "")) for trial in search.trials),
        "expected": " ".join(f"{value:.6g}" for value in each.expected), "cells": " ".join(each.cells),
    }  # fmt: skip


def _percent(share: float) -> str:
    return f"{decimal(100 * share, 0)}\u00a0%"

"""Which configuration for which constraint: what meets it here, and which of those scores best on validation data."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.choices import Candidate, Choice, Choices
from reports.model.document import Column, Number, Part, Row, Section, Slide, Table, Text, keyed, ranked
from reports.model.prose import Prose, join, say
from reports.model.writing import left_out, named_metric, population, score
from reports.results import Results
from reports.scales import Scale
from reports.sections.rows import paragraphs, refs

PLACE = "results"
ORDER = 50

# How many of those that meet a constraint the data do not exclude.
_OPEN = Column("open")
_COLUMNS = (
    Column("Constraint", "text", share=0.30),
    Column("met by"),
    _OPEN,
    Column("method", "label", group="First on validation"),
    Column("test", group="First on validation"),
    Column("method", "label", group="Second"),
    Column("test", group="Second"),
)


def part(analysis: Analysis, prose: Prose) -> Part:
    """A table per backbone and protocol."""
    made = ranked(tables(analysis), 85)
    if not made:
        return Part()
    question = say(
        "{tables} {ask} the question the other way round: given a constraint, which configuration would a user of"
        " validation data have chosen?",
        tables=refs(made),
        ask="asks" if len(made) == 1 else "ask",
    )
    title = "Which configuration for which constraint"
    slides = [Slide(title, (_what(analysis.results, analysis.choices[0]),), table, 30) for table in made[:1]]
    return Part(Section("choices", title, (*paragraphs([[question]]), *made)), (), tuple(slides))


def tables(analysis: Analysis) -> list[Table]:
    """The two best of those that meet each constraint."""
    found = analysis.choices
    return [_table(analysis.results, one, keyed("choices", i, len(found))) for i, one in enumerate(found)]


def _table(results: Results, found: Choices, key: str) -> Table:
    data = [
        _line(found, choice, place, candidate)
        for choice in found.choices
        for place, candidate in enumerate(choice.able[:2], 1)
    ]
    tested = found.population is not None
    columns = [column for column in _COLUMNS if tested or column is not _OPEN]
    rows = tuple(_row(choice, found.scale, tested) for choice in found.choices)
    caption = join([_what(results, found), _free_of_choice(results, found), _open(found)])
    return Table(key, caption, tuple(columns), rows, pd.DataFrame(data), wide=True)


def _row(choice: Choice, scale: Scale, tested: bool) -> Row:
    first, second = (*choice.able[:2], None, None)[:2]
    counts = [len(choice.able), *([len(choice.open or ())] if tested else [])]
    shown = [first.label if first else "none", _number(first, scale)]
    shown += [second.label if second else None, _number(second, scale)]
    return Row((choice.constraint, *map(str, counts), *shown))


def _line(found: Choices, choice: Choice, place: int, candidate: Candidate) -> dict[str, Any]:
    return {
        "backbone": found.group.backbone,
        "constraint": choice.constraint,
        "place": place,
        "label": candidate.label,
        "meeting": len(choice.able),
        "validation": found.scale.raw(candidate.validation),
        "test": found.scale.raw(candidate.test),
        "cells": " ".join(candidate.ids),
    } | ({} if choice.open is None else {"open": "; ".join(choice.open)})


def _what(results: Results, found: Choices) -> Text:
    """The caption's first sentence, which a slide shows as well."""
    tasks, scale = found.tasks, found.scale
    return say(
        "Which configuration for which constraint, on {backbone}: how many meet it, and the two of them with the"
        " {highest} mean validation score {tasks}, with their mean test score{unit}.",
        backbone=results.title("backbones", found.group.backbone),
        highest=results.highest,
        tasks=f"on {tasks[0]}" if len(tasks) == 1 else f"over {len(tasks)} tasks",
        unit=" in points" if scale.in_points else f" ({named_metric(results.metric(tasks[0]), scale)})",
    )


def _free_of_choice(results: Results, found: Choices) -> Text:
    return say(
        "Choosing on validation keeps the test score free of the choice; that the first differs from the second is not"
        " shown by it.{left_out}",
        left_out=left_out(results, found.group.tasks),
    )


def _open(found: Choices) -> Text:
    """Nothing where nothing is tested."""
    if found.population is None:
        return ()
    return say(
        "Open: those that meet it and than which no other that does is shown to be better on test data, with 95 %"
        " confidence, for {population}.",
        population=population(found.population),
    )


def _number(candidate: Candidate | None, scale: Scale) -> Number | None:
    if candidate is None:
        return None
    return Number(score(candidate.test, scale), scale.raw(candidate.test), cells=candidate.ids)

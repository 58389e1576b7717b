"""Which method for which constraint: what meets it here, and which of those scores best on validation data."""

from __future__ import annotations

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.choices import Candidate, Choices
from reports.model.document import Column, Number, Paragraph, Part, Row, Section, Slide, Table, Text, keyed, ranked
from reports.model.prose import Prose
from reports.results import Results
from reports.scales import Scale
from reports.sections.cutting import refs, told

PLACE = "results"
ORDER = 50


def part(analysis: Analysis, prose: Prose) -> Part:
    made = ranked(decisions(analysis), 85)
    title = "Which configuration for which constraint"
    if not made:
        return Part()
    say = Paragraph((*refs(made), f" ask{'s' if len(made) == 1 else ''} the question the other way round: given a"
                     " constraint, which configuration would a user of validation data have chosen?"))  # fmt: skip
    backup = tuple(Slide(title, told(table), table, 30) for table in made[:1])
    return Part(Section("choices", title, (say, *made)), (), backup)


def decisions(analysis: Analysis) -> list[Table]:
    """A table per backbone and protocol."""
    found = analysis.choices
    return [_table(analysis.results, one, keyed("choices", i, len(found))) for i, one in enumerate(found)]


def _table(results: Results, found: Choices, key: str) -> Table:
    group, judged, scale = found.group, found.tasks, found.scale
    rows, data = [], []
    for choice in found.choices:
        first, second = (*choice.able[:2], None, None)[:2]
        shown = [first.label if first else "none", _number(first, scale)]
        shown += [second.label if second else None, _number(second, scale)]
        rows.append(Row((choice.constraint, str(len(choice.able)), *shown)))
        for place, c in enumerate(choice.able[:2], 1):
            data.append(
                {
                    "backbone": group.backbone,
                    "constraint": choice.constraint,
                    "place": place,
                    "label": c.label,
                    "meeting": len(choice.able),
                    "validation": scale.raw(c.validation),
                    "test": scale.raw(c.test),
                    "cells": " ".join(c.ids),
                }
            )
    columns = (
        Column("Constraint", "text", share=0.34),
        Column("met by"),
        Column("method", "label", group="First on validation"),
        Column("test", group="First on validation"),
        Column("method", "label", group="Second"),
        Column("test", group="Second"),
    )
    tasks = f"on {judged[0]}" if len(judged) == 1 else f"over {len(judged)} tasks"
    unit = " in points" if scale.in_points else f" ({scale.named(results.metric(judged[0]))})"
    caption: Text = (
        f"Which configuration for which constraint, on {results.title('backbones', group.backbone)}: how many meet it,"
        f" and the two of them with the {results.highest} mean validation score {tasks}, with their mean test score"
        f"{unit}. Choosing on validation keeps the test score free of the choice; that the first differs from the"
        f" second is not shown by it.{results.left_out(group.tasks)}",
    )
    return Table(key, caption, columns, tuple(rows), pd.DataFrame(data), wide=True)


def _number(candidate: Candidate | None, scale: Scale) -> Number | None:
    if candidate is None:
        return None
    return Number(scale.text(candidate.test), scale.raw(candidate.test), cells=candidate.ids)

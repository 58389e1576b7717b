"""What else was scored by those who published the results."""

from __future__ import annotations

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.secondary import Secondary
from reports.model.document import Code, Column, Part, Section, Table, ranked
from reports.model.prose import Prose, say
from reports.model.writing import named_metric, number
from reports.results import Results
from reports.sections.rows import by_family, data_line, refs, shown, unit_of

PLACE = "results"
ORDER = 17


def part(analysis: Analysis, prose: Prose) -> Part:
    """A table per metric; nothing for a run of ours."""
    made = ranked([_table(analysis.results, of, i) for i, of in enumerate(analysis.secondary)], 60)
    if not made:
        return Part()
    said = say("{tables} {has} what was scored beside it.", tables=refs(made), has="has" if len(made) == 1 else "have")
    return Part(Section("secondary", "What else was scored", (*shown([[said]], []), *made)))


def _table(results: Results, of: Secondary, position: int) -> Table:
    name = of.metric.name.replace("_", " ")
    rows = by_family(results, of.found, lambda label: (number(of.found[label][0], of.scale.unit, of.found[label][1]),))
    lines = [
        data_line(of.backbone, label, of.task, of.metric.name, unit_of(of.scale), raw, ids)
        for label, (found, ids) in of.found.items()
        for raw in (found._replace(mean=of.scale.raw(found.mean)),)
    ]
    caption = say(
        "Test {metric} on {task} ({backbone}).",
        metric=named_metric(name, of.scale),
        task=Code(of.task),
        backbone=results.title("backbones", of.backbone),
    )
    columns = (Column("Method", "label"), Column(name))
    return Table(f"secondary-{position + 1}", caption, columns, rows, pd.DataFrame(lines))

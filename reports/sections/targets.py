"""How many examples, and how many seconds of training, it takes to come near full fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.targets import SHARES, Target
from reports.model.document import Column, Number, Part, Row, Section, Table, Text, keyed
from reports.model.prose import Prose, join, say
from reports.model.writing import number, unit_for
from reports.results import Results
from reports.scales import Unit
from reports.sections.rows import Cell, data_line, several

PLACE = "appendix"
ORDER = 25

_EXAMPLES = Unit("examples", 1.0, 0)


def part(analysis: Analysis, prose: Prose) -> Part:
    """Of all configurations; nothing without full fine-tuning."""
    made = tuple(tables(analysis.everything))
    return Part(Section("targets", "How Soon a Method Is Near Full Fine-Tuning", made)) if made else Part()


def tables(analysis: Analysis) -> list[Table]:
    """A table per backbone: a row per configuration and task."""
    found = [list(of) for _, of in groupby(analysis.targets, key=lambda each: each.backbone)]
    return [_table(analysis.results, of, keyed("targets", i, len(found))) for i, of in enumerate(found)]


def _table(results: Results, found: Sequence[Target], key: str) -> Table:
    timed = any(each.seconds is not None for each in found)
    seconds = unit_for("seconds", [each.seconds.mean for each in found if each.seconds is not None])
    columns = [Column("Method", "label"), Column("Task", "label")]
    for share in SHARES:
        group = f"To {share:.0%} of full"
        columns += [Column("examples", group=group)]
        columns += [Column("time", unit=seconds.name, group=group)] if timed else []
        columns += [Column("seeds", group=group)]
    rows: list[Row] = []
    before = None
    for (task, label), of in groupby(found, key=lambda each: (each.task, each.label)):
        cells = [cell for each in of for cell in _cells(each, seconds, timed)]
        rows.append(Row((label, task, *cells), gap=before not in (None, task)))
        before = task
    data = pd.DataFrame([line for each in found for line in _lines(each)])
    return Table(key, _caption(results, found, timed), tuple(columns), tuple(rows), data, wide=True)


def _cells(each: Target, seconds: Unit, timed: bool) -> list[Cell]:
    """Where only some of the seeds came there, a mean over these would flatter: it is left out."""
    whole = each.reached == each.seeds
    examples = number(each.examples, _EXAMPLES, each.cells) if whole else None
    time = number(each.seconds, seconds, each.cells) if whole and each.seconds is not None else None
    reached = Number(f"{each.reached}/{each.seeds}", each.reached, cells=each.cells)
    return [examples, time, reached] if timed else [examples, reached]


def _lines(each: Target) -> list[dict[str, Any]]:
    of = (each.backbone, each.label, each.task)
    lines = [data_line(*of, f"examples to {each.share:.0%} of full", "examples", each.examples, each.cells)]
    if each.seconds is not None:
        lines.append(data_line(*of, f"seconds to {each.share:.0%} of full", "seconds", each.seconds, each.cells))
    return lines


def _caption(results: Results, found: Sequence[Target], timed: bool) -> Text:
    seeds = max(each.seeds for each in found)
    what = say(
        "Training examples seen until a run's validation score first is {shares} of the best one of full fine-tuning"
        " with the same seed, on {backbone}: mean ± standard deviation over {seeds}, and in how many it comes there"
        " within its budget; no mean where it does not in all.",
        shares=" or ".join(f"{share:.0%}" for share in SHARES),
        backbone=results.title("backbones", found[0].backbone),
        seeds=several(seeds, "seed"),
    )
    known = "Runs are evaluated after every epoch and phase, so that examples are known to the nearest of these."
    time = "Times are those of training steps alone, as profiled."
    return join([what, say(known), *([say(time)] if timed else [])])

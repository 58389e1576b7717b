"""What the tables and paragraphs of several subjects share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.statistics import Summary
from reports.model.document import Block, Figure, Number, Paragraph, Ref, Row, Table, Text
from reports.model.prose import each, join, say
from reports.results import Results, select
from reports.scales import Scale

Cell = str | Number | None

# Of more configurations than this, sentences give the two ends.
NAMED_IN_PROSE = 4
# With more tasks than this, sentences count them instead of naming each.
TASKS_IN_PROSE = 3


def by_family(results: Results, labels: Iterable[str], cells_of: Callable[[str], tuple[Cell, ...]]) -> tuple[Row, ...]:
    """One row per label, with a gap wherever a new family begins."""
    rows: list[Row] = []
    family = None
    for label in labels:
        gap = family is not None and results.family_of(label) != family
        family = results.family_of(label)
        rows.append(Row((label, *cells_of(label)), gap))
    return tuple(rows)


def labels_on(results: Results, backbone: str) -> list[str]:
    """Labels that are part of the suite on this backbone, with or without a score."""
    present = set(select(results.cells, backbone=backbone)["label"])
    return [label for label in results.labels if label in present]


def usual_n(cells: pd.DataFrame) -> int:
    """The commonest number of cells behind a (label, task)."""
    sizes = cells.groupby(["label", "task"], observed=True).size()
    return int(sizes.mode().iloc[-1]) if len(sizes) else 0


def over_seeds(n: int) -> str:
    """What follows "over" in a caption whose table notes other numbers: "3 seeds (another number in brackets)"."""
    return f"{several(n, 'seed')} (another number in brackets)"


def several(n: int, what: str) -> str:
    """ "1 cell", "3 cells": in captions, numbers stay digits."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def data_line(
    backbone: str, label: str, task: str, measure: str, unit: str, found: Summary, ids: Sequence[str]
) -> dict[str, Any]:
    """A line of a table's CSV file: a mean at full precision, with the ids of the cells behind it."""
    return {
        "backbone": backbone,
        "label": label,
        "task": task,
        "measure": measure,
        "unit": unit,
        "mean": found.mean,
        "sd": found.sd,
        "n": found.n,
        "cells": " ".join(ids),
    }


def unit_of(scale: Scale) -> str:
    """The unit of scores in CSV files, where they are as their metric has them."""
    return "fraction" if scale.in_points else "as the metric has it"


def named(values: dict[str, float], write: Callable[[float], str]) -> str:
    """ "bitfit 77.9 and lt_sft 80.2"; the two ends where they are many."""
    if len(values) > NAMED_IN_PROSE:
        ends = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
        return " to ".join(f"{write(values[label])} ({label})" for label in ends)
    return listing([f"{label} {write(value)}" for label, value in values.items()])


def paragraphs(said: Iterable[Sequence[Text]]) -> list[Paragraph]:
    """One for each that has sentences."""
    return [Paragraph(join(sentences)) for sentences in said if sentences]


def refs(blocks: Sequence[Table | Figure]) -> Text:
    """ "Table 1, Figure 2 and Figure 3"."""
    return each(Ref(block.label) for block in blocks)


def shown(said: Iterable[Sequence[Text]], blocks: Sequence[Table | Figure]) -> tuple[Block, ...]:
    """Paragraphs of sentences, the last of which names all that is shown, and then what is shown."""
    told = [list(sentences) for sentences in said if sentences]
    if told and blocks:
        told[-1].append(say("See {blocks}.", blocks=refs(blocks)))
    return (*paragraphs(told), *blocks)

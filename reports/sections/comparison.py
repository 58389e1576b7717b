"""Two runs side by side: a difference is shown as measured, next to whatever makes the two hard to compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from records.text import listing
from reports.analysis.comparison import COSTS, Changes, CostPair, CostsOf, ScorePair, SideBySide
from reports.analysis.statistics import MIN_PAIRS
from reports.model.document import Block, Code, Column, Document, Number, Paragraph, Prompt, Row, Section, Table, Text
from reports.model.prose import join, say
from reports.model.writing import decimal, named_scores, number, p_value, plural, score
from reports.results import Results
from reports.sections.rows import Cell

# Of more than these, warnings name the first.
NAMED = 6
_ENVIRONMENT = {
    "precision": "arithmetic",
    "device": "device",
    "processor": "processor",
    "cores": "number of cores",
    "threads": "number of threads",
    "python": "Python",
}
_COSTS = {
    "adapter_parameters": "trained parameters",
    "stored_bytes": "stored bytes",
    "peak_memory_bytes": "peak memory",
    "step_seconds": "step time",
    "deployed_seconds": "latency",
}


def compose(found: SideBySide) -> Document:
    """The document; A and B are cited as `run-A` and `run-B`."""
    a, b, warned = found.a, found.b, warnings(found.changes)
    tables = [*_scores(found), *_costs(found)]
    none = [] if tables else [Paragraph(say("The two share no configuration that both have a result for."))]
    question = say("What did you change between the two, and which of these differences do you put down to it?")
    return Document(
        title="Two Runs Side by Side",
        subtitle=f"{a.root.name} (A) and {b.root.name} (B)",
        date=b.manifest.created[:10],
        facts=(),
        abstract=_abstract(len(warned)),
        sections=(
            Section("compared", "What Is Compared", (Paragraph(_what(a, b)),)),
            Section("comparable", "Are They Comparable?", tuple(_caution(warned))),
            Section("differences", "Differences", (*_told(found), *tables, *none)),
            Section("reading", "Reading Them", (Prompt(question, key="comparison"),)),
        ),
    )


def _abstract(warned: int) -> Text:
    if not warned:
        return say("Two runs side by side, alike in all that their records say of how they were made.")
    return say(
        "Two runs side by side: {things} besides the results {differ} between them.",
        things=plural(warned, "thing"),
        differ="differs" if warned == 1 else "differ",
    )


def _what(a: Results, b: Results) -> Text:
    return say(
        "A is {a} (suite “{suite_a}”, {date_a}) [@run-A], B is {b} (suite “{suite_b}”, {date_b}) [@run-B]. Every"
        " difference is B minus A, every ratio B over A.",
        a=Code(a.root.name),
        suite_a=a.name,
        date_a=a.manifest.created[:10],
        b=Code(b.root.name),
        suite_b=b.name,
        date_b=b.manifest.created[:10],
    )


def _caution(warned: Sequence[str]) -> list[Block]:
    if not warned:
        agree = (
            "Budgets, hyperparameters, seeds, machine, precision and versions agree as far as the records hold them."
        )
        return [Paragraph(say(agree))]
    said = [(f"{one[0].upper()}{one[1:]}.",) for one in warned]
    return [Paragraph(text, "Warning." if not i else None) for i, text in enumerate(said)]


def warnings(changes: Changes) -> list[str]:
    """Whatever differs between the two besides their results, in sentences without capital and full stop."""
    found = [
        f"the {what} of {_first(changed)} differ"
        for what, changed in (("budget", changes.budgets), ("hyperparameters", changes.hyperparameters))
        if changed
    ]
    if changes.seeds:
        found.append(f"the seeds differ ({_both(changes.seeds)})")
    found += [f"the {_ENVIRONMENT[key]} differs ({_both(values)})" for key, values in changes.environment.items()]
    if changes.versions:
        named = [f"{name} ({one} and {other})" for name, (one, other) in changes.versions.items()]
        found.append(f"versions differ: {listing(named)}")
    if changes.revisions:
        found.append(f"the revisions of {listing(changes.revisions)} differ: their behaviour was changed")
    found += [
        f"{kind} that only one of them has are left out: {listing(names)}" for kind, names in changes.alone.items()
    ]
    if changes.scales:
        read = "are read differently (another metric, range or direction), and left out"
        found.append(f"the scores of {listing(changes.scales)} {read}")
    if changes.protocols:
        found.append(f"costs were profiled under different protocols on {listing(changes.protocols)}")
    return found


def _first(names: Sequence[str]) -> str:
    return f"{listing(names[:NAMED])}{' and others' if len(names) > NAMED else ''}"


def _both(values: tuple[Sequence[Any], Sequence[Any]]) -> str:
    one, other = (listing([str(value) for value in each]) for each in values)
    return f"{one} and {other}"


def _told(found: SideBySide) -> list[Paragraph]:
    if not found.scores:
        return []
    pairs = "{pairs} of means can be compared ([tab:compared-scores])."
    said = [say(pairs, pairs=plural(len(found.scores), "pair").capitalize())]
    if largest := found.largest:
        plain = all(found.a.scale(pair.task).in_points for pair in found.scores)
        sentence = "The largest difference{of} is {by} ({label} on {task})."
        said.append(
            say(
                sentence,
                of="" if plain else " of fractions",
                by=score(largest.difference, found.a.scale(largest.task), signed=True, unit=True),
                label=Code(largest.label),
                task=Code(largest.task),
            )
        )
    return [Paragraph(join([*said, _tests(found)]))]


def _tests(found: SideBySide) -> Text:
    if not found.tested:
        few = "None is tested: fewer than {least} seeds are in both runs."
        alike = "None is tested: the differences of {least} seeds or more do not vary."
        return say(few if found.pairs < MIN_PAIRS else alike, least=MIN_PAIRS)
    sentence = "Of {tested} paired tests, corrected by Holm, {shown} show a difference."
    return say(sentence, tested=found.tested, shown=found.shown)


def _scores(found: SideBySide) -> list[Table]:
    if not found.scores:
        return []
    columns = (
        Column("Method", "label"),
        Column("Task", "label"),
        Column("A"),
        Column("B"),
        Column("B − A"),
        Column("pairs"),
        Column("p"),
    )
    rows = tuple(_score_row(found.a, pair) for pair in found.scores)
    data = pd.DataFrame([_score_line(found.a, pair) for pair in found.scores]).astype({"p": float, "p_holm": float})
    caption = say(
        "Test scores of both runs{unit}, mean ± sample standard deviation, and the difference of the means. p:"
        " two-sided paired t-test over the seeds that both have, corrected by Holm; none below {least} pairs.",
        unit=_unit(found.a, list(dict.fromkeys(pair.task for pair in found.scores))),
        least=MIN_PAIRS,
    )
    return [Table("compared-scores", caption, columns, rows, data, wide=True)]


def _score_row(a: Results, pair: ScorePair) -> Row:
    scale = a.scale(pair.task)
    by = Number(score(pair.difference, scale, signed=True), scale.raw(pair.difference), cells=pair.cells)
    p = None if pair.adjusted is None else Number(p_value(pair.adjusted), pair.adjusted)
    means = number(pair.a, scale.unit), number(pair.b, scale.unit)
    return Row((_name(a, pair), pair.task, *means, by, str(pair.paired.n), p))


def _score_line(a: Results, pair: ScorePair) -> dict[str, Any]:
    scale = a.scale(pair.task)
    return {
        "backbone": pair.backbone,
        "task": pair.task,
        "label": pair.label,
        "mean_a": scale.raw(pair.a.mean),
        "sd_a": pair.a.sd,
        "n_a": pair.a.n,
        "mean_b": scale.raw(pair.b.mean),
        "sd_b": pair.b.sd,
        "n_b": pair.b.n,
        "difference": scale.raw(pair.difference),
        "pairs": pair.paired.n,
        "p": pair.paired.p,
        "p_holm": pair.adjusted,
        "cells": " ".join(pair.cells),
    }


def _costs(found: SideBySide) -> list[Table]:
    rows, data = [], []
    for one in found.costs:
        cells = [_cost(column, one.costs.get(column)) for column in COSTS]
        if any(cells):
            rows.append(Row((_name(found.a, one), one.task, *cells)))
        data += [_cost_line(one, column, pair) for column, pair in one.costs.items() if pair.ratio is not None]
    if not rows:
        return []
    columns = (Column("Method", "label"), Column("Task", "label"), *(Column(_COSTS[column]) for column in COSTS))
    caption = say(
        "Costs of B over those of A: 1 is no change, 2 twice as much. Times of two machines, or of one that was busy,"
        " say nothing of the methods."
    )
    return [Table("compared-costs", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)]


def _cost(column: str, pair: CostPair | None) -> Cell:
    """A ratio; of no trained parameters in either, nothing."""
    if pair is None:
        return None
    if pair.ratio is None:
        return "0" if pair.a == pair.b and column == "adapter_parameters" else None
    return Number(decimal(pair.ratio, 3), pair.ratio, cells=pair.cells)


def _cost_line(one: CostsOf, column: str, pair: CostPair) -> dict[str, Any]:
    return {
        "backbone": one.backbone,
        "task": one.task,
        "label": one.label,
        "measure": column,
        "mean_a": pair.a,
        "mean_b": pair.b,
        "ratio": pair.ratio,
        "cells": " ".join(pair.cells),
    }


def _name(a: Results, of: ScorePair | CostsOf) -> str:
    return f"{of.label} ({of.backbone})" if len(a.backbones) > 1 else of.label


def _unit(a: Results, tasks: list[str]) -> str:
    said = named_scores(a, tasks).removeprefix("primary metric")
    return said if said == " in points" else f" ({said.strip(' ()')})"

"""Tables of what every cell was given: budgets and hyperparameters."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from records.cell import Budget
from reports.model.document import Column, Number, Row, Table
from reports.model.prose import say
from reports.model.writing import shorten
from reports.results import Results

# More tasks than this take a row each, rather than a column.
TASKS_SIDE_BY_SIDE = 3
_CAPTION = (
    "Budget of every cell, the same for all methods: examples used, passes over the training examples, optimiser"
    " steps (of all phases of a method together), examples per step, tokens to which texts are cut, share of steps"
    " spent warming up, and the norm to which gradients are clipped."
)
# Of longer lists among settings, the length is shown.
LISTED = 4
# The columns, with their names where they are rows.
_SPENT = {
    "Train": "Training examples",
    "Validation": "Validation examples",
    "Test": "Test examples",
    "Epochs": "Epochs",
    "Steps": "Optimiser steps",
    "Batch": "Batch size",
    "Length": "Length (tokens)",
    "Warm-up": "Warm-up (share)",
    "Clip": "Clipping norm",
}
# Those that stand there only where a suite asks for them.
_PARTS = {"Micro-batch": "Examples per pass of the model", "Recomputed": "Activations computed again"}
_EXAMPLES = ("Train", "Validation", "Test")


def budgets(results: Results) -> list[Table]:
    """What each task's cells may spend and what the data gave, by (task, budget); nothing of what others ran."""
    groups: dict[tuple[str, Budget], list[str]] = {}
    for cell_id, cell in results.manifest.cells.items():
        if cell.budget is not None:
            groups.setdefault((cell.task, cell.budget), []).append(cell_id)
    if not groups:
        return []
    data = [_spent(results, *group, ids) for group, ids in groups.items()]
    spent = _SPENT | {name: title for name, title in _PARTS.items() if any(name in line for line in data)}
    turned = len(data) <= TASKS_SIDE_BY_SIDE
    columns: tuple[Column, ...]
    if turned:
        columns = (Column("Per cell", "label"), *(Column(str(line["task"])) for line in data))
        rows = [Row((title, *(_plain(line.get(name)) for line in data))) for name, title in spent.items()]
    else:
        heads = (Column(name, group="Examples" if name in _EXAMPLES else None) for name in spent)
        columns = (Column("Task", "label"), *heads)
        rows = [Row((line["task"], *(_plain(line.get(name)) for name in spent))) for line in data]
    return [Table("budget", say(_CAPTION), columns, tuple(rows), pd.DataFrame(data), wide=not turned)]


def _spent(results: Results, task: str, budget: Budget, ids: list[str]) -> dict[str, Any]:
    """A line of the CSV file; the table shows what is in `_SPENT`, and in `_PARTS` where it is there."""
    uses = [record.data for cell_id in ids if (record := results.records.get(cell_id)) and record.data]
    use = uses[0] if uses else None
    line: dict[str, Any] = {
        "task": task,
        "Train": use.train if use else budget.train_examples,
        "Validation": use.validation if use else budget.validation_examples,
        "Test": use.test if use else budget.test_examples,
        "Epochs": budget.epochs,
        "Steps": max(each.steps for each in uses) if uses else None,  # prompting takes none
        "Batch": budget.batch_size,
        "Length": budget.max_length,
        "Warm-up": budget.warmup,
        "Clip": budget.max_grad_norm,
        "duplicates_removed": use.duplicates_removed if use else None,
        "commits": " ".join(f"{repo}@{commit}" for repo, commit in use.commits.items()) if use else None,
    }
    if budget.micro_batch:
        line["Micro-batch"] = budget.micro_batch
    if budget.activation_checkpointing:
        line["Recomputed"] = "yes"
    if use and use.dropped:
        line["dropped"] = "; ".join(f"{why}: {n}" for why, n in use.dropped.items())
    if unasked := max((each.unasked for each in uses), default=0):
        line["unasked"] = unasked
    return line | {"cells": " ".join(ids)}


def options(results: Results) -> list[Table]:
    """The settings of every task of what others ran, under the names that they have there. Where configurations differ
    in one, how many have which."""
    data = []
    for task in results.tasks:
        cells = [cell for cell in results.manifest.cells.values() if cell.task == task and cell.budget is None]
        names = dict.fromkeys(name for cell in cells for name in cell.task_options)
        for name in names:
            values = Counter(_setting(cell.task_options.get(name)) for cell in cells)
            if len(values) < max(2, len(cells)):  # what differs in each is its name
                of = [value if len(values) == 1 else f"{value} ({n} of {len(cells)})" for value, n in values.items()]
                data.append({"task": task, "setting": name, "value": "; ".join(of)})
    if not data:
        return []
    columns = (Column("Task", "label"), Column("Setting", "label"), Column("Value", "text", share=0.5))
    rows = [Row((line["task"], line["setting"], shorten(line["value"], 120))) for line in data]
    caption = say("What every run was given, as its publishers name it.")
    return [Table("budget", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)]


def _setting(value: Any) -> str:
    """A long list as its length: prompts, say."""
    if isinstance(value, list) and len(value) > LISTED:
        return f"{len(value)} entries"
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class _Given:
    """One set of hyperparameters of a label, and the cells that were given it. `name` tells sets of one label apart."""

    label: str
    name: str
    lr: Any
    weight_decay: Any
    others: dict[str, Any]
    cells: list[str]


def hyperparameters(results: Results) -> list[Table]:
    """Every label's learning rate, weight decay and other hyperparameters."""
    named_apart = any(label != results.method_of(label) for label in results.labels)
    rows, data = [], []
    family = None
    for given in _given(results):
        gap = family is not None and results.family_of(given.label) != family
        family = results.family_of(given.label)
        method = results.method_of(given.label)
        named = (given.name, method) if named_apart else (given.name,)
        rows.append(Row((*named, _rate(given.lr), _plain(given.weight_decay), _pairs(given.others) or None), gap))
        data.append(
            {
                "label": given.label,
                "method": method,
                "lr": given.lr,
                "weight_decay": given.weight_decay,
                "others": json.dumps(given.others, sort_keys=True),
                "cells": " ".join(given.cells),
            }
        )
    columns = (
        Column("Configuration", "label"),
        *((Column("Method", "label"),) if named_apart else ()),
        Column("Learning rate"),
        Column("Weight decay"),
        Column("Other hyperparameters", "text", share=0.42),
    )
    optimiser = "" if results.published else " of AdamW"
    caption = say(
        "Configurations compared: peak learning rate and weight decay{optimiser}, and what else the method asks for.",
        optimiser=optimiser,
    )
    return [Table("hyperparameters", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)]


def _given(results: Results) -> Iterator[_Given]:
    """Of the labels that are shown, in their order."""
    cells = results.manifest.cells
    sets: dict[str, dict[str, list[str]]] = {label: {} for label in results.labels}
    for cell_id, cell in cells.items():
        if cell.label in sets:  # the main part may show fewer than were run
            text = json.dumps(cell.hyperparameters, sort_keys=True)
            sets[cell.label].setdefault(text, []).append(cell_id)
    for label, of_label in sets.items():
        for text, ids in of_label.items():
            values = json.loads(text)
            tasks = ", ".join(sorted({cells[cell_id].task for cell_id in ids}))
            lr, decay = values.pop("lr", None), values.pop("weight_decay", None)
            trained = results.trains(label)
            yield _Given(
                label=label,
                name=f"{label} ({tasks})" if len(of_label) > 1 else label,
                lr=lr if trained else None,
                weight_decay=decay if trained else None,
                others=values,
                cells=ids,
            )


def plain_number(value: float) -> str:
    """A hyperparameter as people write it: 5e-05 is "5e-5", 0.06 "0.06", 2000 "2,000"."""
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:g}" if abs(value) >= 0.01 else _with_power(value)


def _with_power(value: float) -> str:
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _plain(value: Any) -> str | Number | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return Number(plain_number(value), value)


def _rate(value: Any) -> str | Number | None:
    """A learning rate, always as a power of ten, so that rows compare at sight."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        return _plain(value)
    return Number(_with_power(value), value)


def value_text(value: Any) -> str:
    """A hyperparameter or budget value for reading."""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return plain_number(value)
    return str(value)


def _pairs(values: dict[str, Any]) -> str:
    return "; ".join(f"{name} = {value_text(value)}" for name, value in values.items())

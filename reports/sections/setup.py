"""Tables of what was done: budgets, hyperparameters, environment, and the cells that left no result."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from records.cell import Budget
from reports.model.document import Column, Number, Row, Table
from reports.model.writing import shorten
from reports.results import NOT_RUN, SCORED, Results

# More tasks than this take a row each, rather than a column.
TASKS_SIDE_BY_SIDE = 3
_BUDGET = (
    "Budget of every cell, the same for all methods: examples used, passes over the training examples, optimiser"
    " steps (of all phases of a method together), examples per step, tokens to which texts are cut, share of steps"
    " spent warming up, and the norm to which gradients are clipped."
)


def budgets(results: Results) -> list[Table]:
    """What each task's cells may spend and what the data gave; one row per (task, budget)."""
    groups: dict[tuple[str, Budget], list[str]] = {}
    for cell_id, cell in results.manifest.cells.items():
        groups.setdefault((cell.task, cell.budget), []).append(cell_id)
    rows, data = [], []
    for (task, budget), ids in groups.items():
        uses = [record.data for i in ids if (record := results.records.get(i)) and record.data]
        use = uses[0] if uses else None
        values: dict[str, Any] = {
            "Train": use.train if use else budget.train_examples,
            "Validation": use.validation if use else budget.validation_examples,
            "Test": use.test if use else budget.test_examples,
            "Epochs": budget.epochs,
            "Steps": max(each.steps for each in uses) if uses else None,  # prompting takes none
            "Batch": budget.batch_size,
            "Length": budget.max_length,
            "Warm-up": budget.warmup,
            "Clip": budget.max_grad_norm,
        }
        rows.append(Row((task, *(_plain(value) for value in values.values()))))
        measured = {
            "duplicates_removed": use.duplicates_removed if use else None,
            "commits": " ".join(f"{repo}@{commit}" for repo, commit in use.commits.items()) if use else None,
        }
        if use and use.dropped:
            measured["dropped"] = "; ".join(f"{why}: {n}" for why, n in use.dropped.items())
        if unasked := max((each.unasked for each in uses), default=0):
            measured["unasked"] = unasked
        data.append({"task": task} | values | measured | {"cells": " ".join(ids)})
    if len(rows) <= TASKS_SIDE_BY_SIDE:
        turned = _turned([row.cells[0] for row in rows], data)
        return [Table("budget", (_BUDGET,), *turned, pd.DataFrame(data))]
    groups_of = {"Train": "Examples", "Validation": "Examples", "Test": "Examples"}
    columns = [Column("Task", "label"), *(Column(name, group=groups_of.get(name)) for name in values)]
    return [
        Table(
            "budget",
            (_BUDGET,),
            tuple(columns), tuple(rows), pd.DataFrame(data), wide=True,
        )
    ]  # fmt: skip


def _turned(tasks: list[Any], data: list[dict[str, Any]]) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """A row per quantity and a column per task."""
    names = {"Train": "Training examples", "Validation": "Validation examples", "Test": "Test examples",
             "Steps": "Optimiser steps", "Batch": "Batch size", "Length": "Length (tokens)",
             "Warm-up": "Warm-up (share)", "Clip": "Clipping norm"}  # fmt: skip
    unseen = ("task", "cells", "duplicates_removed", "commits", "dropped", "unasked")
    shown = [name for name in data[0] if name not in unseen]
    rows = [Row((names.get(name, name), *(_plain(line[name]) for line in data))) for name in shown]
    return (Column("Per cell", "label"), *(Column(str(task)) for task in tasks)), tuple(rows)


def hyperparameters(results: Results) -> list[Table]:
    """Every label's learning rate, weight decay and other hyperparameters."""
    groups: dict[tuple[str, str], list[str]] = {}
    for cell_id, cell in results.manifest.cells.items():
        groups.setdefault((cell.label, json.dumps(cell.hyperparameters, sort_keys=True)), []).append(cell_id)
    cells = results.manifest.cells
    sets_of = {label: sum(1 for other, _ in groups if other == label) for label, _ in groups}
    named_apart = any(label != results.method_of(label) for label in results.labels)
    rows, data = [], []
    family = None
    for label in results.labels:
        for (of, text), ids in groups.items():
            if of != label:
                continue
            values = json.loads(text)
            others = {k: v for k, v in values.items() if k not in ("lr", "weight_decay")}
            name = label
            if sets_of[label] > 1:
                name += f" ({', '.join(sorted({cells[i].task for i in ids}))})"
            trains = results.trains(label)
            lr, decay = (values.get("lr"), values.get("weight_decay")) if trains else (None, None)
            gap = family is not None and results.family_of(label) != family
            family = results.family_of(label)
            method = (results.method_of(label),) if named_apart else ()
            rows.append(Row((name, *method, _rate(lr), _plain(decay), _pairs(others) or None), gap))
            data.append({"label": label, "method": results.method_of(label), "lr": lr, "weight_decay": decay,
                         "others": json.dumps(others, sort_keys=True), "cells": " ".join(ids)})  # fmt: skip
    columns = (
        Column("Configuration", "label"),
        *((Column("Method", "label"),) if named_apart else ()),
        Column("Learning rate"),
        Column("Weight decay"),
        Column("Other hyperparameters", "text", share=0.42),
    )
    return [
        Table(
            "hyperparameters",
            ("Configurations compared: peak learning rate and weight decay of AdamW, and what else the method"
             " asks for.",),
            columns, tuple(rows), pd.DataFrame(data), wide=True,
        )
    ]  # fmt: skip


def unfinished(results: Results) -> list[Table]:
    """The cells without a score, with their reasons; cells that share a reason share a row."""
    cells = results.cells[~results.cells["status"].isin(SCORED)]
    if cells.empty:
        return []
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for cell_id in map(str, cells.index):
        cell = results.manifest.cells[cell_id]
        status, reason = str(cells.loc[cell_id, "status"]), cells.loc[cell_id, "reason"]
        reason = reason if isinstance(reason, str) else ""
        groups.setdefault((cell.label, cell.task, status, reason), []).append(cell_id)
    rows, data = [], []
    for (label, task, status, reason), ids in groups.items():
        seeds = sorted({results.manifest.cells[i].seed for i in ids})
        backbones = sorted({results.manifest.cells[i].backbone for i in ids})
        seed_text = ", ".join(map(str, seeds))
        said = reason or ("the run did not reach this cell" if status == NOT_RUN else "no reason recorded")
        rows.append(Row((label, task, seed_text, status, shorten(said))))
        data.append({"label": label, "task": task, "backbones": " ".join(backbones), "seeds": seed_text,
                     "status": status, "reason": reason, "cells": " ".join(ids)})  # fmt: skip
    columns = (
        Column("Method", "label"),
        Column("Task", "label"),
        Column("Seeds", "text", share=0.1),
        Column("Status", "label"),
        Column("Reason", "text", share=0.5),
    )
    caption = (
        f"The {len(cells)} of {len(results.cells)} cells without a score: failed, not applicable (n/a) or not"
        f" run{_more_statuses(cells)}. They are part of the result and are left out of every mean.",
    )
    return [Table("unfinished", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)]


def _more_statuses(cells: pd.DataFrame) -> str:
    said = {"undefined": "undefined (the primary metric has no finite value)", "broken": "broken (the record cannot be"
            " read)"}  # fmt: skip
    return "".join(f", or {words}" for status, words in said.items() if (cells["status"] == status).any())


def environment(results: Results) -> list[Table]:
    """Machine and software of the commonest environment; how many records differ is said in the caption."""
    environments = results.environments()
    if not environments:
        return []
    first, ids = environments[0]
    pairs = environment_pairs(first)
    rows = tuple(Row(pair) for pair in pairs)
    others = len(environments) - 1
    caption = f"Environment of {len(ids)} of {len(results.records)} records" + (
        f"; the others come from {others} other environment{'s' if others > 1 else ''}, listed in the HTML page."
        if others
        else "."
    )
    columns = (Column("Property", "label"), Column("Value", "text", share=0.6))
    return [Table("environment", (caption,), columns, rows, pd.DataFrame(pairs, columns=["property", "value"]))]


def environment_pairs(environment: dict[str, Any]) -> list[tuple[str, str]]:
    """An environment as (property, value) texts; unknown properties are kept. What was another when cost was profiled
    comes last."""
    pairs = []
    for key, value in environment.items():
        if value is None or key in ("versions", "dirty", "profiled"):
            continue
        if key == "memory_bytes" and isinstance(value, (int, float)):
            pairs.append(("memory", f"{value / 1e9:.1f} GB"))
        elif key == "commit":
            pairs.append(("commit", f"{value}{' with local changes' if environment.get('dirty') else ''}"))
        else:
            pairs.append((str(key), str(value)))
    versions = environment.get("versions")
    if isinstance(versions, dict):
        pairs += [(str(package), str(version)) for package, version in versions.items()]
    if profiled := environment.get("profiled"):
        pairs += [(f"{name}, when profiled", value) for name, value in environment_pairs(profiled)]
    return pairs


def plain_number(value: float) -> str:
    """A hyperparameter as people write it: 5e-05 is "5e-5", 0.06 "0.06", 2000 "2,000"."""
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    if abs(value) >= 0.01:
        return f"{value:g}"
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
    mantissa, exponent = f"{value:e}".split("e")
    return Number(f"{float(mantissa):g}e{int(exponent)}", value)


def value_text(value: Any) -> str:
    """A hyperparameter or budget value for reading."""
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return plain_number(value)
    return str(value)


def _pairs(values: dict[str, Any]) -> str:
    return "; ".join(f"{name} = {value_text(value)}" for name, value in values.items())

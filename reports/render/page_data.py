"""What the page's script reads: every cell and every mean behind a point, as JSON that cannot become mark-up.

`overview` is read when the page opens and holds columns, one value per cell; `details` is read when the first
cell is opened and holds one entry per cell, in the same order.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from records.record import Record
from records.store import RecordStore
from records.vocabulary import Quantity, listed
from reports.analysis.analysis import Analysis
from reports.analysis.exclusion import ShownWorse
from reports.analysis.groups import ALL, groups, plain_number
from reports.model.environments import environment_pairs
from reports.model.writing import population
from reports.results import Results, environment_of, metric_values
from reports.scales import UNDEFINED, read_scale

# Characters of a log that the page carries: of a cell that failed, and of all others together.
FAILED_LOG, ALL_LOGS = 8_000, 3_000_000


def _measure(quantity: Quantity) -> dict[str, Any]:
    """`scored` ones are written and judged by the scale of each task's metric, and averaged over tasks of one scale
    only. The page's units are called otherwise than ours."""
    return {
        "key": quantity.name,
        "title": quantity.title,
        "kind": "plain" if quantity.unit == "ratio" else quantity.unit,
        "better": "higher" if quantity.higher_is_better else "lower",
        "profiled": quantity.profiled,
        "scored": quantity.kind == "score",
        "counted": quantity.kind == "counted",
    }


def script_text(data: Any) -> str:
    """JSON for a script element: no character of it can end the element or begin mark-up."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class _Index:
    """Distinct values by the order in which they came; each is named by its number."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.numbers: dict[str, int] = {}
        for value in values:
            self(value)

    def __call__(self, value: str) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    @property
    def values(self) -> list[Any]:
        return list(self.numbers)


def overview(results: Results) -> dict[str, Any]:
    """The columns of all cells, what their numbers stand for, and the means of every group of seeds."""
    labels, tasks, backbones = _Index(results.labels), _Index(results.tasks), _Index(results.backbones)
    statuses, protocols = _Index(), _Index()
    table = results.cells
    columns: dict[str, list[Any]] = {
        "backbone": [backbones(name) for name in table["backbone"]],
        "label": [labels(name) for name in table["label"]],
        "task": [tasks(name) for name in table["task"]],
        "seed": table["seed"].astype(int).tolist(),
        "status": [statuses(name) for name in table["status"]],
        "protocol": [_protocol(results.records.get(str(cell_id)), protocols) for cell_id in table.index],
    }
    there = [m for m in listed() if m.name in table and table[m.name].notna().any()]
    measured = {m.name: _numbers(_as_measured(results, m)) for m in there}
    averaged = [tasks(name) for name in results.averaged(results.tasks)]
    return {
        "ids": table.index.tolist(),
        "columns": columns | measured,
        "measures": [_measure(m) for m in there],
        "statuses": statuses.values,
        "labels": [_label(results, name) for name in results.labels],
        "tasks": [
            {
                "name": task,
                "title": results.title("tasks", task),
                "metric": results.metric(task),
                "key": results.metric_key(task),
                "scales": _scales(results, task),
            }
            for task in results.tasks
        ],
        "averaged": averaged,
        "backbones": [{"name": n, "title": results.title("backbones", n)} for n in results.backbones],
        "groups": groups(columns, measured, averaged),
    }


def ranked(analysis: Analysis) -> list[dict[str, Any]]:
    """What is shown of scores, for each backbone on each task and over all of them: by number of the label its rank,
    and the lowest and highest that it may have; and pairs of labels of which the first is shown to be better."""
    results, made = analysis.results, []
    labels = {label: number for number, label in enumerate(results.labels)}
    for number, backbone in enumerate(results.backbones):
        found = [(task, analysis.rank_sets.of(backbone, (name,))) for task, name in enumerate(results.tasks)]
        if len(results.tasks) > 1:
            found.append((ALL, analysis.rank_sets.over_all(backbone)))
        for task, of in found:
            if of is not None:
                sets = {labels[label]: [one.rank, one.low, one.high] for label, one in of.sets.items()}
                better = sorted([labels[a], labels[b]] for a, b in of.better)
                entry = {
                    "backbone": number,
                    "task": task,
                    "population": population(of.population),
                    "sets": sets,
                    "better": better,
                }
                made.append(entry)
    return made


def shown_worse(results: Results, found: ShownWorse) -> list[dict[str, Any]]:
    """For the chooser: by the numbers of backbone, task and label those labels that a label is shown to be worse
    than."""
    labels, tasks, backbones = results.labels.index, results.tasks.index, results.backbones.index
    return [
        {
            "backbone": backbones(backbone),
            "task": ALL if task is None else tasks(task),
            "than": {labels(label): sorted(map(labels, others)) for label, others in of.items()},
        }
        for (backbone, task), of in found.items()
    ]


def _as_measured(results: Results, measure: Quantity) -> pd.Series:
    """A column with every score as its metric has it."""
    column = results.cells[measure.name]
    if measure.kind != "score":
        return column
    return pd.Series(
        [results.scale(task).raw(score) for task, score in zip(results.cells["task"], column, strict=True)]
    )


def _scales(results: Results, task: str) -> dict[str, dict[str, str]]:
    """How every metric of a task is written, as far as its card says so."""
    found = {}
    for metric in results.task_card(task).scales:
        scale = read_scale(results.task_card(task), metric, metric_values(results.records.values(), task, metric))
        kind = "points" if scale.in_points else f"places:{scale.decimals}"
        found[metric] = {"kind": kind, "better": "higher" if scale.higher_is_better else "lower"}
    return found


def _label(results: Results, name: str) -> dict[str, Any]:
    method = results.method_of(name)
    return {
        "name": name,
        "method": method,
        "title": results.title("methods", method),
        "family": results.family_of(name),
        "quantised": results.method_card(method).quantised,
    }


def _protocol(record: Record | None, protocols: _Index) -> int | None:
    if record is None or record.cost is None:
        return None
    return protocols(json.dumps(record.cost.protocol, sort_keys=True))


def _numbers(column: pd.Series) -> list[float | None]:
    return [plain_number(value) for value in column.tolist()]


def details(results: Results, output: Path) -> dict[str, Any]:
    """What the cell views show. What many cells share (configurations, environments) is there once."""
    shared, environments = _Index(), _Index()
    scored_log = min(FAILED_LOG, ALL_LOGS // max(1, len(results.manifest.cells)))
    cells = []
    for cell_id, cell in results.manifest.cells.items():
        record = results.records.get(cell_id)
        common = cell.model_dump(mode="json", exclude={"seed", "task", "backbone", "label", "method"})
        found: dict[str, Any] = {"cell": shared(json.dumps(common, sort_keys=True))}
        if record is not None:
            environment = json.dumps(environment_pairs(environment_of(record)))
            elsewhere = {"id", "cell", "status", "environment", "profiled", "schema_version"}
            found |= record.model_dump(mode="json", exclude=elsewhere)
            if isinstance(reason := results.cells.loc[cell_id, "reason"], str):
                found["reason"] = reason  # the record itself has none for a score that is undefined
            for name in ("test", "validation"):
                found[name] = {
                    metric: value if math.isfinite(value) else UNDEFINED
                    for metric, value in getattr(record, name).items()
                }
            for name in ("history", "rewound"):
                for line, measured in zip(found[name], getattr(record, name), strict=True):
                    line["validation"] = measured.validation
            for metric, later in record.rescored.items():
                if later.was is not None and not math.isfinite(later.was):
                    found["rescored"][metric]["was"] = UNDEFINED
            found["environment"] = environments(environment) if record.environment else None
            if record.cost is not None and len(record.cost.phases) == 1:
                del found["cost"]["phases"]  # the one phase is the whole
        longest = scored_log if record and record.test else FAILED_LOG
        found |= _files(results.root, cell_id, output, longest)
        cells.append(found)
    keys = _Index()
    return {
        "cells": [packed(_finite(found), keys) for found in cells],
        "keys": [json.loads(text) for text in keys.values],
        "shared": [_finite(json.loads(text)) for text in shared.values],
        "environments": [_finite(json.loads(text)) for text in environments.values],
        "plugins": results.suite.get("plugins") or [],
    }


def packed(value: Any, keys: _Index) -> Any:
    """The same data with the keys of mappings told once: of thousands of records they are a third. A mapping is
    the number of its keys and then its values, a list -1 and then its items."""
    if isinstance(value, dict):
        return [keys(json.dumps(list(value))), *(packed(inner, keys) for inner in value.values())]
    return [-1, *(packed(inner, keys) for inner in value)] if isinstance(value, list) else value


def _files(root: Path, cell_id: str, output: Path, longest: int) -> dict[str, Any]:
    """Links to what the cell left behind, relative to the page, and the end of its log. A link is none of it: it may
    lead anywhere."""
    store = RecordStore(root)
    folder = store.folder(cell_id)
    places = {name: folder / name for name in ("record.json", "log.txt", "published.json")}
    here = [name for name, path in places.items() if path.is_file() and not _links(path, folder, folder.parent)]
    links = [[name, quote(Path(os.path.relpath(folder / name, output)).as_posix())] for name in here]
    return {"files": links, "log": store.read_log(cell_id, longest)}


def _links(*paths: Path) -> bool:
    return any(path.is_symlink() for path in paths)


def _finite(value: Any) -> Any:
    """The same data with nothing where a number is not finite: JSON has no word for it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value

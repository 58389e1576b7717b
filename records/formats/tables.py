"""A results folder as two tidy tables in Parquet, which any program reads: a row for each cell, and a row for each
answer that a cell kept. The same records give the same bytes.

What differs in shape from cell to cell (hyperparameters, options, a prediction and its reference) stands as JSON.
Test examples are named by their ids; their texts belong to their data sets, and are not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from records.predictions import Predictions
from records.record import Manifest, Record, StepCost
from records.store import RecordStore, ResultsError
from records.text import one_line

CELLS, PREDICTIONS = "cells.parquet", "predictions.parquet"

# Of the budget and of what was measured, what is one number a cell.
_BUDGET = ("train_examples", "validation_examples", "test_examples", "epochs", "batch_size", "max_length")
_COUNTED = ("adapter", "head", "total", "backbone")
_COST_BYTES = (
    "peak_memory_bytes", "weights_bytes", "gradient_bytes", "optimizer_bytes", "activation_bytes", "stored_bytes",
    "train_flops", "inference_flops", "backbone_inference_flops",
)  # fmt: skip
_COST_TIMES = (
    "step_seconds", "yardstick_seconds", "train_tokens_per_second", "inference_seconds", "merged_inference_seconds",
    "backbone_inference_seconds", "matmul_flops_per_second", *StepCost.model_fields,
)  # fmt: skip

# Columns by which a row of answers finds its cell, and is chosen without looking there.
_CELL = ("backbone", "label", "task", "seed")


def write_cells(path: Path, manifest: Manifest, records: Mapping[str, Record]) -> int:
    """A row for each cell of the manifest, those without a record included; returns their number. Raises OSError, and
    ResultsError where a number is too large for any table."""
    metrics = {
        split: list(dict.fromkeys(name for record in records.values() for name in getattr(record, split)))
        for split in ("test", "validation")
    }
    rows = [_row(cell_id, manifest, records.get(cell_id), metrics) for cell_id in manifest.cells]
    pq.write_table(_table(rows, _schema(metrics)), path, compression="zstd")
    return len(rows)


def _schema(metrics: Mapping[str, list[str]]) -> pa.Schema:
    text, number, count = pa.string(), pa.float64(), pa.int64()
    fields: dict[str, pa.DataType] = dict.fromkeys(
        (
            "id",
            "backbone",
            "backbone_revision",
            "method",
            "method_revision",
            "family",
            "label",
            "task",
            "task_revision",
        ),
        text,
    )
    fields |= {"seed": count} | dict.fromkeys(("form", "precision", "hyperparameters", "task_options"), text)
    fields |= dict.fromkeys(_BUDGET, count) | dict.fromkeys(("status", "reason", "metric"), text) | {"score": number}
    fields |= {f"{split}_{name}": number for split, names in metrics.items() for name in names}
    fields |= {f"{name}_parameters": count for name in _COUNTED} | {"percent_parameters": number}
    fields |= dict.fromkeys(_COST_BYTES, count) | dict.fromkeys(_COST_TIMES, number)
    fields |= dict.fromkeys(("train_used", "test_used", "steps", "train_tokens"), count)
    fields |= {"forgetting_before": number, "forgetting_after": number, "seconds": number}
    fields |= dict.fromkeys(("started", "finished", "device", "arithmetic", "versions", "commit", "source"), text)
    return pa.schema(list(fields.items()))


def _row(cell_id: str, manifest: Manifest, record: Record | None, metrics: Mapping[str, list[str]]) -> dict[str, Any]:
    cell, cards = manifest.cells[cell_id], manifest.cards
    method, task = cards.methods.get(cell.method), cards.tasks.get(cell.task)
    row: dict[str, Any] = {"id": cell_id, "family": method.family if method else None}
    names = ("backbone", "backbone_revision", "method", "method_revision", "label", "task", "task_revision", "seed")
    row |= {name: getattr(cell, name) for name in (*names, "form", "precision")}
    row |= {name: _json(getattr(cell, name)) for name in ("hyperparameters", "task_options")}
    row |= {name: getattr(cell.budget, name) for name in _BUDGET} if cell.budget else {}
    if record is None:
        return row | {"status": "not run"}
    metric = str(task.metrics[0]) if task and task.metrics else next(iter(record.test), None)
    row |= {"status": record.status, "reason": record.reason, "metric": metric, "score": record.test.get(metric or "")}
    for split, known in metrics.items():
        row |= {f"{split}_{name}": getattr(record, split).get(name) for name in known}
    if (counted := record.parameters) is not None:
        row |= {f"{name}_parameters": getattr(counted, name) for name in (*_COUNTED, "percent")}
    if (cost := record.cost) is not None:
        row |= {name: getattr(cost, name) for name in (*_COST_BYTES, *_COST_TIMES)}
    if (used := record.data) is not None:
        row |= {"train_used": used.train, "test_used": used.test, "steps": used.steps}
        row |= {"train_tokens": used.train_tokens}
    row |= {f"forgetting_{name}": record.forgetting.get(name) for name in ("before", "after")}
    told = {"device": "device", "precision": "arithmetic", "commit": "commit"}
    row |= {column: _text(record.environment.get(name)) for name, column in told.items()}
    row |= {"seconds": record.seconds, "started": record.started, "finished": record.finished}
    row |= {"versions": _json(record.environment.get("versions") or {})}
    return row | {"source": record.published.source if record.published else None}


def write_predictions(path: Path, store: RecordStore, records: Iterable[Record]) -> int:
    """A row for each answer that was kept, cell by cell; returns their number, and writes no file where there is none.
    Raises OSError, and ResultsError where a cell's file cannot be used."""
    held = [record for record in records if "predictions.parquet" in record.kept]
    found = {record.id: _scored(store, record) for record in held}
    metrics = list(dict.fromkeys(name for names in found.values() for name in names or ()))
    kept = [record for record in held if found[record.id] is not None]
    if not kept:
        return 0
    schema, rows = _schema_of_answers(metrics), 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for record in kept:
            answers = store.predictions(record)
            assert answers is not None
            writer.write_table(_table(list(_answers(record, answers, metrics)), schema))
            rows += len(answers)
    return rows


def _scored(store: RecordStore, record: Record) -> list[str] | None:
    """The metrics whose values on examples a cell kept; None where its file is gone."""
    answers = store.predictions(record)
    return None if answers is None else list(answers.scores)


def _schema_of_answers(metrics: list[str]) -> pa.Schema:
    text, number = pa.string(), pa.float64()
    fields: dict[str, pa.DataType] = {"cell": text} | dict.fromkeys(_CELL, text) | {"seed": pa.int64()}
    fields |= dict.fromkeys(("kind", "example", "reference", "prediction"), text) | {"tokens": pa.int32()}
    fields |= {f"score_{name}": number for name in metrics}
    fields |= dict.fromkeys(("probabilities", "likelihoods"), pa.list_(pa.float32()))
    return pa.schema(list(fields.items()))


def _answers(record: Record, found: Predictions, metrics: list[str]) -> Iterator[dict[str, Any]]:
    common = {"cell": record.id, "kind": found.kind} | {name: getattr(record.cell, name) for name in _CELL}
    for index, example in enumerate(found.examples):
        row = common | {"example": example, "tokens": found.tokens[index] if found.tokens else None}
        row |= {"reference": _json(found.references[index]), "prediction": _json(found.predictions[index])}
        row |= {f"score_{name}": found.scores[name][index] for name in metrics if name in found.scores}
        for name in ("probabilities", "likelihoods"):
            values = getattr(found, name)
            row |= {name: values[index]} if values else {}
        yield row


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise ResultsError(f"a record has what a table cannot hold: {one_line(error, 200)}") from None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)

"""Records in the schema of Every Eval Ever, a shared store of evaluations: for each cell one aggregate file, and one
of its test examples where predictions and texts were kept.

    data/<collection>/<developer>/<model>/<uuid>.json
    data/<collection>/<developer>/<model>/<uuid>_samples.jsonl

A cell is a model of its own, the backbone as this method has adapted it: under the backbone's own id its scores would
be taken for the backbone's. Nothing is told that a record does not tell.

https://github.com/evaleval/every_eval_ever, schema 0.3.0
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from records.cards import Metric, TaskCard
from records.cell import Cell
from records.formats.every_eval_ever_samples import samples
from records.predictions import Predictions
from records.record import Manifest, Record

SCHEMA = "0.3.0"
LIBRARY = "adaptbench"


@dataclass(frozen=True)
class Evaluation:
    """One cell's two files, by their paths below the folder; `samples` is empty where there is no second one."""

    aggregate: str
    aggregate_path: str
    samples: str
    samples_path: str


@dataclass(frozen=True)
class Collection:
    """What the evaluations of one results folder share: names that paths can hold, of the collection and of each
    configuration's model; who says all this; and when, as seconds since 1970."""

    manifest: Manifest
    name: str
    models: Mapping[tuple[str, str], str]
    organisation: str
    retrieved: int


def evaluation(
    record: Record, found: Predictions | None, texts: Mapping[str, Mapping[str, Any]], collection: Collection
) -> Evaluation | None:
    """Of a cell with predictions, where it kept them, and the texts of test examples by id. None where the cell has no
    score that is a finite number."""
    task = collection.manifest.cards.tasks.get(record.cell.task)
    task = task or TaskCard(record.cell.task, record.cell.task, "", tuple(record.test), "", "", "unknown", "")
    results = _results(record, task, found)
    if not results:
        return None
    model = f"{LIBRARY}/{collection.models[record.cell.backbone, record.cell.label]}"
    # The same cell has the same name whenever it is exported.
    digest = hashlib.sha256(f"{collection.name}/{record.id}".encode()).digest()
    stem = f"data/{collection.name}/{model}/{uuid.UUID(bytes=digest[:16], version=4)}"
    identity = {
        "schema_version": SCHEMA,
        "evaluation_id": f"{collection.name}/{model.replace('/', '_')}/{record.id}",
    }
    by_metric = {str(each["evaluation_result_id"]): str(each["metric_config"]["metric_id"]) for each in results}
    lines = samples(record.cell, task, found, texts, identity | {"model_id": model}, by_metric) if found else []
    # In ASCII, since readers of theirs end a line wherever Unicode does, within a text too.
    content = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    log = identity | {
        "evaluation_timestamp": record.finished,
        "retrieved_timestamp": str(collection.retrieved),
        "source_metadata": _source(record, collection),
        "eval_library": _library(record),
        "model_info": _model(record, collection.manifest, model),
        "evaluation_results": results,
    }
    if lines:
        log["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": f"{stem}_samples.jsonl",
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(content.encode()).hexdigest(),
            "total_rows": len(lines),
        }
    text = json.dumps(log, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    return Evaluation(text, f"{stem}.json", content, f"{stem}_samples.jsonl")


def _source(record: Record, collection: Collection) -> dict[str, Any]:
    published = record.published
    return {
        "source_name": published.source if published else str(collection.manifest.suite.get("name", collection.name)),
        "source_type": "documentation" if published else "evaluation_run",
        "source_organization_name": collection.organisation,
        # Whoever trained the adapter has evaluated it.
        "evaluator_relationship": "first_party",
    }


def _library(record: Record) -> dict[str, Any]:
    versions = record.environment.get("versions")
    versions = dict(versions) if isinstance(versions, dict) else {}
    own = LIBRARY if record.published is None else "peft"
    told = {name: record.environment.get(name) for name in ("commit", "platform", "device", "precision")}
    return {
        "name": own if record.published is None else "peft method_comparison",
        "version": str(versions.pop(own, "unknown")),
        "additional_details": _texts(versions | told),
    }


def _model(record: Record, manifest: Manifest, model: str) -> dict[str, Any]:
    cell, counted = record.cell, record.parameters
    backbone, method = manifest.cards.backbones.get(cell.backbone), manifest.cards.methods.get(cell.method)
    title = (backbone and backbone.title) or cell.backbone
    told: dict[str, Any] = {
        "deployment_type": "self_deployed",
        "model_availability": "unknown",
        "base_model": cell.backbone,
        "base_model_revision": cell.backbone_revision,
        "base_model_licence": backbone.licence if backbone else None,
        "adapter_method": cell.method,
        "adapter_label": cell.label,
        "adapter_hyperparameters": cell.hyperparameters,
        "adapter_revision": cell.method_revision,
        "trained_parameters": counted.total if counted else None,
        "seed": cell.seed,
        "form": cell.form,
        "budget": cell.budget.model_dump(mode="json") if cell.budget else None,
        "cell": record.id,
    }
    return {
        "name": f"{title}, {(method and method.title) or cell.label}",
        "id": model,
        "developer": LIBRARY,
        "additional_details": _texts(told),
    }


def _results(record: Record, task: TaskCard, found: Predictions | None) -> list[dict[str, Any]]:
    used = record.data
    results = []
    for name, value in record.test.items():
        if not math.isfinite(value):
            continue
        scale = task.scales.get(name) if name not in task.assumed else None
        low, high = (scale.low, scale.high) if scale else (None, None)
        # Sums in single precision may leave the range by a hair, which the schema allows nobody.
        value = max(value if low is None else low, min(value if high is None else high, value))
        details: dict[str, Any] = {"score": value}
        if uncertainty := _uncertainty(found, name):
            details["uncertainty"] = uncertainty
        results.append(
            {
                "evaluation_result_id": f"{record.cell.task}.{name}",
                "evaluation_name": f"{LIBRARY}.{record.cell.task}",
                "source_data": _data(record, task),
                "metric_config": _metric(name, scale, low, high) | {"evaluation_description": task.summary},
                "score_details": details,
                "generation_config": _generation(record.cell, task, used.test if used else None),
            }
        )
    return results


def _metric(name: str, scale: Metric | None, low: float | None, high: float | None) -> dict[str, Any]:
    """A bound that there is not, or that was only assumed, is an infinity, for which the schema has words."""
    return {
        "metric_id": name,
        "metric_name": name,
        "metric_kind": name,
        **({"metric_unit": "proportion"} if (low, high) == (0.0, 1.0) else {}),
        "lower_is_better": scale is not None and not scale.higher_is_better,
        "score_type": "continuous",
        "min_score": "-Infinity" if low is None else low,
        "max_score": "Infinity" if high is None else high,
    }


def _uncertainty(found: Predictions | None, metric: str) -> dict[str, Any] | None:
    """On other test examples, of a mean over examples by their standard deviation, of another metric by its bootstrap.
    None where the cell kept neither, or has fewer than two."""
    if found is None:
        return None
    if len(values := found.scores.get(metric, [])) > 1 and all(map(math.isfinite, values)):
        deviation = statistics.stdev(values)
        error = {"value": deviation / math.sqrt(len(values)), "method": "analytic"}
        return {"standard_error": error, "standard_deviation": deviation, "num_samples": len(values)}
    drawn = [value for value in found.resampled.get(metric, []) if math.isfinite(value)]
    if len(drawn) > 1:
        error = {"value": statistics.stdev(drawn), "method": "bootstrap"}
        return {"standard_error": error, "num_samples": len(found), "num_bootstrap_samples": len(drawn)}
    return None


def _data(record: Record, task: TaskCard) -> dict[str, Any]:
    """The hub's repository, where the data came from one."""
    cell, used = record.cell, record.data
    told = {"licence": task.licence, "split": task.split, "task_revision": cell.task_revision} | cell.task_options
    commits = used.commits if used else {}
    if len(commits) != 1:
        return {
            "dataset_name": cell.task,
            "source_type": "other",
            "additional_details": _texts(told | {"commits": commits or None}),
        }
    [(repo, commit)] = commits.items()
    size = {"samples_number": used.test} if used and used.test is not None else {}
    details = _texts(told | {"revision": commit})
    return {
        "dataset_name": cell.task,
        "source_type": "hf_dataset",
        "hf_repo": repo,
        **size,
        "additional_details": details,
    }


def _generation(cell: Cell, task: TaskCard, examples: int | None) -> dict[str, Any]:
    budget = cell.budget
    generates = task.kind == "generation" and budget is not None
    arguments = {"max_tokens": budget.max_target_length} if generates and budget else {}
    told = {"form": cell.form, "max_length": budget.max_length if budget else None, "examples": examples}
    return {"generation_args": arguments, "additional_details": _texts(told)}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Every value as a text, as the schema wants them; without those that are not told."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        for name, value in values.items()
        if value is not None and value != ""
    }

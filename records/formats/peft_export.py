"""Records as the result files that huggingface/peft publishes in its method_comparison: the way back of
`records.formats.peft`.

A record that was read from such a file has that file beside it, which is what leaves again, to the byte. Of a run of
ours the file has what the record tells under peft's names; what peft's files always have and a record does not tell is
null, and what has no name there stands under our own. A method that is none of peft's has its own name as
`peft_type`, since peft reads no configuration as "all of the model is trained".

https://github.com/huggingface/peft/tree/main/method_comparison
"""

from __future__ import annotations

import math
import re
from typing import Any

from records.formats.names import portable
from records.formats.peft import OF_THE_EXPERIMENT
from records.formats.peft_benchmarks import BENCHMARKS
from records.record import Record

# What is told of how a cell was trained rather than of its adapter.
_OF_TRAINING = ("lr", "weight_decay", "optimizer_kwargs", *OF_THE_EXPERIMENT)
# Packages whose versions peft's own tables ask for.
_PACKAGES = ("peft", "transformers", "datasets", "torch", "bitsandbytes")
_COMMIT = re.compile("[0-9a-f]{40}")


def experiment_name(record: Record) -> str:
    """As <method>/<experiment>."""
    if record.published is not None:
        return record.published.experiment
    cell = record.cell
    backbone = cell.backbone.rpartition("/")[2]
    return f"{portable(cell.method)}/{portable(f'{backbone}-{cell.label}-{cell.task}')}-seed{cell.seed}-{record.id}"


def content(record: Record) -> dict[str, Any]:
    """The file of a record that has a result, or has failed, as plain data without NaN or infinities."""
    made = {"run_info": _run_info(record), "train_info": _train_info(record), "meta_info": _meta_info(record)}
    return {part: _finite(values) for part, values in made.items()}


def _run_info(record: Record) -> dict[str, Any]:
    published = record.published
    return {
        "created_at": record.started,
        "total_time": record.seconds,
        "experiment_name": experiment_name(record),
        "peft_branch": published.branch if published else None,
        "train_config": _train_config(record),
        "peft_config": _peft_config(record),
        "error_msg": record.reason or "",
    }


def _train_config(record: Record) -> dict[str, Any]:
    """What an imported cell has among its hyperparameters and its task's options comes from here; a cell of ours has a
    budget."""
    cell, given = record.cell, record.cell.hyperparameters
    trained = {name: given[name] for name in ("lr", "weight_decay") if name in given}
    found: dict[str, Any] = {"model_id": cell.backbone, "seed": cell.seed}
    found["optimizer_kwargs"] = trained | dict(given.get("optimizer_kwargs") or {})
    if cell.budget is None:
        found |= {name: given[name] for name in OF_THE_EXPERIMENT if name in given}
        return found | {name: value for name, value in cell.task_options.items() if name != "experiment"}
    budget = cell.budget
    return found | {
        "task": cell.task,
        "task_options": cell.task_options,
        "form": cell.form,
        "precision": record.environment.get("precision"),
        "batch_size": budget.batch_size,
        "max_seq_length": budget.max_length,
        "max_steps": record.data.steps if record.data else None,
        "grad_norm_clip": budget.max_grad_norm,
        "budget": budget.model_dump(mode="json"),
    }


def _peft_config(record: Record) -> dict[str, Any] | None:
    cell = record.cell
    if cell.method == "full":
        return None
    adapter = {name: value for name, value in cell.hyperparameters.items() if name not in _OF_TRAINING}
    library, _, kind = cell.method.partition(":")
    if library == "peft" and kind:
        return {"peft_type": kind.upper()} | adapter
    return {"peft_type": cell.method, "implementation": "adaptbench"} | adapter


def _train_info(record: Record) -> dict[str, Any]:
    cost, counted = record.cost, record.parameters
    return {
        "accelerator_memory_reserved_avg": None,
        "accelerator_memory_max": cost.peak_memory_bytes if cost else None,
        "accelerator_memory_reserved_99th": None,
        "train_time": None,
        "file_size": cost.stored_bytes if cost else None,
        "num_trainable_params": counted.total if counted else None,
        "num_total_params": None,
        "status": "success" if record.status in ("trained", "ok") else record.status,
        "metrics": _metrics(record),
    }


def _metrics(record: Record) -> list[dict[str, Any]]:
    """A line for each validation, and one for the test, whose further metrics have their own names where peft has
    names for them."""
    benchmark = next((each for each in BENCHMARKS if each.card.name == record.cell.task), None)
    own = benchmark.others if benchmark is not None and record.published is not None else ()
    lines: list[dict[str, Any]] = [
        {"step": line.step, "train loss": line.train_loss}
        | {f"valid {name}": value for name, value in line.validation.items()}
        for line in record.history
    ]
    if record.test:
        scores = {name if name in own else f"test {name}": value for name, value in record.test.items()}
        used = record.data
        last = {
            "step": used.steps if used else None,
            "train loss": record.history[-1].train_loss if record.published is None and record.history else None,
            "train samples": used.train if used and record.published is not None else None,
            "train total tokens": used.train_tokens if used else None,
        }
        lines.append(last | scores)
    return lines


def _meta_info(record: Record) -> dict[str, Any]:
    cell, environment = record.cell, record.environment
    versions = environment.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    packages: dict[str, Any] = {f"{name}-version": versions.get(name) for name in (*_PACKAGES, *versions)}
    commit = environment.get("commit")
    whose = "peft" if record.published is not None else "adaptbench"
    packages["peft-commit-hash"] = None
    packages[f"{whose}-commit-hash"] = commit
    commits = record.data.commits if record.data else {}
    sources: dict[str, Any] = {name: {"sha": sha} for name, sha in commits.items()}
    return {
        "model_info": {"sha": cell.backbone_revision} if _COMMIT.fullmatch(cell.backbone_revision) else None,
        # Of one repository that the configuration names, peft's files have the commit alone.
        "dataset_info": sources.get(str(cell.task_options.get("dataset_id")), sources),
        "package_info": packages,
        "system_info": _system(record) | {"accelerator": environment.get("device")},
    }


def _system(record: Record) -> dict[str, Any]:
    """peft's files have the platform in three parts, which the import joins."""
    platform, processor = record.environment.get("platform"), record.environment.get("processor")
    parts = str(platform or "").split()
    if record.published is not None:
        return dict(zip(("system", "release", "machine"), parts, strict=True)) if len(parts) == 3 else {}
    return {"platform": platform, "processor": processor}


def _finite(value: Any) -> Any:
    """JSON has no word for the others."""
    match value:
        case dict():
            return {name: _finite(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
    return value

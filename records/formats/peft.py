"""The result files that huggingface/peft publishes in its method_comparison: one experiment a file, as JSON, in two
schemas, for MetaMathQA and for image generation.

A file is read as one record of one seed, without anything that it does not say. What is read is checked; all else is
kept as it stands, since the file itself is (`Record.kept`).

Mangrulkar et al. PEFT: State-of-the-art Parameter-Efficient Fine-Tuning methods. 2022.
https://github.com/huggingface/peft/tree/main/method_comparison
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from records.cell import Cell
from records.formats.peft_file import Experiment, score_in
from records.record import Cost, DataUse, Evaluation, Parameters, Published, Record
from records.text import one_line, printable

SOURCE = "huggingface/peft, method_comparison"
# What peft's scripts write where the size of the checkpoint could not be found out.
UNKNOWN_SIZE = 99_999_999
# A value that is longer as JSON is left out of the hyperparameters: the masks, say, that AdaLoRA has come to.
LONGEST_VALUE = 1000

# Fields of peft's configurations that say where a model comes from, or what is done with it.
_BOOKKEEPING = {
    "auto_mapping", "base_model_name_or_path", "inference_mode", "megatron_core", "peft_type", "peft_version",
    "revision", "runtime_config", "task_type",
}  # fmt: skip
# Fields of the training's configuration that belong to the experiment rather than to the task.
OF_THE_EXPERIMENT = (
    "optimizer_type", "lr_scheduler", "dtype", "compile", "use_gc", "use_amp", "autocast_adapter_dtype",
    "attn_implementation", "init_kv_cache_prefix",
)  # fmt: skip


def record(found: Experiment, label: str) -> Record:
    """The record of a file, under a label that tells it from others in its results folder."""
    run, cell = found.content.run_info, _cell(found, label)
    made = Record(
        id=cell.id, cell=cell, status="ok", started=run.created_at, finished=found.finished,
        wall_seconds=run.total_time, parameters=_parameters(found), cost=_cost(found), data=_data(found),
        environment=_environment(found), kept={"published.json": found.digest},
        published=Published(
            source=f"{SOURCE}, {found.benchmark.title}", experiment=found.experiment, file=found.name,
            digest=found.digest, date=run.created_at, branch=run.peft_branch,
        ),
    )  # fmt: skip
    if not found.succeeded:
        reason = one_line(printable(run.error_msg or ""), 500)
        made.status, made.reason = (
            "failed",
            reason or f"the file gives it the status {found.content.train_info.status!r}",
        )
        return made
    made.test, made.validation, made.history = found.scores("test"), found.scores("valid"), _history(found)
    return made


def _history(found: Experiment) -> list[Evaluation]:
    metric, evaluations = found.benchmark.metric, []
    for line in found.lines:
        value = score_in(line, f"valid {metric}")
        if value is not None and line.step is not None and line.train_loss is not None:
            score = {metric: value}
            evaluations.append(Evaluation(step=line.step, phase="tune", train_loss=line.train_loss, validation=score))
    return evaluations


def _cell(found: Experiment, label: str) -> Cell:
    run, meta = found.content.run_info, found.content.meta_info
    config = run.train_config.model_dump(exclude={"model_id", "seed", "optimizer_kwargs", *OF_THE_EXPERIMENT})
    return Cell(
        backbone=run.train_config.model_id,
        backbone_revision=(meta.model_info and meta.model_info.sha) or "unknown",
        method=found.method, label=label, hyperparameters=_hyperparameters(found),
        method_revision=_version(found) or "unknown",
        task=found.benchmark.card.name,
        task_revision=" ".join(_commits(found).values()) or "unknown",
        task_options=_told(config) | {"experiment": found.experiment},
        form=None, precision=None, budget=None, seed=run.train_config.seed,
    )  # fmt: skip


def _hyperparameters(found: Experiment) -> dict[str, Any]:
    """Learning rate and weight decay as every method here has them, then how else it was trained, then the adapter's
    configuration."""
    run = found.content.run_info
    config, given = run.train_config.model_dump(), dict(run.train_config.optimizer_kwargs)
    trained: dict[str, Any] = {name: given.pop(name) for name in ("lr", "weight_decay") if name in given}
    trained |= {name: config[name] for name in OF_THE_EXPERIMENT if name in config} | {"optimizer_kwargs": given}
    adapter = {name: value for name, value in (run.peft_config or {}).items() if name not in _BOOKKEEPING}
    return _told(trained) | _told(adapter)


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not set, off, empty, longer than anybody sets it, or no number that can be held exactly."""
    kept = {name: value for name, value in values.items() if value is not None and value is not False}
    kept = {name: value for name, value in kept.items() if value not in ("", [], {}) and _exact(value)}
    kept = {printable(name): _printable(value) for name, value in kept.items()}
    return {name: value for name, value in kept.items() if len(json.dumps(value)) <= LONGEST_VALUE}


def _exact(value: Any) -> bool:
    match value:
        case dict() | list():
            return all(map(_exact, value.values() if isinstance(value, dict) else value))
        case float():
            return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 2**63


def _printable(value: Any) -> Any:
    match value:
        case dict():
            return {printable(name): _printable(each) for name, each in value.items()}
        case list():
            return [_printable(each) for each in value]
        case str():
            return printable(value)
    return value


def _version(found: Experiment) -> str | None:
    """peft's, with its commit."""
    packages = found.content.meta_info.package_info
    told = [packages.get("peft-version"), packages.get("peft-commit-hash")]
    return " ".join(each for each in told if each) or None


def _commits(found: Experiment) -> dict[str, str]:
    """Of the data, by repository; as far as told."""
    given = found.content.meta_info.dataset_info
    config = found.content.run_info.train_config.other
    if not isinstance(given.get("sha"), dict):  # of one repository, which the configuration names
        given = {str(config.get("dataset_id") or "dataset"): given, **given}
    found_commits = {name: each.get("sha") for name, each in given.items() if isinstance(each, dict)}
    return {printable(name): printable(sha) for name, sha in found_commits.items() if isinstance(sha, str)}


def _parameters(found: Experiment) -> Parameters | None:
    """How large the backbone is cannot be told from the model's size: some methods freeze a part of what they add."""
    trained = found.content.train_info.num_trainable_params
    return None if trained is None else Parameters(adapter=trained, head=0, total=trained)


def _data(found: Experiment) -> DataUse | None:
    lines, config = found.lines, found.content.run_info.train_config.other
    test = found.scores("test").get(found.benchmark.metric)
    steps = max((line.step for line in lines if line.step is not None), default=None)
    if steps is None:
        return None
    return DataUse(
        train=max((line.samples for line in lines if line.samples is not None), default=None),
        validation=_size(config.get("valid_size")),
        test=_size(config.get("test_size")) or (None if test is None else found.benchmark.examples_of(test)),
        train_tokens=max((line.tokens for line in lines if line.tokens is not None), default=None),
        steps=steps,
        commits=_commits(found),
    )


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9 else None


def _cost(found: Experiment) -> Cost | None:
    """Steps are timed apart from evaluation, the mean of all; the peak is what the allocator had reserved at most, in
    MetaMathQA with evaluation, in image generation without."""
    info, config = found.content.train_info, found.content.run_info.train_config.model_dump()
    timed = [line for line in found.lines if line.train_time and line.step]
    seconds, steps = sum(line.train_time or 0.0 for line in timed), max((line.step or 0 for line in timed), default=0)
    rated = [line for line in timed if line.tokens_per_second is not None]
    tokens = sum((line.tokens_per_second or 0.0) * (line.train_time or 0.0) for line in rated)
    measured = {
        "peak_memory_bytes": info.accelerator_memory_max,
        "stored_bytes": None if info.file_size == UNKNOWN_SIZE else info.file_size,
        "step_seconds": seconds / steps if steps else None,
        "train_tokens_per_second": tokens / seconds if rated and len(rated) == len(timed) else None,
    }
    if all(value is None for value in measured.values()):
        return None
    protocol = {name: config[name] for name in found.benchmark.protocol if name in config}
    device = found.content.meta_info.system_info.get("accelerator")
    return Cost(protocol={"source": SOURCE, "accelerator": device} | _told(protocol), **measured)


def _environment(found: Experiment) -> dict[str, Any]:
    meta = found.content.meta_info
    system = meta.system_info
    versions = {
        name.removesuffix("-version"): version
        for name, version in meta.package_info.items()
        if name.endswith("-version") and version
    }
    told = {
        "platform": " ".join(filter(None, (system.get("system"), system.get("release"), system.get("machine")))),
        "device": system.get("accelerator"),
        "precision": found.content.run_info.train_config.dtype,
        "versions": versions,
        "commit": meta.package_info.get("peft-commit-hash"),
    }
    return {name: value for name, value in told.items() if value}

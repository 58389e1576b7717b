"""The card of an export: what it is, how well it does and how sure that is, what it cost, and how to repeat it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from records import predictions
from records.cards import BackboneCard, MethodCard, TaskCard
from records.text import printable

if TYPE_CHECKING:
    from records.record import Manifest, Record
    from records.store import RecordStore

TEMPLATES = Path(__file__).parents[2] / "templates"


@dataclass(frozen=True)
class Interval:
    """95 % for a score on other test examples, and how it was found."""

    low: float
    high: float
    how: str


@dataclass(frozen=True)
class Said:
    """What is said of one export beside what its cell's record says: how it is loaded, what was checked, and what a
    reader must know; `kind` is what it is to the hub ("peft", "transformers")."""

    kind: str
    how: str
    checked: str
    note: str = ""


def write(folder: Path, store: RecordStore, record: Record, said: Said) -> None:
    """As README.md. Raises OSError where the disk refuses, ResultsError where there is no manifest or predictions are
    broken."""
    import jinja2

    manifest = store.manifest()
    cell, cards = record.cell, manifest.cards
    method = cards.methods.get(cell.method) or MethodCard(cell.method, cell.method, "", "", "", "", "")
    task = cards.tasks.get(cell.task) or TaskCard(cell.task, cell.task, "", (), "", "unknown", "unknown", "")
    backbone = cards.backbones.get(cell.backbone) or BackboneCard(cell.backbone, cell.backbone, "", "", "unknown")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    text = environment.get_template("cards/adapter.md.jinja").render(
        metadata=_metadata(said, record, backbone),
        cell=cell,
        method=method,
        task=task,
        backbone=backbone,
        trained_on=_trained_on(record),
        parameters=_parameters(record),
        cost=_cost(record),
        scores=list(_scores(store, record, task)),
        how=said.how,
        checked=said.checked,
        note=said.note,
        command=_command(manifest),
        results=store.root.name,
        hyperparameters=json.dumps(cell.hyperparameters, indent=1, sort_keys=True),
        bibtex="\n\n".join(dict.fromkeys(filter(None, (one.bibtex for one in (method, backbone, task))))),
    )
    (folder / "README.md").write_text(printable(text), encoding="utf-8")


def interval(outcome: predictions.Outcome) -> Interval | None:
    """Of a score on a sample of test examples: Wilson's where it is a share of them (Wilson 1927), Student's of the
    mean elsewhere; of a score that is no mean, that of its bootstrap. None for fewer than two examples."""
    from scipy import stats

    if outcome.draws is not None:
        drawn = outcome.draws[np.isfinite(outcome.draws)]
        low, high = np.percentile(drawn, (2.5, 97.5)) if len(drawn) else (math.nan, math.nan)
        return Interval(float(low), float(high), f"bootstrap over examples, {len(drawn)} draws") if len(drawn) else None
    values = outcome.scores
    if values is None or len(values) < 2 or not np.isfinite(values).all():
        return None
    if np.isin(values, (0.0, 1.0)).all():
        found = stats.binomtest(int(values.sum()), len(values)).proportion_ci(method="wilson")
        return Interval(found.low, found.high, f"Wilson, {len(values)} examples")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return Interval(float(values.mean() - half), float(values.mean() + half), f"Student's t, {len(values)} examples")


def _scores(store: RecordStore, record: Record, task: TaskCard) -> Iterator[str]:
    data = store.kept(record, "predictions.parquet")
    for name, value in record.test.items():
        found = predictions.outcome(data, name) if data is not None else None
        sure = interval(found) if found is not None else None
        said = f"test {name}: {value:.4g}"
        yield f"{said} (95 % interval {sure.low:.4g} to {sure.high:.4g}: {sure.how})" if sure else said


def _metadata(said: Said, record: Record, backbone: BackboneCard) -> str:
    """The YAML that the hub reads."""
    import yaml

    cell = record.cell
    known = {"library_name": said.kind, "tags": ["adaptbench", cell.method.replace(":", "-")]}
    if "/" in cell.backbone and ":" not in cell.backbone and not cell.backbone.startswith((".", "/", "~")):
        known["base_model"] = cell.backbone.partition("@")[0]
    licence = backbone.licence.lower()
    if licence not in ("", "unknown") and licence[0].isalnum() and " " not in licence:
        known["license"] = licence
    dumped: str = yaml.safe_dump(known, sort_keys=False)
    return dumped


def _trained_on(record: Record) -> str:
    used, budget = record.data, record.cell.budget
    assert budget is not None  # a cell that kept a state was run here
    if used is None:
        return f"{budget.train_examples:,} examples at most"
    return (
        f"{used.train:,} examples, {used.steps:,} optimiser steps of {budget.batch_size}, texts cut to"
        f" {budget.max_length} tokens; tested on {used.test:,}"
    )


def _parameters(record: Record) -> str:
    count = record.parameters
    if count is None:
        return "not counted"
    head = f", and {count.head:,} of the head" if count.head else ""
    return f"{count.adapter:,} trained ({count.percent:.3g} % of the backbone's {count.backbone:,}){head}"


def _cost(record: Record) -> str:
    cost, device = record.cost, record.environment.get("device", "an unknown device")
    if cost is None or cost.train_flops is None or cost.inference_flops is None:
        return f"{record.seconds:.0f} s of training and testing on {device}; not profiled"
    stored, peak = (cost.stored_bytes or 0) / 1e6, (cost.peak_memory_bytes or 0) / 1e6
    return (
        f"{cost.train_flops / 1e9:.3g} GFLOP a training step, {cost.inference_flops / 1e9:.3g} a batch of inference,"
        f" {stored:.3g} MB stored, {peak:.0f} MB at most in memory;"
        f" {record.seconds:.0f} s of training and testing on {device}"
    )


def _command(manifest: Manifest) -> str:
    command = manifest.suite.get("command")
    return command if isinstance(command, str) else f"bench run {manifest.suite.get('name', '')}"

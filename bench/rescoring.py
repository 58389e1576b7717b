"""Metrics computed from kept predictions: a new one, or a corrected one, reaches old records without training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from bench import __version__
from bench.origin import Origin
from bench.registry import Plugin, PluginError, Registry
from bench.scoring import ScoreError, checked_scores, example_scores, resampled
from records import predictions
from records.cards import TaskCard
from records.cell import Cell
from records.predictions import Predictions
from records.record import Record, Rescored
from records.store import RecordStore, ResultsError
from tasks.base import Task

# Below this, relative to the score, a difference is one of rounding.
ROUNDING = 1e-9


def rescore(store: RecordStore) -> Iterator[str]:
    """Scores every cell that has predictions anew, with its task as it is now; yields a line on each task and on each
    cell that cannot be scored. What changes is written with what it was before. The caller holds the folder's lock.
    Raises ResultsError where the folder holds no results, and PluginError where a plugin file is gone."""
    origin = Origin(store)
    registry = origin.registry()
    manifest = origin.manifest
    cards = dict(manifest.cards.tasks)
    changed: dict[str, int] = {}
    seen: dict[str, int] = {}
    for cell_id, cell in manifest.cells.items():
        record = store.standing(cell_id, cell, manifest.cards)
        if record is None or not record.test or record.status == "broken":
            continue
        try:
            answers = store.predictions(record)
            if answers is None:
                yield f"{cell_id}  {cell}: has no predictions to score"
                continue
            plugin, task = _task(registry, cell)
            found = _scored(task, answers)
        except (ResultsError, PluginError, ScoreError) as error:
            yield f"{cell_id}  {cell}: not scored: {error}"
            continue
        seen[cell.task] = seen.get(cell.task, 0) + 1
        cards[cell.task] = _joined(manifest.cards.tasks.get(cell.task), task.card)
        if _noted(record, found, plugin) or answers.scores != found.scores:
            store.replace_kept(record, "predictions.parquet", predictions.to_bytes(found.answers))
            changed[cell.task] = changed.get(cell.task, 0) + 1
    if cards != manifest.cards.tasks:
        store.write_manifest(manifest.model_copy(update={"cards": manifest.cards.model_copy(update={"tasks": cards})}))
    for task_name, count in seen.items():
        new = changed.get(task_name, 0)
        yield f"{task_name}: {count} cells scored again, {new or 'none'} with something new"


@dataclasses.dataclass(frozen=True)
class _Scored:
    test: dict[str, float]
    answers: Predictions

    @property
    def scores(self) -> Mapping[str, list[float]]:
        return self.answers.scores


def _task(registry: Registry, cell: Cell) -> tuple[Plugin, Task]:
    try:
        plugin = registry.get("tasks", cell.task)
    except KeyError:
        raise PluginError(f"the task {cell.task!r} is not installed") from None
    task: Task = plugin.cls(plugin.cls.Options(**cell.task_options))
    return plugin, task


def _scored(task: Task, answers: Predictions) -> _Scored:
    test = checked_scores(task, answers.predictions, answers.references)
    each = example_scores(task, answers.predictions, answers.references, test)
    drawn = answers.resampled
    if task.card.primary.name not in each:
        drawn = resampled(task, answers.examples, answers.predictions, answers.references)
    return _Scored(test, dataclasses.replace(answers, scores=each, resampled=drawn))


def _noted(record: Record, found: _Scored, plugin: Plugin) -> bool:
    """Whether any score of the record is another now; it is written with what it was."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    before = dict(record.test)
    for name, value in found.test.items():
        was = before.get(name)
        if was is not None and _same(was, value):
            continue
        record.test[name] = value
        record.rescored[name] = Rescored(was=was, task_revision=plugin.revision, version=__version__, when=when)
    return record.test != before


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING) or (math.isnan(one) and math.isnan(other))


def _joined(before: TaskCard | None, now: TaskCard) -> TaskCard:
    """The card as it was, with the new metrics after its own: checkpoints were chosen by the first of those."""
    if before is None:
        return now
    names = list(before.metrics) + [name for name in now.metrics if name not in before.metrics]
    scales = {**now.scales, **before.scales}
    return dataclasses.replace(before, metrics=tuple(scales[str(name)] for name in names))

"""A results folder of an older schema opens, is shown and is gone on with; one of a newer schema is left alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bench.launchers.local import LocalLauncher, Slot
from bench.scheduler import Scheduler
from records.record import SCHEMA
from records.store import RecordStore, ResultsError
from tests.bench.test_scheduler import Listener, suite_of
from tests.conftest import ROOT

LABELS = ("fine", "leaves_a_thread")  # what tests/bench/odd_workers.py does, and both train


def evaluation(score: float | None) -> dict[str, Any]:
    return {
        "step": 5, "epoch": 1.0, "phase": "tune", "train_loss": 0.7, "validation_loss": 0.6,
        "validation": {"accuracy": score},
    }  # fmt: skip


def first_schema(folder: Path, finished: tuple[str, ...]) -> None:
    """The folder as the first schema has it: cards as plain data, and null where a score is undefined."""
    suite = suite_of(folder.parent, *LABELS)
    cells = {cell_id: cell.model_dump(mode="json") for cell_id, cell in suite.cells.items()}
    card = {
        "name": "t", "title": "T", "kind": "classification", "metrics": ["accuracy"], "summary": "", "split": "",
        "licence": "", "citation": "", "bibtex": "", "labels": [], "size": "", "offline": True, "assumed": [],
        "scales": {"accuracy": {"name": "accuracy", "higher_is_better": True, "low": 0.0, "high": 1.0}},
    }  # fmt: skip
    manifest = {
        "schema_version": 1, "suite": suite.resolved(), "cells": cells, "environment": {}, "created": "then",
        "cards": {"methods": {}, "tasks": {"t": card}, "backbones": {}},
    }  # fmt: skip
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for cell_id, cell in cells.items():
        if cell["label"] not in finished:
            continue
        record = {
            "schema_version": 1, "id": cell_id, "cell": cell, "status": "ok", "reason": None, "attempts": 1,
            "started": "then", "finished": "then", "wall_seconds": 7.5, "best_step": 10,
            "validation": {"accuracy": None}, "test": {"accuracy": 0.5, "f1": None}, "forgetting": {},
            "history": [evaluation(None), evaluation(0.25)], "data": None, "parameters": None, "cost": None,
            "environment": {"threads": 1}, "profiled": {},
        }  # fmt: skip
        (folder / "cells" / cell_id).mkdir(parents=True)
        (folder / "cells" / cell_id / "record.json").write_text(json.dumps(record))


def run(folder: Path) -> Listener:
    listener = Listener()
    launcher = LocalLauncher(work="tests.bench.odd_workers")
    Scheduler(suite_of(folder.parent, *LABELS), RecordStore(folder), launcher, [Slot(0, 1)]).run(listener)
    return listener


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_the_first_schema_is_read(tmp_path):
    first_schema(tmp_path / "results", finished=LABELS)
    store = RecordStore(tmp_path / "results")
    assert store.manifest().cards.tasks["t"].primary.name == "accuracy"
    records = list(store.records())
    assert [(record.cell.label, record.status) for record in records] == [(label, "ok") for label in LABELS]
    for record in records:
        assert record.schema_version == SCHEMA
        assert math.isnan(record.validation["accuracy"]) and math.isnan(record.test["f1"])
        assert record.test["accuracy"] == 0.5 and record.wall_seconds == 7.5
        first, second = record.history
        assert math.isnan(first.validation["accuracy"]) and second.validation["accuracy"] == 0.25


def test_a_run_goes_on_with_a_folder_of_the_first_schema(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    first_schema(tmp_path / "results", finished=("fine",))
    before = contents(tmp_path / "results")
    listener = run(tmp_path / "results")
    assert [record.cell.label for record in listener.ends] == ["leaves_a_thread"]
    after = contents(tmp_path / "results")
    kept = {name: content for name, content in before.items() if name.startswith("cells/")}
    assert kept.items() <= after.items()
    assert json.loads(after["manifest.json"])["schema_version"] == SCHEMA
    assert run(tmp_path / "results").ends == []


@pytest.mark.parametrize("newer", ["manifest.json", "record.json"])
def test_a_folder_of_a_newer_schema_is_refused_in_one_line_and_left_as_it_is(tmp_path, monkeypatch, newer):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    first_schema(tmp_path / "results", finished=("fine",))
    (path,) = (tmp_path / "results").rglob(newer)
    # Nothing but the number tells that it is newer: what else it holds may be of any kind.
    path.write_text(json.dumps({"schema_version": SCHEMA + 1, "told": ["otherwise"]}))
    before = contents(tmp_path / "results")
    for use in (lambda: list(RecordStore(tmp_path / "results").records()), lambda: run(tmp_path / "results")):
        with pytest.raises(ResultsError, match=rf"newer version of adaptbench \(its schema is {SCHEMA + 1}") as caught:
            use()
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    after = contents(tmp_path / "results")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {".lock"}

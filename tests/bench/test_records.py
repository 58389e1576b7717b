"""Records on disk: whole or not at all, and a wrong file is named."""

from __future__ import annotations

import os

import pytest

from bench.cell import Budget, Cell
from bench.records import Manifest, Record, RecordStore, ResultsError


def cell(**changes) -> Cell:
    values = {
        "backbone": "b", "backbone_revision": "1", "method": "full", "label": "full", "hyperparameters": {},
        "method_revision": "1", "task": "t", "task_revision": "1", "seed": 0, "precision": "no", "budget": Budget(),
    }  # fmt: skip
    return Cell(**(values | changes))


def record(of: Cell, **values) -> Record:
    defaults = {"status": "ok", "started": "now", "finished": "now", "wall_seconds": 1.0}
    return Record(**({"id": of.id, "cell": of} | defaults | values))


def test_a_record_comes_back_as_it_was(tmp_path):
    store = RecordStore(tmp_path)
    written = record(cell(), test={"accuracy": 0.1 + 0.2}, environment={"threads": 2})
    store.write(written)
    assert store.read(written.id) == written
    assert store.read("000000000000") is None


def test_a_crash_while_writing_leaves_the_old_record(tmp_path, monkeypatch):
    store = RecordStore(tmp_path)
    old = record(cell(), test={"accuracy": 0.5})
    store.write(old)

    def crash(*_):
        raise OSError("the power is gone")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="power"):
        store.write(record(cell(), test={"accuracy": 0.9}))
    assert store.read(old.id) == old


def test_a_broken_record_is_named(tmp_path):
    store = RecordStore(tmp_path)
    store.write(record(cell()))
    path = tmp_path / "cells" / cell().id / "record.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(ResultsError, match=f"{path}: not a record"):
        store.read(cell().id)


def test_records_are_those_of_the_manifest_under_its_labels(tmp_path):
    store = RecordStore(tmp_path)
    now, before = cell(label="full@renamed"), cell(seed=9)
    store.write(record(cell()))
    store.write(record(before))
    store.write_manifest(Manifest(suite={}, cells={now.id: now}, cards={}, environment={}, created="now"))
    assert [r.cell.label for r in store.records()] == ["full@renamed"]


def test_a_folder_without_results_says_what_to_do(tmp_path):
    with pytest.raises(ResultsError, match="run a suite first"):
        RecordStore(tmp_path / "none").manifest()
    store = RecordStore(tmp_path / "embedded")
    store.write_manifest(Manifest(suite={}, cells={}, cards={}, environment={}, created="now"))
    with pytest.raises(ResultsError, match=r"did you mean .*embedded"):
        RecordStore(tmp_path).manifest()

"""Records on disk: whole or not at all, and a wrong file is named."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import shutil

import pytest
from rich.console import Console

from bench.display import status_table
from records.cell import Budget, Cell
from records.record import SCHEMA, Manifest, Record
from records.store import BrokenRecord, RecordStore, ResultsError
from reports import results


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


def test_a_record_that_is_written_again_has_another_stamp_whatever_the_clock_says(tmp_path):
    store = RecordStore(tmp_path)
    path = store.folder(cell().id) / "record.json"
    found = [store.stamp(cell().id)]
    for _ in range(3):
        store.write(record(cell()))
        os.utime(path, (1_000_000_000, 1_000_000_000))
        found.append(store.stamp(cell().id))
        assert found[-1] != found[-2]
    assert found[0] is None


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


def manifest_of(*cells: Cell) -> Manifest:
    each = {one.id: one for one in cells}
    scales = {"accuracy": {"name": "accuracy", "higher_is_better": True, "low": 0.0, "high": 1.0}}
    tasks = {one.task: {"metrics": ["accuracy"], "scales": scales} for one in cells}
    return Manifest(suite={}, cells=each, cards={"tasks": tasks}, environment={}, created="now")


def scored(of: Cell, **values) -> Record:
    return record(of, **({"test": {"accuracy": 0.5}, "validation": {"accuracy": 0.5}} | values))


def changed(path, **values) -> None:
    """Changes a record's JSON, by its keys; a key may lead into a mapping, as in `data__steps`."""
    data = json.loads(path.read_text())
    for key, value in values.items():
        *way, last = key.split("__")
        place = data
        for step in way:
            place = place[step]
        place[last] = value
    path.write_text(json.dumps(data))


RUINS = {
    "empty": lambda path: path.write_text(""),
    "truncated": lambda path: path.write_text(path.read_text()[:100]),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a list": lambda path: path.write_text("[]"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a fifo": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link": lambda path: (path.rename(path.with_name("other")), path.symlink_to(path.with_name("other"))),
    "a loop": lambda path: (path.unlink(), path.symlink_to(path)),
    "a folder that is a file": lambda path: (shutil.rmtree(path.parent), path.parent.write_text("")),
    "attempts 0": lambda path: changed(path, attempts=0),
    "negative seconds": lambda path: changed(path, wall_seconds=-1),
    "infinite seconds": lambda path: changed(path, wall_seconds="Infinity"),
    "negative counts": lambda path: changed(path, data={"train": -1}),
    "a status of ours": lambda path: changed(path, status="broken"),
    "an unknown status": lambda path: changed(path, status="done"),
    "scored without scores": lambda path: changed(path, test={}),
    "half of forgetting": lambda path: changed(path, forgetting={"before": 1.0}),
    "schema 0": lambda path: changed(path, schema_version=0),
    "a score above its range": lambda path: changed(path, test={"accuracy": 7.0}),
    "a score below its range": lambda path: changed(path, validation={"accuracy": -0.5}),
    "another cell's id": lambda path: changed(path, id=cell(seed=2).id),
    "another cell": lambda path: changed(path, cell__seed=7),
    "another cell's record": lambda path: path.write_text(scored(cell(seed=2)).model_dump_json()),
}


@pytest.mark.parametrize("ruin", RUINS)
def test_a_record_that_is_none_is_one_broken_cell_and_the_rest_is_read(tmp_path, ruin):
    store = RecordStore(tmp_path)
    first, second = cell(seed=0), cell(seed=1)
    store.write_manifest(manifest_of(first, second))
    store.write(scored(first))
    store.write(scored(second))
    RUINS[ruin](tmp_path / "cells" / first.id / "record.json")
    broken, well = store.records()
    assert (broken.id, broken.cell, broken.status) == (first.id, first, "broken")
    assert broken.reason.startswith(str(tmp_path / "cells" / first.id / "record.json"))
    assert "\n" not in broken.reason and not broken.test and not broken.validation
    assert well == scored(second)
    shown = io.StringIO()
    records = {one.id: one for one in (broken, well)}
    Console(file=shown, width=200).print(status_table({first.id: first, second.id: second}, records))
    assert shown.getvalue().splitlines()[1].split()[3:8] == ["1", "0", "0", "1", "0"]  # the fourth is `broken`


def test_undefined_scores_come_back_as_they_were_and_old_nulls_are_undefined(tmp_path):
    store = RecordStore(tmp_path)
    written = scored(cell(), test={"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.5})
    store.write(written)
    path = tmp_path / "cells" / cell().id / "record.json"
    json.loads(path.read_text(), parse_constant=pytest.fail)  # as JSON has it
    found = store.read(cell().id).test
    assert math.isnan(found["a"]) and (found["b"], found["c"], found["d"]) == (math.inf, -math.inf, 0.5)
    changed(path, schema_version=1, test__a=None)
    assert math.isnan(store.read(cell().id).test["a"])


def test_a_record_of_a_newer_version_is_refused_and_not_called_broken(tmp_path):
    store = RecordStore(tmp_path)
    store.write_manifest(manifest_of(cell()))
    store.write(scored(cell()))
    changed(tmp_path / "cells" / cell().id / "record.json", schema_version=SCHEMA + 1, test={"accuracy": []})
    with pytest.raises(ResultsError, match=rf"newer version of adaptbench \(its schema is {SCHEMA + 1}") as caught:
        list(store.records())
    assert not isinstance(caught.value, BrokenRecord)


@pytest.mark.parametrize(
    "key", ["../../outside", "/etc", "", "x" * 12, "ABCDEF012345", "0123456789ab\n", "..", "0" * 13]
)
def test_an_id_that_we_did_not_make_leads_nowhere(tmp_path, key):
    store = RecordStore(tmp_path / "results")
    store.write_manifest(manifest_of(cell()))
    store.write(scored(cell()))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "record.json").write_text(scored(cell()).model_dump_json())
    path = tmp_path / "results" / "manifest.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"cells": {key: data["cells"][cell().id]}}))
    with pytest.raises(ResultsError, match="twelve hexadecimal digits") as caught:
        list(store.records())
    assert "\n" not in str(caught.value)
    with pytest.raises(ResultsError, match="no cell's id"):
        store.read(key)


@pytest.mark.parametrize("where", ["cells", "cells/ID", "cells/ID/record.json", "cells/ID/log.txt", "manifest.json"])
def test_nothing_outside_the_folder_is_read(tmp_path, where):
    inside, outside = tmp_path / "results", tmp_path / "outside"
    store = RecordStore(inside)
    store.write_manifest(manifest_of(cell()))
    store.write(scored(cell(), reason="from outside"))
    store.log(cell().id).write_text("a secret of the outside")
    path = inside / where.replace("ID", cell().id)
    path.rename(outside)
    path.symlink_to(outside)
    assert where == "manifest.json" or "outside" not in store.read_log(cell().id) or where.endswith("record.json")
    if where == "manifest.json":
        with pytest.raises(ResultsError, match="links are not followed"):
            store.manifest()
    elif not where.endswith("log.txt"):
        [found] = store.records()
        assert found.status == "broken" and "links are not followed" in found.reason


def test_a_results_folder_may_itself_be_a_link(tmp_path):
    RecordStore(tmp_path / "there").write_manifest(manifest_of(cell()))
    RecordStore(tmp_path / "there").write(scored(cell()))
    (tmp_path / "here").symlink_to(tmp_path / "there")
    assert list(RecordStore(tmp_path / "here").records()) == [scored(cell())]


def test_a_log_is_shown_without_secrets_and_only_its_end(tmp_path):
    store = RecordStore(tmp_path)
    assert store.read_log(cell().id) == ""
    store.make_room(cell().id)
    token = "hf_" + "a1" * 15
    store.log(cell().id).write_bytes(b"first\n" + b"x" * 1000 + f"\n\x1b[31m{token}\xff last\n".encode("latin-1"))
    assert store.read_log(cell().id).endswith("\n[secret]\ufffd last")
    # Of a token that the cut goes through, nothing is left.
    assert store.read_log(cell().id, longest=20) == "…"


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_disk_that_refuses_leaves_no_half_of_a_file(tmp_path, monkeypatch, number):
    store = RecordStore(tmp_path)
    calls = iter(range(1, 100))

    def refusing(original):
        def call(*arguments, **keywords):
            if next(calls) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*arguments, **keywords)

        return call

    for name in ("fsync", "replace", "mkdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    with contextlib.suppress(OSError):
        store.write(scored(cell()))
        store.write(scored(cell()))
    monkeypatch.undo()
    assert [path.name for path in tmp_path.glob("cells/*/*")] in ([], ["record.json"])
    assert store.read(cell().id) in (None, scored(cell()))


def test_a_trial_that_was_stopped_is_no_broken_record_for_want_of_a_test_score(tmp_path):
    store = RecordStore(tmp_path)
    stopped, whole = (record(cell(stop=stop), status="trained", validation={"accuracy": 0.5}) for stop in (0.5, None))
    store.write(stopped)
    assert store.read(stopped.id, stopped.cell) == stopped
    store.write(whole)
    with pytest.raises(BrokenRecord, match="no test scores"):
        store.read(whole.id)


def test_a_report_calls_it_stopped_and_gives_it_no_score(tmp_path):
    store = RecordStore(tmp_path)
    stopped = record(cell(stop=0.25), status="trained", validation={"score": 0.5})
    store.write(stopped)
    cards = {"methods": {}, "tasks": {}, "backbones": {}}
    store.write_manifest(
        Manifest(suite={}, cells={stopped.id: stopped.cell}, cards=cards, environment={}, created="now")
    )
    row = results.read(tmp_path).cells.loc[stopped.id]
    assert row["status"] == "stopped" and "25%" in row["reason"]
    assert math.isnan(row["score"]) and row["validation_score"] == 0.5

"""`bench status --watch`, which looks at a folder that others write to."""

from __future__ import annotations

import pytest

from bench import watching
from records.cards import Cards
from records.record import Manifest
from records.store import RecordStore
from tests.bench.test_records import cell, record


@pytest.fixture
def folder(tmp_path):
    cells = {each.id: each for each in (cell(seed=seed) for seed in range(3))}
    store = RecordStore(tmp_path / "results" / "mine")
    store.write_manifest(Manifest(suite={}, cells=cells, cards=Cards(), environment={}, created="now"))
    return store, list(cells.values())


def scored(of, **values):
    return record(of, test={"accuracy": 0.5}, validation={"accuracy": 0.5}, **values)


def test_it_looks_until_all_cells_are_done_and_tells_what_has_changed(folder, bench, monkeypatch):
    store, cells = folder
    looks = [
        lambda: store.write(scored(cells[0])),
        lambda: None,
        lambda: store.write(record(cells[1], status="failed", reason="no luck")),
        lambda: store.write(scored(cells[2], status="trained")),
        lambda: store.write(scored(cells[2])),
    ]
    asked = []

    def sleep(seconds):
        asked.append(seconds)
        looks.pop(0)()

    monkeypatch.setattr(watching.time, "sleep", sleep)
    shown = bench("status", "mine", "--watch", "7")
    assert shown.returncode == 0, shown.stderr
    assert looks == [] and set(asked) == {7.0}
    lines = shown.stdout.splitlines()
    assert lines[-1] == "all cells are done"
    assert [line.split(": ")[1] for line in lines if " cells are open" in line] == [
        f"{count} of 3 cells are open" for count in (3, 2, 2, 1, 1)
    ]
    assert sum("mean validation score" in line for line in lines) == 5  # nothing new was seen once
    assert any("no luck" in line for line in lines)


def test_a_record_is_read_again_only_where_it_was_written_again(folder, monkeypatch):
    store, cells = folder
    for each in cells[:2]:
        store.write(scored(each))
    read = []
    standing = RecordStore.standing
    monkeypatch.setattr(RecordStore, "standing", lambda *a: read.append(a[1]) or standing(*a))
    looking = watching.Folder(store)
    assert list(looking.look()[1]) == [cells[0].id, cells[1].id]
    read.clear()
    store.write(scored(cells[1], wall_seconds=7.0))
    assert looking.look()[1][cells[1].id].wall_seconds == 7.0
    assert read == [cells[1].id, cells[2].id]  # that of which there is no record is looked for each time


def test_what_is_open_is_what_has_no_result_and_what_waits_for_its_profile(folder):
    store, cells = folder
    manifest = store.manifest()

    def left(profile, *records):
        suite = manifest.model_copy(update={"suite": {"profile": profile}})
        return watching.left(suite, {each.id: each for each in records})

    trained = scored(cells[0], status="trained")
    assert left(True) == 3
    assert left(True, trained) == 3
    assert left(False, trained) == 2
    assert left(True, trained.model_copy(update={"reason": "no cost profile: it was killed"})) == 2
    assert left(True, record(cells[0], status="failed", reason="x"), record(cells[1], status="n/a", reason="x")) == 1
    assert left(True, record(cells[0], status="broken", reason="x")) == 3


@pytest.mark.parametrize("text", ["0", "-3", "soon", "inf"])
def test_seconds_that_are_none_are_refused(bench, text):
    refused = bench("status", "mine", f"--watch={text}")
    assert refused.returncode == 2
    assert "takes a number of seconds, such as 30" in refused.stderr

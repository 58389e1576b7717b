"""Results as anybody may see them: no place on a machine, no secret, no log, no state; every number as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from records.public import Public
from records.store import RecordStore
from tests.reports import synthetic_results

SECRET = "hf_" + "a1B2c3D4e5F6g7H8i9J0k1L2"
HOME = "/home/somebody/secret-project"


@pytest.fixture
def private(tmp_path: Path) -> RecordStore:
    """Two cells on folders of the same name, as a run on somebody's machine leaves them."""
    cells, records = [], []
    for folder in ("first", "second"):
        of = synthetic_results.cell("lora", "rotten_tomatoes", 0)
        of = of.model_copy(update={"backbone": f"{HOME}/{folder}/tiny model", "adapter": f"{HOME}/adapter"})
        record = synthetic_results.record(of)
        record.notes = [f"read from {HOME}/data.csv, with token={SECRET}"]
        cells.append(of)
        records.append(record)
    suite = synthetic_results.suite(cells) | {
        "origin": "../../somebody/suite.yaml", "plugins": [f"{HOME}/plugin.py", "~/other/plugin.py"],
        "command": f"bench run {HOME}/suite.yaml", "description": "F1 and/or accuracy, see https://example.org/a/b/c",
        "left_out": {"methods": {"mine": f"{HOME}/plugin.py: cannot be imported: no {HOME}/weights"}},
    }  # fmt: skip
    root = synthetic_results.write(tmp_path / "results", cells, records, suite=suite)
    synthetic_results.keep_answers(root, 20)
    store = RecordStore(root)
    for record in store.records():
        kept = record.kept | {"state.safetensors": store.keep(record.id, "state.safetensors", b"what it learnt")}
        store.write(record.model_copy(update={"kept": kept}))
        store.log(record.id).write_text(f"reading {HOME}/data.csv")
    store.write_texts("rotten_tomatoes", {"rotten_tomatoes 0": {"text": "mine alone", "label": 1}})
    return store


def everything(root: Path) -> str:
    return "\n".join(path.read_bytes().decode("latin-1") for path in root.rglob("*") if path.is_file())


def test_no_place_and_no_secret_is_left(private, tmp_path):
    store = Public(private).write(tmp_path / "public")
    said = everything(store.root)
    for part in ("/home", "somebody", "secret-project", SECRET, "what it learnt", "reading ", "mine alone"):
        assert part not in said, part
    assert "https://example.org/a/b/c" in said and "F1 and/or accuracy" in said
    assert sorted({path.name for path in store.root.rglob("*") if path.is_file()}) == [
        "manifest.json", "predictions.parquet", "record.json",
    ]  # fmt: skip


def test_two_folders_of_one_name_stay_two(private, tmp_path):
    store = Public(private).write(tmp_path / "public")
    names = [record.cell.backbone for record in store.records()]
    assert sorted(names) == ["…/tiny model", "…/tiny model~2"]
    suite = store.manifest().suite
    assert (suite["command"], suite["plugins"]) == ("bench run …/suite.yaml", ["…/plugin.py", "…/plugin.py~2"])


def test_every_number_and_every_id_is_as_it_was(private, tmp_path):
    store = Public(private).write(tmp_path / "public")
    before, after = ({record.id: record for record in each.records()} for each in (private, store))
    assert before.keys() == after.keys() and all(record.status == "ok" for record in after.values())
    for cell_id, record in after.items():
        for name in ("test", "validation", "history", "cost", "parameters", "data", "wall_seconds"):
            assert getattr(record, name) == getattr(before[cell_id], name)
        assert store.predictions(record) == private.predictions(before[cell_id])


def test_texts_go_along_where_they_are_asked_for(private, tmp_path):
    assert Public(private).write(tmp_path / "bare").texts() == {}
    assert Public(private).write(tmp_path / "public", texts=True).texts() == private.texts() != {}


def test_formulas_addresses_and_undefined_scores_stay(tmp_path):
    cells = synthetic_results.grid(("lora",), ("rotten_tomatoes",), seeds=1)
    record = synthetic_results.record(cells[0])
    record.test["accuracy"] = float("nan")
    cards = {
        "methods": {"lora": synthetic_results.method_cards()["lora"] | {"formula": r"\frac{a}{b} /x/y/z"}},
        "tasks": synthetic_results.TASKS,
        "backbones": synthetic_results.BACKBONES,
    }
    root = synthetic_results.write(tmp_path / "results", cells, [record], cards=cards)
    shown = Public(RecordStore(root))
    assert shown.manifest.cards.methods["lora"].formula == r"\frac{a}{b} /x/y/z"
    assert json.loads(shown.records[record.id].model_dump_json())["test"]["accuracy"] == "NaN"
    assert shown.records[record.id].cell == shown.manifest.cells[record.id] == cells[0]

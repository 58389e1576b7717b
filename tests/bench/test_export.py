"""`bench export`: what a cell has learnt, loaded by others without us, gives the recorded answers; and what cannot be
exported is told why."""

from __future__ import annotations

import json
import math
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from statsmodels.stats.proportion import proportion_confint
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import bench as package
from bench.export import card
from bench.export.base import ExportError
from bench.export.cells import export
from bench.export.native import load
from bench.job import Job
from bench.lifeline import silent
from bench.origin import Origin
from bench.suite import Suite
from bench.suite_file import Keep
from bench.worker import CellRun
from records.predictions import Outcome
from records.record import Manifest, Record
from records.store import RecordStore
from tests.conftest import PLUGINS

BUDGET = {"train_examples": 64, "validation_examples": 40, "test_examples": 60, "epochs": 2, "batch_size": 8,
          "max_length": 32}  # fmt: skip


def train(path: Path, root: Path) -> RecordStore:
    """The cells of a suite's file, one after the other in this process."""
    suite, store = Suite.load(str(path)), RecordStore(root)
    about = {"suite": suite.resolved() | {"origin": str(path)}, "cells": suite.cells, "cards": suite.cards()}
    store.write_manifest(Manifest(**about, environment={}, created=""))
    for cell in suite.cells.values():
        record = Record(id=cell.id, cell=cell, status="failed", started="", finished="", wall_seconds=1)
        with silent() as line:
            job = Job(cell, "train", root, path.parent, suite.plugin_files(cell), 1, Keep(state="all"))
            kept = CellRun(job, line).train(record)
        for name, data in kept.files.items():
            record.kept[name] = store.keep(record.id, name, data)
        store.write_texts(cell.task, kept.texts)
        store.write(record)
    return store


def suite_file(folder: Path, backbone: Path, methods: dict, **keys) -> Path:
    suite = {
        "backbones": [str(backbone)], "tasks": ["colours"], "methods": methods, "seeds": [0], "budget": BUDGET,
        "precision": "no", "plugins": [str(PLUGINS / "colours.py")],
    }  # fmt: skip
    path = folder / "exports.yaml"
    path.write_text(yaml.safe_dump(suite | keys, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_backbone) -> RecordStore:
    folder = tmp_path_factory.mktemp("exports")
    methods = {"lora": {"lr": 0.05, "targets": ["query", "value", "ffn_out"]}, "houlsby": {"lr": 0.01}}
    return train(suite_file(folder, tiny_backbone, methods), folder / "results")


@pytest.fixture
def cell(trained) -> Callable[[str], Record]:
    by_label = {record.cell.label: record for record in trained.records()}
    return lambda label: by_label[label].model_copy(deep=True)


@pytest.fixture
def spoilt(trained, cell, tmp_path) -> Callable[[bytes], tuple[RecordStore, Record]]:
    """A copy of the results in which another state is kept for the cell of LoRA."""

    def spoil(state: bytes) -> tuple[RecordStore, Record]:
        shutil.copytree(trained.root, tmp_path / "spoilt")
        store, record = RecordStore(tmp_path / "spoilt"), cell("lora")
        store.replace_kept(record, "state.safetensors", state)
        return store, record

    return spoil


def state_of(store: RecordStore, record: Record) -> dict[str, torch.Tensor]:
    data = store.kept(record, "state.safetensors")
    assert data is not None
    return safetensors.torch.load(data)


def answers(model, tokenizer, store: RecordStore, record: Record) -> tuple[list[int], list[int]]:
    """What a model says of the recorded test texts, one by one, and what is recorded."""
    recorded, texts = store.predictions(record), store.texts()
    assert recorded is not None and len(recorded) == 60
    found = []
    for example, probabilities in zip(recorded.examples, recorded.probabilities, strict=True):
        inputs = tokenizer(texts[example]["text"], truncation=True, max_length=32, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0]
        # Answers may all be alike after so short a training; how sure they are is not.
        assert logits.softmax(-1).tolist() == pytest.approx(probabilities, abs=1e-4)
        found.append(int(logits.argmax()))
    return found, list(recorded.predictions)


def test_peft_gives_the_recorded_answers(trained, cell, tiny_backbone, tmp_path):
    peft = pytest.importorskip("peft")
    record, folder = cell("lora"), tmp_path / "adapter"
    assert "differ from those of the cell's own model by" in export(trained, record, "peft", folder)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_backbone, num_labels=2)
    model = peft.PeftModel.from_pretrained(model, folder).eval()
    found, recorded = answers(model, AutoTokenizer.from_pretrained(folder), trained, record)
    assert found == recorded


def test_transformers_gives_the_recorded_answers(trained, cell, tmp_path):
    record, folder = cell("lora"), tmp_path / "merged"
    export(trained, record, "merged", folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    found, recorded = answers(model.eval(), AutoTokenizer.from_pretrained(folder), trained, record)
    assert found == recorded
    assert model.config.id2label == {0: "cold", 1: "warm"}
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_in_bfloat16_what_is_lost_is_measured_and_stated(trained, cell, tmp_path):
    record, folder = cell("lora"), tmp_path / "merged"
    said = export(trained, record, "merged", folder, bf16=True)
    assert "the loss of bfloat16, in which it scores accuracy" in said and "of 60 answers are those recorded" in said
    assert said in (folder / "README.md").read_text()
    assert AutoModelForSequenceClassification.from_pretrained(folder).dtype == torch.bfloat16


@pytest.mark.parametrize("label", ["lora", "houlsby"])
def test_three_lines_load_what_is_kept_as_it_is(label, trained, cell, tmp_path):
    record, folder = cell(label), tmp_path / "native"
    export(trained, record, "native", folder)
    model, tokenizer = package.load(folder)
    found, recorded = answers(model, tokenizer, trained, record)
    assert found == recorded
    assert (folder / "state.safetensors").read_bytes() == trained.kept(record, "state.safetensors")


def test_the_card_says_how_well_it_does_and_how_to_repeat_it(trained, cell, tmp_path):
    record = cell("lora")
    export(trained, record, "native", tmp_path / "native")
    said = (tmp_path / "native" / "README.md").read_text()
    accuracy = record.test["accuracy"]
    low, high = proportion_confint(round(accuracy * 60), 60, method="wilson")
    assert f"- test accuracy: {accuracy:.4g} (95 % interval {low:.4g} to {high:.4g}: Wilson, 60 examples)" in said
    metadata = yaml.safe_load(said.split("---")[1])
    assert metadata == {"library_name": "adaptbench", "tags": ["adaptbench", "lora"]}
    for part in ("LoRA", "licence none needed", "@misc{colours2026", "@inproceedings{hu2022lora", '"rank": 8',
                 f"bench verify results --cell {record.id}", 'bench.load("native")', "16 optimiser steps of 8",
                 f"{record.parameters.adapter:,} trained"):  # fmt: skip
        assert part in said
    assert "bench run" in said


def test_intervals_of_scores_that_are_no_shares():
    values = np.array([0.0, 0.5, 1.0, 0.25, 0.75, 0.5])
    found = card.interval(Outcome(np.arange(6), values, None))
    half = 2.570581835636314 * np.std(values, ddof=1) / np.sqrt(6)  # the table's value for five degrees of freedom
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))
    drawn = card.interval(Outcome(np.arange(6), None, np.arange(101.0)))
    assert drawn is not None and (drawn.low, drawn.high) == pytest.approx((2.5, 97.5))
    assert card.interval(Outcome(np.arange(1), np.ones(1), None)) is None


def test_what_is_there_is_never_written_over_and_what_fails_leaves_nothing(trained, cell, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="is there already; name a folder that is not, or an empty one"):
        export(trained, cell("lora"), "native", tmp_path / "there")
    with pytest.raises(ExportError, match="houlsby does; use --to native"):
        export(trained, cell("houlsby"), "peft", tmp_path / "new")
    with pytest.raises(ExportError, match="cannot be folded into the backbone's weights; use --to native"):
        export(trained, cell("houlsby"), "merged", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_cell_without_a_state_says_how_one_is_kept(trained, cell, tmp_path):
    bare = cell("lora").model_copy(update={"kept": {}})
    with pytest.raises(ExportError, match="has kept no state; with `keep: "):
        export(trained, bare, "native", tmp_path / "new")
    with pytest.raises(ExportError, match="has learnt nothing to export: it is 'failed'"):
        export(trained, cell("lora").model_copy(update={"status": "failed"}), "native", tmp_path / "new")
    with pytest.raises(ExportError, match="--bf16 is for merged weights"):
        export(trained, cell("lora"), "peft", tmp_path / "new", bf16=True)


LAYER = "bert.encoder.layer.0.attention.self.query.updates.0.down"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({LAYER: None}, f"lacks {LAYER}, which lora learns"),
        ({"classifier.weight": None}, "lacks classifier.weight"),
        ({LAYER: torch.zeros(8, 31)}, "does not fit the method and the backbone: .*must match"),
        ({"bert.nowhere": torch.zeros(1)}, "does not fit the method and the backbone: .*bert.nowhere"),
        ({LAYER: torch.full((8, 32), math.nan)}, f"has entries that are no numbers, in {LAYER}"),
    ],
)
@pytest.mark.parametrize("target", ["peft", "native"])
def test_a_state_that_is_not_the_cells_is_refused(change, reason, target, trained, cell, spoilt, tmp_path):
    tensors = state_of(trained, cell("lora")) | change
    kept = {name: value for name, value in tensors.items() if value is not None}
    store, record = spoilt(safetensors.torch.save(kept))
    with pytest.raises(ExportError, match=reason):
        export(store, record, target, tmp_path / "new")


def test_a_state_that_is_cut_or_exchanged_is_refused(trained, cell, spoilt, tmp_path):
    data = trained.kept(cell("lora"), "state.safetensors")
    store, record = spoilt(pickle.dumps({"a": 1}))
    with pytest.raises(ExportError, match="is no file of safetensors that can be read"):
        export(store, record, "native", tmp_path / "new")
    store.replace_kept(record, "state.safetensors", data[:-100])
    with pytest.raises(ExportError, match="is no file of safetensors that can be read"):
        export(store, record, "native", tmp_path / "new")
    (store.folder(record.id) / "state.safetensors").write_bytes(data)
    with pytest.raises(ExportError, match="is not the file that the record was written with"):
        export(store, record, "native", tmp_path / "new")


def test_a_state_that_lies_elsewhere_is_refused(trained, cell, spoilt, tmp_path):
    store, record = spoilt(b"")
    path = store.folder(record.id) / "state.safetensors"
    outside = tmp_path / "outside"
    outside.write_bytes(trained.kept(cell("lora"), "state.safetensors"))
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(ExportError, match="is a link, or lies behind one; links are not followed"):
        export(store, record, "native", tmp_path / "new")


def test_a_backbone_that_was_changed_since_is_refused(tiny_backbone, tmp_path):
    shutil.copytree(tiny_backbone, tmp_path / "backbone")
    store = train(suite_file(tmp_path, tmp_path / "backbone", {"lora": {}}), tmp_path / "results")
    [record] = store.records()
    export(store, record, "native", tmp_path / "native")
    weights = tmp_path / "backbone" / "model.safetensors"
    safetensors.torch.save_file(
        {name: value + 1 for name, value in safetensors.torch.load_file(weights).items()}, weights, {"format": "pt"}
    )
    with pytest.raises(ExportError, match="was changed while the run was under way"):
        export(store, record, "peft", tmp_path / "new")
    with pytest.raises(ExportError, match="was trained on another"):
        load(tmp_path / "native")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "state.safetensors").unlink(), "is no native export"),
        (lambda folder: (folder / "state.safetensors").write_bytes(b"12"), "is no file of safetensors"),
        (lambda folder: (folder / "adaptbench.json").write_text("{}"), "has the format None"),
        (lambda folder: (folder / "adaptbench.json").write_text("[1"), "describes no adapter"),
        (lambda folder: link(folder / "state.safetensors"), "links are not followed"),
        (
            lambda folder: (folder / "state.safetensors").write_bytes(pickle.dumps({"a": 1})),
            "is no file of safetensors",
        ),
        (lambda folder: pickled(folder / "state.safetensors"), r"state.bin is pickled, which can run code, and is not"),
        (lambda folder: edit(folder, LAYER, None), f"lacks {LAYER}, which lora learns"),
        (lambda folder: edit(folder, LAYER, torch.zeros(8, 31)), "does not fit the method and the backbone"),
        (lambda folder: edit(folder, LAYER, torch.full((8, 32), math.inf)), "has entries that are no numbers"),
        (lambda folder: rename(folder, "backbone", "/nowhere"), "/nowhere"),
        (lambda folder: rename(folder, "method", "nobody's"), "there is no method .nobody's. here; name its file"),
        (lambda folder: rename(folder, "method_revision", "99"), "was trained by another version of lora"),
    ],
)
def test_a_native_export_that_was_spoilt_is_refused(spoil, reason, trained, cell, tmp_path):
    export(trained, cell("lora"), "native", tmp_path / "native")
    spoil(tmp_path / "native")
    with pytest.raises(ExportError, match=reason):
        load(tmp_path / "native")


def pickled(path: Path) -> None:
    path.unlink()
    path.with_suffix(".bin").write_bytes(pickle.dumps({"a": 1}))


def edit(folder: Path, name: str, value: torch.Tensor | None) -> None:
    tensors = safetensors.torch.load_file(folder / "state.safetensors") | {name: value}
    kept = {name: value for name, value in tensors.items() if value is not None}
    safetensors.torch.save_file(kept, folder / "state.safetensors")


def link(path: Path) -> None:
    path.rename(path.parent.parent / "outside")
    path.symlink_to(path.parent.parent / "outside")


def rename(folder: Path, key: str, value: str) -> None:
    about = json.loads((folder / "adaptbench.json").read_text())
    about["cell"][key] = value
    (folder / "adaptbench.json").write_text(json.dumps(about))


def test_the_command_names_the_cell_by_the_beginning_of_its_id(trained, cell, bench, tmp_path):
    record = cell("lora")
    done = bench("export", record.id[:8], "--to", "native", "out", "--results", trained.root)
    assert done.returncode == 0 and done.stdout.startswith(f"out: {record.cell}. Read back"), done.stderr
    assert (tmp_path / "out" / "README.md").is_file()
    again = bench("export", record.id, "--to", "native", "out", "--results", trained.root)
    assert again.returncode == 1
    assert again.stderr == f"bench: {record.id}: out: is there already; name a folder that is not, or an empty one\n"


def test_an_export_comes_back_as_a_cell_and_scores_the_same(trained, cell, tiny_backbone, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    monkeypatch.setattr("bench.worker.keep_memory", lambda: None)  # this process has other tests to run
    export(trained, cell("lora"), "peft", tmp_path / "mine")
    methods = {"peft:path@mine": {"path": "./mine"}, "peft:path@copy": {"path": "copy"}}
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    (tmp_path / "copy" / "adapter_config.json").open("a").write("\n")
    store = train(suite_file(tmp_path, tiny_backbone, methods), tmp_path / "results")
    records = list(store.records())
    assert len({record.id for record in records}) == 2 and all(record.status == "trained" for record in records)
    assert all(record.test == cell("lora").test for record in records)
    assert store.predictions(records[0]).predictions == trained.predictions(cell("lora")).predictions
    assert "state.safetensors" not in records[0].kept and not records[0].history
    with silent() as line:
        CellRun(Origin(store).job(records[0].id, "profile"), line).profile(records[0])
    assert records[0].status == "ok" and records[0].cost.inference_flops > 0 and records[0].cost.train_flops == 0
    assert records[0].cost.stored_bytes >= 4 * cell("lora").parameters.adapter
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "mine").rename(elsewhere / "moved")
    moved = Suite.load(str(suite_file(elsewhere, tiny_backbone, {"peft:path": {"path": "moved"}})))
    assert list(moved.cells) == [records[0].id], "the files are its identity, and not where they lie"

"""What peft shares with us, trained by a run, exported, and asked by peft and transformers without us: the same answers
to the recorded test examples, and so the same test score."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bench.export.cells import export
from records.record import Record
from records.store import RecordStore
from tests.bench.test_export import BUDGET, suite_file, train
from tests.hub import build
from tests.methods.test_exchange import SHARED
from tests.methods.tiny import CONFIGURATIONS, MERGING

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.exhaustive

LENGTH = BUDGET["max_length"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.llama(tmp_path_factory.mktemp("llama") / "llama")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> RecordStore:
    """One cell of every method that peft shares with us."""
    folder = tmp_path_factory.mktemp("scores")
    methods = {name: json.loads(json.dumps(CONFIGURATIONS[name])) | {"lr": 0.02} for name in SHARED}
    methods["spot"]["source"] = "rotten_tomatoes"
    return train(suite_file(folder, backbone, methods), folder / "results")


def cell(store: RecordStore, label: str) -> Record:
    return next(record for record in store.records() if record.cell.label == label)


def asked(model: torch.nn.Module, folder: Path, store: RecordStore, record: Record) -> list[int]:
    """The answers of a model to the recorded texts, one at a time."""
    recorded, texts, tokenizer = store.predictions(record), store.texts(), AutoTokenizer.from_pretrained(folder)
    found = []
    for example in recorded.examples:
        inputs = tokenizer(texts[example]["text"], truncation=True, max_length=LENGTH, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.no_grad():
            found.append(int(model(**inputs).logits[0].argmax()))
    return found


def test_every_shared_method_is_among_them_and_learns(trained):
    records = {record.cell.label: record for record in trained.records()}
    assert records.keys() == set(SHARED)
    answers = [tuple(trained.predictions(record).predictions) for record in records.values()]
    assert len(set(answers)) > len(SHARED) / 2, "cells that all answer alike would show nothing"


@pytest.mark.parametrize("name", SHARED)
def test_peft_scores_what_the_record_says(name, trained, backbone, tmp_path):
    record, folder = cell(trained, name), tmp_path / "adapter"
    export(trained, record, "peft", folder)
    plain = AutoModelForSequenceClassification.from_pretrained(backbone, num_labels=2, pad_token_id=257)
    found = asked(peft.PeftModel.from_pretrained(plain, folder).eval(), folder, trained, record)
    recorded = trained.predictions(record)
    assert found == recorded.predictions
    assert accuracy_score(recorded.references, found) == pytest.approx(record.test["accuracy"])


@pytest.mark.parametrize("name", [name for name in SHARED if name in MERGING])
def test_transformers_scores_it_merged_and_in_bfloat16_what_the_card_states(name, trained, tmp_path):
    record = cell(trained, name)
    recorded = trained.predictions(record)
    export(trained, record, "merged", tmp_path / "full")
    full = AutoModelForSequenceClassification.from_pretrained(tmp_path / "full").eval()
    assert asked(full, tmp_path / "full", trained, record) == recorded.predictions
    said = export(trained, record, "merged", tmp_path / "half", bf16=True)
    stated = re.search(r"differ .* by (\S+) at most\. .* scores accuracy (\S+), .*; (\d+) of 60 answers are", said)
    assert stated is not None and said in (tmp_path / "half" / "README.md").read_text()
    half = AutoModelForSequenceClassification.from_pretrained(tmp_path / "half", dtype=torch.bfloat16).eval()
    found = asked(half, tmp_path / "half", trained, record)
    # In bfloat16 an example may fall on the other side in another batch, whose padding adds up otherwise.
    assert abs(sum(a == b for a, b in zip(found, recorded.predictions, strict=True)) - int(stated[3])) <= 1
    assert accuracy_score(recorded.references, found) == pytest.approx(float(stated[2]), abs=1.1 / 60)
    assert float(stated[1]) > 0

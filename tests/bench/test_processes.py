"""A cell in several processes: the scores of one process, and an end together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import read_records


@pytest.fixture
def without_dropout(tiny_backbone: Path, tmp_path: Path) -> Path:
    """What dropout draws depends on how a batch is divided."""
    folder = tmp_path / "no-dropout"
    shutil.copytree(tiny_backbone, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def results_of(found) -> dict[str, dict]:
    return {record["cell"]["label"]: record for record in read_records(found).values()}


METHODS = {"full": {"lr": 1e-3}, "lora": {"rank": 2, "dropout": 0.0}}


def test_two_processes_give_the_scores_of_one(bench, write_suite, without_dropout, tmp_path):
    budget = {
        "train_examples": 61, "validation_examples": 40, "test_examples": 59, "epochs": 2, "batch_size": 8,
        "max_length": 32,
    }  # fmt: skip
    # The last batch of an epoch has five examples, which two ranks cannot share evenly.
    suite = write_suite(backbones=[str(without_dropout)], methods=METHODS, budget=budget, profile=False)
    for folder, processes in (("one", 1), ("two", 2)):
        done = bench("run", suite, "--results", tmp_path / folder, "--processes", processes, "--slots", 1)
        assert done.returncode == 0, done.stdout + done.stderr
    one, two = results_of(tmp_path / "one"), results_of(tmp_path / "two")
    for label in METHODS:
        alone, shared = one[label], two[label]
        assert shared["id"] == alone["id"]
        assert shared["data"] == alone["data"]
        assert shared["environment"]["processes"] == 2 and "processes" not in alone["environment"]
        assert shared["test"] == pytest.approx(alone["test"], abs=0.02)
        for here, there in zip(shared["history"], alone["history"], strict=True):
            assert here["train_loss"] == pytest.approx(there["train_loss"], rel=1e-4)
            assert here["validation_loss"] == pytest.approx(there["validation_loss"], rel=1e-4)

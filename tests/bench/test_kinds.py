"""Every kind of task, from a suite file to a record, on tiny models that learn it in seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PLUGINS, read_records

SMALL = {
    "train_examples": 200, "validation_examples": 40, "test_examples": 60, "epochs": 6, "batch_size": 8,
    "max_length": 48, "max_target_length": 10,
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, bench: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Runs a suite; returns its records by label and task."""

    def call(backbone: Path, **keys: Any) -> dict[str, Any]:
        suite = {
            "backbones": [str(backbone)], "methods": {"full": {"lr": 3e-3}}, "seeds": [0], "precision": "no",
            "profile": False,
            "plugins": [str(PLUGINS / "kinds.py"), str(PLUGINS / "colours.py")], "budget": SMALL,
        }  # fmt: skip
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump(suite | keys, sort_keys=False))
        done = bench("run", path, "--results", tmp_path / "results", "--slots", 1)
        records = read_records(tmp_path / "results")
        reasons = [record["reason"] for record in records.values() if record["reason"]]
        assert done.returncode == 0, (done.stdout, done.stderr, reasons)
        return {f"{r['cell']['label']} {r['cell']['task']}": r for r in records.values()}

    return call


@pytest.mark.parametrize(
    ("backbone", "task", "metric", "least"),
    [
        pytest.param("encoder", "tags", "f1_entity", 0.9, marks=pytest.mark.exhaustive),
        pytest.param("encoder", "warmth", "pearson", 0.8, marks=pytest.mark.exhaustive),
        pytest.param("encoder", "choose", "accuracy", 0.9, marks=pytest.mark.exhaustive),
        pytest.param("encoder", "find", "f1", 0.8, marks=pytest.mark.exhaustive),
        pytest.param("decoder", "warmth", "pearson", 0.6, marks=pytest.mark.exhaustive),
        pytest.param("decoder", "tags", "f1_entity", 0.9, marks=pytest.mark.exhaustive),
        pytest.param("encoder-decoder", "colours", "accuracy", 0.5, marks=pytest.mark.exhaustive),
    ],
)
def test_a_kind_is_learnt_under_a_fresh_head(run, backbones, backbone: str, task: str, metric: str, least: float):
    record = run(backbones[backbone], tasks=[task])[f"full {task}"]
    assert record["status"] == "trained"
    assert record["test"][metric] > least
    assert record["parameters"]["head"] > 0


@pytest.mark.parametrize(
    ("task", "metric", "least"),
    [
        ("say", "f1", 0.5),
        pytest.param("colours", "accuracy", 0.9, marks=pytest.mark.exhaustive),
        pytest.param("choose", "accuracy", 0.9, marks=pytest.mark.exhaustive),
    ],
)
def test_a_kind_is_learnt_as_text(run, backbones, task: str, metric: str, least: float):
    record = run(backbones["decoder"], tasks=[task], form="text")[f"full {task}"]
    assert record["status"] == "trained"
    assert record["test"][metric] > least
    assert record["parameters"]["head"] == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("task", ["colours", "say"])
def test_an_encoder_decoder_is_trained_on_text(run, backbones, task: str):
    """From random weights it learns more slowly: that it fits its answers ever better has to do."""
    record = run(backbones["encoder-decoder"], tasks=[task], form="text")[f"full {task}"]
    assert record["status"] == "trained"
    losses = [line["train_loss"] for line in record["history"]]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.exhaustive
def test_prompting_trains_nothing_and_pays_at_inference(run, backbones):
    methods = {"zero_shot": {}, "few_shot": {"shots": 3}, "full": {"lr": 3e-3}, "prefix_tuning": {"lr": 1e-2}}
    found = run(
        backbones["decoder"], tasks=["colours", "go"], form="text", methods=methods, forgetting="go", profile="brief"
    )
    zero, few, full, prefix = (found[f"{name} colours"] for name in methods)
    for record in (zero, few):
        assert (record["parameters"]["total"], record["data"]["steps"], record["cost"]["train_flops"]) == (0, 0, 0)
        assert record["cost"]["step_seconds"] is None
        assert record["forgetting"] == {}  # nothing was trained
    assert full["test"]["accuracy"] > max(zero["test"]["accuracy"], few["test"]["accuracy"])
    # The same question is asked of all; what stands before it is the prompt's own price.
    assert few["cost"]["protocol"] == zero["cost"]["protocol"]
    assert few["cost"]["protocol"]["inference_batch"][1] == few["cell"]["budget"]["max_length"]
    # Four times as many tokens are read, and attention grows faster than that.
    assert few["cost"]["inference_flops"] >= 4 * zero["cost"]["inference_flops"]
    # Before is the backbone without anything: random prefixes count as a loss, not as what was there.
    assert prefix["forgetting"]["before"] == pytest.approx(full["forgetting"]["before"])
    assert full["forgetting"]["after"] != full["forgetting"]["before"]
    assert found["full go"]["test"]["byte_probability"] > 2 * found["zero_shot go"]["test"]["byte_probability"]


def test_what_does_not_apply_is_said(run, backbones, tmp_path: Path):
    methods = {"zero_shot": {}, "head": {}}
    found = run(backbones["encoder"], tasks=["colours", "say"], methods=methods, profile=False)
    assert "form: text" in found["zero_shot colours"]["reason"]
    assert "encoder" in found["head say"]["reason"]
    assert found["head colours"]["status"] == "trained"


@pytest.mark.exhaustive
def test_a_mixture_is_scored_by_task_and_on_average(run, backbones):
    name = "mixture:colours+choose"
    methods = {"full": {"lr": 3e-3}, "hyperformer_pp": {"lr": 3e-3}}
    # With one seed in forty two colours remain one, with PyTorch's dropout as with ours: 0 is that one.
    found = run(backbones["encoder"], tasks={name: {"temperature": 2}}, methods=methods, seeds=[1])
    for label in methods:
        scores = found[f"{label} {name}"]["test"]
        assert scores["average"] == pytest.approx((scores["colours"] + scores["choose"]) / 2)
    scores = found[f"full {name}"]["test"]
    assert scores["colours"] > 0.8
    assert scores["choose"] > 0.8


def test_a_users_own_file_runs_with_six_lines(run, backbones, tmp_path: Path):
    feels = {"red": "warm", "pink": "warm", "blue": "cold", "cyan": "cold"}
    rows = [f'"the {colour} house {number}",{feeling}' for number in range(30) for colour, feeling in feels.items()]
    (tmp_path / "houses.csv").write_text("said,feels\n" + "\n".join(rows) + "\n")
    found = run(backbones["encoder"], tasks={"files:houses.csv": {"text": "said", "label": "feels"}}, profile=False)
    [record] = found.values()
    assert record["test"]["accuracy"] > 0.9
    manifest = json.loads((tmp_path / "results" / "manifest.json").read_text())
    assert manifest["cards"]["tasks"]["files:houses.csv"]["labels"] == ["cold", "warm"]

"""Prompting beside tuning, and prompting alone: what trains nothing has no rate, no steps and no time of training."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from records.record import Record
from reports.analysis import compositions
from reports.build import build_report
from reports.build_talk import build_slides
from reports.model.topics import topics
from reports.results import read
from tests.reports import synthetic_results as synthetic

PROMPTS = ("zero_shot", "few_shot")

pytestmark = pytest.mark.usefixtures("blank_figures")


def prompted(cell) -> Record:
    made = synthetic.record(cell, score=0.55)
    assert made.parameters and made.data and made.cost
    nothing = {"adapter": 0, "head": 0, "total": 0, "percent": 0.0}
    cost = {"gradient_bytes": 0, "optimizer_bytes": 0, "activation_bytes": 0, "stored_bytes": 0, "train_flops": 0,
            "step_seconds": None, "train_tokens_per_second": None, "merged_inference_seconds": None,
            "phases": []}  # fmt: skip
    return made.model_copy(update={
        "parameters": made.parameters.model_copy(update=nothing), "cost": made.cost.model_copy(update=cost),
        "data": made.data.model_copy(update={"steps": 0}), "history": [], "best_step": None,
    })  # fmt: skip


def write(root: Path, tuned: tuple[str, ...]) -> Path:
    cells = synthetic.grid((*PROMPTS, *tuned), ["rotten_tomatoes"], seeds=2)
    cells = [cell.model_copy(update={"form": "text"}) for cell in cells]
    records = [prompted(cell) if cell.method in PROMPTS else synthetic.record(cell) for cell in cells]
    methods = synthetic.method_cards()
    for name, composition in zip(PROMPTS, (None, "input"), strict=True):
        methods[name] = methods["head"] | {"name": name, "title": name, "composition": composition}
    cards = {"methods": methods, "tasks": synthetic.TASKS, "backbones": synthetic.BACKBONES}
    return synthetic.write(root, cells, records, cards=cards)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("blank_figures")
def test_prompting_beside_tuning(tmp_path: Path):
    root = write(tmp_path / "results", ("full", "lora"))
    report = build_report(root).folder
    [budget] = rows(report / "tables" / "budget.csv")
    assert int(budget["Steps"]) > 0
    rates = {row["label"]: row["lr"] for row in rows(report / "tables" / "hyperparameters.csv")}
    assert rates["zero_shot"] == rates["few_shot"] == ""
    assert float(rates["lora"]) > 0
    text = " ".join((report / "report.tex").read_text().split())
    assert r"Nothing is trained for zero\_shot and few\_shot." in text
    assert "a fresh task head is trained" not in text
    # The memory of training is told of what trains.
    assert "(zero_shot)" not in text.replace(r"\_", "_").partition("Measured peak memory of training")[2][:200]
    composed = {label for each in compositions.composition_table(read(root)) for label in each.labels}
    assert composed == {"lora"}
    slides = " ".join((build_slides(root).folder / "slides.tex").read_text().split())
    assert "Same data, order and number of steps for every trained method" in slides


@pytest.mark.parametrize("topic", sorted(topics()))
@pytest.mark.usefixtures("blank_figures")
def test_prompting_alone(tmp_path: Path, topic: str):
    root = write(tmp_path / "results", ())
    report = build_report(root, topic=topic).folder
    assert "Training processes" not in (report / "report.tex").read_text()
    assert "peak memory of training" not in (report / "report.tex").read_text()

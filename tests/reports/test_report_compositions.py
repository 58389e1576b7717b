"""The survey's axes, printed and computed, on figures set by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_results as synthetic

from records.record import Record
from reports.analysis.compositions import AxisRating, composition_table
from reports.results import read

TASKS = ("rotten_tomatoes", "bbc_news")


def record(method: str, task: str, percent: float, train: int, inference: int, score: float, merges: bool) -> Record:
    made = synthetic.record(synthetic.cell(method, task, 0), score=score)
    assert made.cost is not None and made.parameters is not None
    cost = {"train_flops": train, "inference_flops": inference, "merged_inference_seconds": 0.1 if merges else None}
    return made.model_copy(
        update={
            "cost": made.cost.model_copy(update=cost),
            "parameters": made.parameters.model_copy(update={"percent": percent}),
        }
    )


def table(root: Path, records: list[Record]) -> dict[tuple[str, str], AxisRating]:
    results = read(synthetic.write(root, [r.cell for r in records], records))
    return {(row.composition, row.axis): row for row in composition_table(results)}


def test_ratings_follow_from_the_figures(tmp_path: Path):
    records = []
    for task, full in zip(TASKS, (0.80, 0.95), strict=True):
        records += [
            record("full", task, 100, 1000, 300, full, False),
            record("lora", task, 0.3, 700, 330, full - 0.02, True),
            record("bitfit", task, 0.05, 400, 300, full - 0.001, True),
            record("lt_sft", task, 5.0, 1000, 300, full - 0.04, True),
            record("prompt_tuning", task, 0.02, 1200, 420, full - 0.2, False),
            record("houlsby", task, 2.0, 800, 305, full + 0.01, False),
        ]
    rows = table(tmp_path, records)
    computed = {key: (row.computed, row.value) for key, row in rows.items() if row.computed}
    assert computed == {
        ("parameter", "parameter efficiency"): ("+", 0.3),  # the median of three
        ("parameter", "training efficiency"): ("+", 0.7),
        ("parameter", "inference efficiency"): ("++", 1.0),  # merged, whatever it costs before
        ("parameter", "performance"): ("+", pytest.approx(-2)),
        ("input", "parameter efficiency"): ("++", 0.02),
        ("input", "training efficiency"): ("−−", 1.2),
        ("input", "inference efficiency"): ("−−", 1.4),
        ("input", "performance"): ("−−", pytest.approx(-20)),
        ("function", "parameter efficiency"): ("−", 2.0),
        ("function", "training efficiency"): ("+", 0.8),
        ("function", "inference efficiency"): ("+", pytest.approx(305 / 300)),
        ("function", "performance"): ("++", pytest.approx(1)),
    }
    assert rows["parameter", "training efficiency"].agreement == "opposite"  # printed −
    assert rows["input", "performance"].agreement == "same side"  # printed −
    assert rows["function", "performance"].agreement == "same"
    assert rows["parameter", "performance"].labels == ("bitfit", "lt_sft", "lora")


def test_what_was_not_measured_is_said(tmp_path: Path):
    records = [record("lora", "bbc_news", 0.3, 700, 330, 0.9, False)]
    rows = table(tmp_path, records)
    assert len(rows) == 15
    assert rows["parameter", "parameter efficiency"].computed == "+"  # needs no comparison
    assert rows["parameter", "performance"].reason == "The suite has no full fine-tuning to compare with."
    assert rows["input", "performance"].reason == "The suite has no method of this composition."
    unmeasured = [row for row in rows.values() if row.agreement == "not measured"]
    assert all(row.computed is None and row.value is None and row.reason for row in unmeasured)
    assert {row.axis for row in unmeasured} >= {"compositionality"}

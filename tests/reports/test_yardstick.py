"""Times of training are told by ratios to a yardstick, which stood beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_results as synthetic

from reports.analysis.analysis import analyse
from reports.model.prose import OURS
from reports.results import read
from reports.sections import costs, setup

PROTOCOL = {"train_batch": [32, 64], "inference_batch": [8, 64], "yardstick": "activation-only backward", "pairs": 8}


def timed(cell, ratio: float, yardstick: float, drifted: bool = False):
    record = synthetic.record(cell)
    seconds = ratio * yardstick
    found = {
        "protocol": PROTOCOL, "step_seconds": seconds, "yardstick_seconds": yardstick,
        "train_tokens_per_second": 32 * 64 / seconds, "drifted": drifted,
    }  # fmt: skip
    return record.model_copy(update={"cost": record.cost.model_copy(update=found)})


def test_a_machine_that_slowed_down_favours_no_method(tmp_path: Path):
    """LoRA was profiled while the machine was twice as slow."""
    cells = synthetic.grid(["full", "lora"], ["bbc_news"], seeds=2)
    speeds = {"full": (1.5, 0.1), "lora": (1.05, 0.2)}
    records = [timed(cell, *speeds[cell.label], drifted=cell.label == "lora") for cell in cells]
    results = read(synthetic.write(tmp_path / "r", cells, records))
    by_label = results.cells.groupby("label")[["step_seconds", "step_ratio", "train_tokens_per_second"]].mean()
    assert by_label.loc["full", "step_seconds"] / by_label.loc["lora", "step_seconds"] == pytest.approx(1.5 / 1.05)
    rates = by_label["train_tokens_per_second"]
    assert rates["lora"] / rates["full"] == pytest.approx(1.5 / 1.05)
    # At the median of the yardsticks' speeds: 0.1, 0.1, 0.2, 0.2.
    assert by_label.loc["full", "step_seconds"] == pytest.approx(1.5 * 0.15)

    analysis = analyse(results)
    [table] = costs.tables(analysis)
    assert {"step_ratio", "yardstick_seconds"} <= set(table.data["measure"])
    assert "step_seconds" not in set(table.data["measure"])
    said = str(costs.part(analysis, OURS)) + str(setup.part(analysis, OURS))
    assert "2 met a restless machine (lora)" in said
    assert "the median ratio of at least 8 such pairs" in said


def test_profiles_without_a_yardstick_keep_their_seconds(tmp_path: Path):
    cells = synthetic.grid(["full", "lora"], ["bbc_news"], seeds=1)
    records = [synthetic.record(cell) for cell in cells]
    results = read(synthetic.write(tmp_path / "r", cells, records))
    for record in records:
        assert results.cells.loc[record.id, "step_seconds"] == record.cost.step_seconds
    [table] = costs.tables(analyse(results))
    assert "step_seconds" in set(table.data["measure"]) and "step_ratio" not in set(table.data["measure"])

"""Times of training are told by ratios to a yardstick, which stood beside them."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
import pytest
import synthetic_results as synthetic
from scipy import stats

from records.cards import Claim
from reports.analysis.analysis import analyse
from reports.model.claim_words import measured
from reports.model.prose import OURS
from reports.results import read
from reports.sections import costs, setup

PROTOCOL = {"train_batch": [32, 64], "inference_batch": [8, 64], "yardstick": "activation-only backward", "pairs": 8}


RATE = "train_tokens_per_second"


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


def shared(rounds: dict[str, dict[str, list[float]]], seeds: int = 3):
    """Cells and records of which each configuration's share the first seed's profile."""
    cells = synthetic.grid(list(rounds), ["bbc_news"], seeds=seeds)
    first = {cell.label: cell for cell in reversed(cells)}
    made = []
    for cell in cells:
        lead = first[cell.label]
        record = timed(lead, median(rounds[cell.label]["step"]), 0.1)
        cost = record.cost.model_copy(update={"rounds": rounds[cell.label]})
        of = None if cell.id == lead.id else lead.id
        made.append(synthetic.record(cell).model_copy(update={"cost": cost, "profile_of": of}))
    return cells, made


def test_a_profile_that_seeds_share_counts_once_and_its_rounds_are_its_spread(tmp_path: Path):
    rounds = {
        "full": {"step": [1.5, 1.52, 1.49, 1.51, 1.5]},
        "lora": {"step": [1.05, 1.06, 1.04, 1.05, 1.07]},
    }
    results = read(synthetic.write(tmp_path / "r", *shared(rounds)))
    assert results.cells["step_ratio"].notna().sum() == 2  # and not 6
    [group] = analyse(results).costs
    assert (group.most, group.shared, len(group.cells)) == (1, True, 6)
    for label, own in rounds.items():
        summary, ids = group.of(label, "step_ratio")
        assert (summary.n, len(ids)) == (1, 1)
        assert summary.mean == pytest.approx(np.median(own["step"]))
        assert summary.sd == pytest.approx(np.std(own["step"], ddof=1))
        assert group.range(label, "step_ratio") == pytest.approx((min(own["step"]), max(own["step"])))
        speed = group.range(label, "train_tokens_per_second")
        assert speed[1] / speed[0] == pytest.approx(max(own["step"]) / min(own["step"]))
    [front] = analyse(results).fronts
    scores = results.cells.groupby("label")["score"].mean()  # of all seeds, not of the one that was profiled
    assert {placed.label: placed.score for placed in front.placed} == pytest.approx(dict(scores))
    assert "Cells that differ in their seed alone share a profile" in str(setup.part(analyse(results), OURS))


def test_a_claim_about_a_time_is_tested_over_the_rounds_of_one_profile(tmp_path: Path):
    step = {"full": [1.5, 1.52, 1.49, 1.51, 1.5], "lora": [1.05, 1.06, 1.04, 1.05, 1.07]}
    root = synthetic.write(tmp_path / "r", *shared({label: {"step": own} for label, own in step.items()}))
    claims = [Claim("A claim.", "hu2022lora", name, "full", "higher") for name in ("step_seconds", RATE)]
    synthetic.with_claims(root, {"lora": [synthetic.to_plain(one) for one in claims]})
    found = analyse(read(root)).verdicts
    assert [(one.claim.measure, one.verdict) for one in found] == [
        ("step_seconds", "contradicted"),
        (RATE, "supported"),
    ]
    for verdict in found:
        assert (verdict.n, verdict.in_rounds) == (5, True)
        sign = -1 if verdict.claim.measure == RATE else 1
        logs = sign * np.log(np.array(step["lora"]) / np.array(step["full"]))
        assert verdict.effect == pytest.approx(float(np.exp(logs.mean())))
        interval = stats.t.interval(0.9, 4, loc=logs.mean(), scale=stats.sem(logs))
        assert (verdict.low, verdict.high) == pytest.approx(tuple(np.exp(interval)))
        assert "over 5 pairs of rounds of timing on 1 task" in measured(verdict)

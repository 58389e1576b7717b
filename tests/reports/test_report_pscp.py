"""PSCP, against what its authors' figures give by hand, and on made-up results."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_results as synthetic

from records.record import Parameters
from reports.analysis import penalties
from reports.analysis.analysis import analyse
from reports.model.prose import OURS, plain
from reports.results import read
from reports.sections import pscp


@pytest.mark.parametrize(
    ("score", "parameters", "flops", "memory", "expected"),
    [
        # LoRA and P-tuning on Llama-3-8B, as the authors measured them: 14.7 M and 53.1 M parameters, 8.38 and 10.06
        # TFLOP of which the backbone takes 8.38, 27.75 and 34.53 GB. By hand: 80.1 / (1.02936 · 1 · 1.29521) and
        # 51.7 / (1.10626 · 1.168 · 1.36734).
        (80.1, 14_680_064, 0.0, 27.75e9, 60.08),
        (51.7, 53_130_752, 1.68e12, 34.53e9, 29.26),
        # Where each cost is what halves a score, an eighth is left.
        (80.0, 5e8, 10e12, 94e9, 10.0),
    ],
)
def test_a_penalty_is_what_the_authors_constants_make_of_a_cost(score, parameters, flops, memory, expected):
    found = score
    for name, measured in (("parameters", parameters), ("flops", flops), ("memory", memory)):
        found *= penalties.penalty(measured, penalties.HALVES[name])
    assert found == pytest.approx(expected, abs=0.005)


# Score, trained parameters, peak in bytes, FLOPs of a batch of 8 and of the plain backbone's, merges.
RUNS = {
    "full": (0.90, 500_000_000, 94_000_000_000, 8e12, 8e12, False),
    "lora": (0.80, 0, 0, 8.8e12, 8e12, True),
    "houlsby": (0.85, 0, 0, 88e12, 8e12, False),
}


def results(root: Path, counted: bool = True):
    cells, records = synthetic.grid(list(RUNS), ["bbc_news"], seeds=2), []
    for cell in cells:
        score, trained, peak, flops, backbone, merges = RUNS[cell.label]
        record = synthetic.record(cell, score=score)
        cost = {
            "peak_memory_bytes": peak, "inference_flops": int(flops),
            "backbone_inference_flops": int(backbone) if counted else None,
            "merged_inference_seconds": 0.01 if merges else None,
        }  # fmt: skip
        parameters = Parameters(adapter=trained, head=0, total=trained, backbone=10**9, percent=0)
        update = {"cost": record.cost.model_copy(update=cost), "parameters": parameters}
        records.append(record.model_copy(update=update))
    return read(synthetic.write(root, cells, records))


@pytest.mark.parametrize("counted", [True, False])
def test_scores_are_penalised_and_ranks_that_change_are_named(tmp_path: Path, counted):
    """Full fine-tuning keeps a quarter. The adapter takes 80 TFLOP more for 8 texts, 10 for one, and keeps a half; LoRA
    merges, and keeps all. Where the plain backbone was not counted, full fine-tuning stands for it."""
    analysis = analyse(results(tmp_path / "r", counted))
    [found] = analysis.penalties
    assert {row.label: row.pscp for row in found.rows} == pytest.approx(
        {"full": 0.90 / 4, "lora": 0.80, "houlsby": 0.85 / 2}
    )
    # By score full, houlsby, lora; by PSCP lora, houlsby, full.
    assert found.moved == ["full", "lora"]
    part = pscp.part(analysis, OURS)
    said = " ".join(plain(block.text) for block in part.section.blocks if hasattr(block, "text"))
    assert "full and lora change their ranks" in said and "leave 25.0–100.0" in said
    *_, table = part.section.blocks
    assert {row.cells[0]: row.cells[-1].text for row in table.rows} == {
        "full": "22.5",
        "lora": "80.0",
        "houlsby": "42.5",
    }


def test_nothing_is_told_without_costs(tmp_path: Path):
    cells = synthetic.grid(["full", "lora"], ["bbc_news"], seeds=1)
    records = [synthetic.record(cell, "trained") for cell in cells]
    analysis = analyse(read(synthetic.write(tmp_path / "r", cells, records)))
    assert analysis.penalties == [] and pscp.part(analysis, OURS).section is None

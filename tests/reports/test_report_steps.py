"""Where a step's time goes, its energy, and inference of other shapes, from made-up profiles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import synthetic_results as synthetic

from records.record import Generation, Passes
from reports.analysis.analysis import analyse
from reports.model.prose import OURS, plain
from reports.results import read
from reports.sections import report, serving, steps

# Forward, backward, optimiser; of the peak; joules.
SPLITS = {
    "full": (30.0, 55.0, 15.0, 40.0, 12.0),
    "lora": (45.0, 54.0, 1.0, 50.0, 9.0),
    "head": (95.0, 4.0, 1.0, 60.0, 5.0),
}
NAMES = ("forward_percent", "backward_percent", "optimizer_percent", "peak_percent", "step_joules")


def results(root: Path, energy: bool = True, generation: bool = False):
    cells = synthetic.grid(list(SPLITS), ["bbc_news"], seeds=1)
    records = []
    for cell in cells:
        record = synthetic.record(cell)
        found = dict(zip(NAMES, SPLITS[cell.label], strict=True)) | {"matmul_flops_per_second": 4e11}
        found["passes"] = [
            Passes(
                texts=1, seconds=0.015, backbone_seconds=0.01, merged_seconds=0.0101 if cell.label == "lora" else None
            ),
            Passes(texts=32, seconds=0.16, backbone_seconds=0.15),
        ]
        if generation:
            found["generation"] = [
                Generation(tokens=1, seconds=0.03, backbone_seconds=0.02),
                Generation(tokens=16, seconds=0.4, backbone_seconds=0.32),
            ]
        if not energy:
            found["step_joules"] = None
        records.append(record.model_copy(update={"cost": record.cost.model_copy(update=found)}))
    return read(synthetic.write(root, cells, records))


def said(of) -> str:
    return " ".join(plain(block.text) for block in of.section.blocks if hasattr(block, "text"))


def test_the_shares_of_a_step_are_shown_and_the_least_backward_is_named(tmp_path: Path):
    analysis = analyse(results(tmp_path / "r"))
    part = steps.part(analysis, OURS)
    *_, table = part.section.blocks
    shown = {row.cells[0]: [cell.value for cell in row.cells[1:]] for row in table.rows}
    assert shown == {label: list(figures) for label, figures in SPLITS.items()}
    text = said(part)
    assert "takes 4–55 % of a training step, least with head, most with full." in text.replace("\u00a0", " ")
    assert "Steps reach 40–60 % of the FLOP/s" in text.replace("\u00a0", " ")
    assert "A step takes 5.00 to 12.0 J, all that the machine's counter counted" in text
    assert "(400 GFLOP/s)" in plain(table.caption)


def test_without_a_counter_nothing_is_said_of_energy(tmp_path: Path):
    part = steps.part(analyse(results(tmp_path / "r", energy=False)), OURS)
    *_, table = part.section.blocks
    assert "energy" not in str(table.columns) and " J" not in said(part)


def test_one_text_and_many_are_over_the_backbones_time(tmp_path: Path):
    found = results(tmp_path / "r", generation=True)
    lora = found.cells[found.cells["label"] == "lora"].iloc[0]
    assert (lora["one_latency"], lora["merged_one_latency"]) == pytest.approx((1.5, 1.01))
    assert lora["many_latency"] == pytest.approx(0.16 / 0.15) and lora["backbone_many_seconds"] == 0.15
    assert lora["first_token_latency"] == pytest.approx(1.5)
    assert (lora["tokens_per_second"], lora["backbone_tokens_per_second"]) == pytest.approx((40.0, 50.0))
    part = serving.part(analyse(found), OURS)
    *_, table = part.section.blocks
    caption = plain(table.caption)
    assert "many are 32" in caption and "16 of them" in caption
    # All three add half to one text, which is more than a glance may err.
    assert "adds most to one text: × 1.50, and × 1.07 to many" in said(part)
    assert {"One text", "Many texts", "First token", "New tokens per second"} <= {c.group for c in table.columns}


def test_of_heads_nothing_is_said_of_new_tokens(tmp_path: Path):
    part = serving.part(analyse(results(tmp_path / "r")), OURS)
    *_, table = part.section.blocks
    assert "token" not in plain(table.caption) and "token" not in str(table.columns).lower()


def test_profiles_of_before_have_neither_section(tmp_path: Path):
    """Records that lack these figures open as before."""
    cells = synthetic.grid(["full", "lora"], ["bbc_news"], seeds=1)
    root = synthetic.write(tmp_path / "r", cells, [synthetic.record(cell) for cell in cells])
    for path in root.rglob("record.json"):
        record = json.loads(path.read_text())
        for name in (*NAMES, "passes", "generation", "matmul_flops_per_second", "backbone_inference_flops"):
            del record["cost"][name]
        path.write_text(json.dumps(record))
    analysis = analyse(read(root))
    assert not {"steps", "serving"} & {section.key for section in report.compose(analysis).appendix}
    assert steps.part(analysis, OURS).section is None and serving.part(analysis, OURS).section is None

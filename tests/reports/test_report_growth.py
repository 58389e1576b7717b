"""Costs against the size of the backbone, from made-up profiles of three sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_results as synthetic

from records.record import Parameters
from reports.analysis.analysis import analyse
from reports.drawing.theme import PAPER
from reports.model.prose import OURS, plain
from reports.results import read
from reports.sections import growth

SIZES = {"large/model": 1_000_000_000, "small/model": 10_000_000, "middle/model": 100_000_000}
# The step over the yardstick's, and the peak in bytes for each parameter of the backbone.
COSTS = {"full": (2.0, 20), "lora": (1.2, 5), "bitfit": (1.1, 4)}


def results(root: Path, sizes, labels=tuple(COSTS)):
    cells, records = [], []
    for backbone, size in sizes.items():
        for label in labels:
            cell = synthetic.cell(label, "bbc_news", 0).model_copy(update={"backbone": backbone})
            record = synthetic.record(cell)
            step, peak = COSTS.get(label, (1.5, 10))
            # Trained parameters grow with the square root of the backbone's.
            trained = size if label == "full" else round(100 * size**0.5)
            cost = {
                "step_seconds": 0.1 * step, "yardstick_seconds": 0.1, "peak_memory_bytes": peak * size,
                "protocol": {"train_batch": [32, 64], "inference_batch": [8, 64]},
            }  # fmt: skip
            parameters = Parameters(adapter=trained, head=0, total=trained, backbone=size, percent=100 * trained / size)
            cells.append(cell)
            update = {"cost": record.cost.model_copy(update=cost), "parameters": parameters}
            records.append(record.model_copy(update=update))
    return read(synthetic.write(root, cells, records))


def test_lines_go_from_the_smallest_backbone_to_the_largest(tmp_path: Path):
    analysis = analyse(results(tmp_path / "r", SIZES))
    [found] = analysis.growth
    assert list(found.sizes) == ["small/model", "middle/model", "large/model"]
    lines = {
        name: {line.name: [(x, summary.mean) for x, summary in line.points] for line in of}
        for name, of in found.lines.items()
    }
    assert set(lines["step"]) == {"full", "lora", "bitfit"}
    assert lines["step"]["lora"] == [(1e7, pytest.approx(1.2)), (1e8, pytest.approx(1.2)), (1e9, pytest.approx(1.2))]
    assert lines["peak"] == {
        "lora": [(size, pytest.approx(25)) for size in (1e7, 1e8, 1e9)],
        "bitfit": [(size, pytest.approx(20)) for size in (1e7, 1e8, 1e9)],
    }
    # 100 √n of n.
    assert [y for _, y in lines["trained"]["lora"]] == pytest.approx([3.162, 1.0, 0.3162], rel=0.001)
    part = growth.part(analysis, OURS)
    said = plain(part.section.blocks[0].text).replace("\u00a0", " ")
    assert "backbones grow 100 times" in said
    assert "1.10–2.00 times the yardstick's on the smallest" in said
    assert "20–25 % of its peak memory on the smallest, and 20–25 % on the largest" in said
    assert "Trained are 3.16 % of the smallest, and 0.32 % of the largest." in said
    drawn = part.section.blocks[-1].draw(PAPER)
    assert len(drawn.axes) == 3


def test_many_methods_are_lines_of_families(tmp_path: Path):
    labels = [name for name in synthetic.METHODS][:12]
    [found] = analyse(results(tmp_path / "r", SIZES, labels)).growth
    assert found.by_family
    assert len({line.name for line in found.lines["step"]}) == len(found.lines["step"]) < len(labels)


def test_one_size_is_no_growth(tmp_path: Path):
    analysis = analyse(results(tmp_path / "r", {"a/model": 10**8, "b/model": 10**8}))
    assert analysis.growth == [] and growth.part(analysis, OURS).section is None

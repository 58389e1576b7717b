"""A folder whose cells were computed in different precision says so: status, abstract, limitations, slides."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import cli
from records.record import Record
from reports.analysis.analysis import analyse
from reports.model.prose import OURS, plain
from reports.results import read
from reports.sections import abstract, limitations
from tests.reports import synthetic_results as synthetic


def write(root: Path, *precisions: str) -> Path:
    """Three cells with scores, and one that failed, in these precisions."""
    cells = synthetic.grid(["full", "lora"], ["bbc_news"], seeds=2)
    records = [synthetic.record(cell) for cell in cells[:3]]
    records.append(synthetic.record(cells[3], "failed", reason=synthetic.OUT_OF_MEMORY))
    return synthetic.write(root, cells, [_in(each, name) for each, name in zip(records, precisions, strict=True)])


def _in(record: Record, precision: str) -> Record:
    return record.model_copy(update={"environment": record.environment | {"precision": precision}})


def told(root: Path) -> dict[str, str]:
    analysis = analyse(read(root))
    made = limitations.part(analysis, OURS)
    assert made.section is not None
    paragraphs = [getattr(block, "text", ()) for block in made.section.blocks]
    return {
        "abstract": plain(abstract.text(analysis)),
        "limitations": " ".join(map(plain, paragraphs)),
        "slides": " ".join(plain(point) for slide in made.slides for point in slide.points),
    }


def status(root: Path, monkeypatch, capsys) -> str:
    monkeypatch.setattr(sys, "argv", ["bench", "status", str(root)])
    with pytest.raises(SystemExit):
        cli.main()
    return capsys.readouterr().out


def test_everything_that_is_read_says_that_precision_differs(tmp_path, monkeypatch, capsys):
    root = write(tmp_path / "results", "no", "bf16", "no", "bf16")
    said = told(root)
    assert "Not all cells were computed in the same precision" in said["abstract"]
    for place in ("limitations", "slides"):
        assert "computed in the same precision: 2 in fp32 and 1 in bf16." in said[place]
    assert "cells were computed in different precision: 2 in fp32, 1 in bf16" in status(root, monkeypatch, capsys)


@pytest.mark.parametrize("failed", ["bf16", "no"])
def test_nothing_is_said_where_scores_are_of_one(tmp_path, monkeypatch, capsys, failed):
    root = write(tmp_path / "results", "bf16", "bf16", "bf16", failed)
    assert not [place for place, said in told(root).items() if "same precision" in said]
    assert "precision" not in status(root, monkeypatch, capsys)

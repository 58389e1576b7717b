"""What was forgotten, in the report: the change of the loss on general text, from losses written down here."""

from __future__ import annotations

from pathlib import Path

from reports.analysis.analysis import analyse
from reports.build import build_report
from reports.model.document import Paragraph, Table
from reports.model.prose import plain
from reports.results import read
from reports.sections import forgetting
from tests.reports import synthetic_results as synthetic

BEFORE = 0.75
# By method, of three seeds; the sample standard deviation of 0.1, 0.2, 0.3 is 0.1.
AFTER = {"full": (0.85, 0.95, 1.05), "lora": (0.74, 0.74, 0.74)}


def write(root: Path) -> Path:
    cells = [cell for cell in synthetic.grid(seeds=3) if cell.method in AFTER and cell.task == "rotten_tomatoes"]
    losses = [{"before": BEFORE, "after": AFTER[cell.method][cell.seed]} for cell in cells]
    records = [
        synthetic.record(cell).model_copy(update={"forgetting": loss}) for cell, loss in zip(cells, losses, strict=True)
    ]
    return synthetic.write(root, cells, records, suite=synthetic.suite(cells) | {"forgetting": "sotu"})


def test_the_table_holds_the_change_of_the_loss_and_the_text_who_changed_it_most(tmp_path: Path):
    said, table = forgetting.blocks(analyse(read(write(tmp_path / "results"))))
    assert isinstance(table, Table) and isinstance(said, Paragraph)
    shown = {row.cells[0]: (row.cells[1].text, row.cells[1].spread) for row in table.rows}  # type: ignore[union-attr]
    assert shown == {"full": ("0.200", "0.100"), "lora": ("−0.010", "0.000")}
    text = plain(said.text)
    assert "0.750 nats per byte" in text and "rose in one of two pairs" in text
    assert "most with full on rotten_tomatoes (+0.200)" in text


def test_it_stands_in_the_document_and_on_the_page(tmp_path: Path, blank_figures):
    root = write(tmp_path / "results")
    build_report(root)
    assert (root / "report" / "tables" / "forgetting.tex").is_file()
    assert "What was forgotten" in (root / "report" / "report.tex").read_text()
    assert "What was forgotten" in (root / "report" / "index.html").read_text()


def test_nothing_is_said_where_nothing_was_measured(tmp_path: Path):
    assert forgetting.blocks(analyse(read(synthetic.write_usual(tmp_path / "results")))) == []

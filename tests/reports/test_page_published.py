"""The view of a cell that others published, in a real browser."""

from __future__ import annotations

from bench.importing import import_peft
from reports.build import build_report
from tests.records.formats.peft_files import metamath, write


def test_a_published_cell_shows_where_it_comes_from_and_is_not_said_to_be_repeatable(opened, tmp_path):
    files = write(tmp_path / "files", metamath(), metamath("ia3/tiny-1B-x", 500))
    import_peft(files, tmp_path / "results")
    built = build_report(tmp_path / "results")
    cell = next((tmp_path / "results" / "cells").iterdir()).name
    page = opened(built.page, f"#cell-{cell}")
    page.wait_for_selector("h3:has-text('Published as')")
    text = page.inner_text("body")
    assert "huggingface/peft, method_comparison, MetaMathQA" in text and "published.json" in text
    assert "Settings, as published" in text and "query_template" in text
    assert "To repeat it" not in text

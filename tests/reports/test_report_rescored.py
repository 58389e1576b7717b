"""Metrics that were computed from kept predictions after the run are marked wherever they are read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import synthetic_results as synthetic

from records.record import Rescored, Rewound
from reports.analysis.analysis import Analysis, analyse
from reports.model.prose import join, plain
from reports.render import page_data
from reports.results import read
from reports.sections import limitations, scores


def rescored(was: float | None, version: str = "0.9") -> Rescored:
    return Rescored(was=was, task_revision="2", version=version, when="2026-11-20T10:00:00+00:00")


def write(root: Path, **by_metric: Rescored) -> Path:
    """LoRA's two cells on one task; the second has scores of its run alone."""
    cells = synthetic.grid(["lora"], ["bbc_news"], seeds=2)
    first, second = map(synthetic.record, cells)
    return synthetic.write(root, cells, [first.model_copy(update={"rescored": by_metric}), second])


def analysed(root: Path, **by_metric: Rescored) -> Analysis:
    return analyse(read(write(root / "results", **by_metric)))


def told(analysis: Analysis) -> str:
    return plain(join(sentence for limit in limitations.limits(analysis) for sentence in limit.sentences))


def test_limitations_name_metric_cells_and_version(tmp_path: Path):
    said = told(analysed(tmp_path, macro_f1=rescored(None)))
    assert "macro_f1 of one cell was computed from kept predictions after the run, by version 0.9." in said


def test_limitations_say_where_the_run_had_another_value(tmp_path: Path):
    said = told(analysed(tmp_path, accuracy=rescored(0.5)))
    assert "version 0.9; of one the run had given another value, and validation scores are still the run's." in said


@pytest.mark.parametrize(("metric", "marked"), [("accuracy", True), ("macro_f1", False)])
def test_the_table_of_scores_says_so_of_the_primary_metric_alone(tmp_path: Path, metric: str, marked: bool):
    (table,) = scores.tables(analysed(tmp_path, **{metric: rescored(None)}))
    assert ("One score was computed from kept predictions after the run." in plain(table.caption)) is marked


def test_nothing_is_said_of_scores_of_the_run(tmp_path: Path):
    analysis = analysed(tmp_path)
    assert "kept predictions" not in told(analysis) + plain(scores.tables(analysis)[0].caption)


def test_an_undefined_score_of_before_is_a_word_on_the_page(tmp_path: Path):
    results = read(write(tmp_path / "results", accuracy=rescored(math.nan), macro_f1=rescored(0.25)))
    details = page_data.details(results, tmp_path)
    assert '"undefined"' in page_data.script_text(details) and '"NaN"' not in page_data.script_text(details)


def test_the_view_of_a_cell_says_so_and_shows_where_it_was_rewound(tmp_path: Path, opened, blank_figures):
    from browser import expect, write_page

    (cell,) = synthetic.grid(["lora"], ["bbc_news"], seeds=1)
    way = [
        Rewound(alpha=0.5, validation={"accuracy": 0.731}, general_loss=0.7512),
        Rewound(alpha=1.25, validation={}, general_loss=None),
    ]
    changed = {"rescored": {"accuracy": rescored(0.5)}, "rewound": way}
    root = synthetic.write(tmp_path / "results", [cell], [synthetic.record(cell).model_copy(update=changed)])
    view = opened(write_page(root, tmp_path / "page"), f"#cell-{cell.id}").locator("#view")
    expect(view).to_contain_text("The test accuracy was computed from kept predictions after the run, by version 0.9")
    expect(view).to_contain_text("the run had 50.0")
    rows = view.locator("section", has_text="Rewound").locator("tbody tr")
    assert [row.locator("td").all_inner_texts() for row in rows.all()] == [
        ["0.5", "73.1", "0.7512"],
        ["1.25", "–", "–"],
    ]

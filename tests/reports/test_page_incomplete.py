"""Little, nothing, or odd: the page is still right."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic_results as synthetic
from browser import expect, write_page


def _page(folder: Path, cells, records, **manifest) -> Path:
    return write_page(synthetic.write(folder / "results", cells, records, **manifest), folder / "page")


def test_one_method_one_task_one_seed(tmp_path: Path, opened):
    (cell,) = synthetic.grid(["lora"], ["bbc_news"], seeds=1)
    page = opened(_page(tmp_path, [cell], [synthetic.record(cell, score=0.9412)]))
    assert page.locator(".point").count() == 1
    assert "Score (test) 94.1;" in page.locator(".point").get_attribute("aria-label")
    assert "±" not in page.locator("#plot").inner_text()
    assert page.locator("#cell-tools select").count() == 0  # nothing to choose from
    page.locator(".point").click()
    expect(page.locator("#view-title")).to_have_text("lora on bbc_news, seed 0")


@pytest.mark.parametrize("status", ["failed", "n/a", None])
def test_no_score_at_all(tmp_path: Path, opened, status: str | None):
    cells = synthetic.grid(["full", "lora"])
    records = [synthetic.record(cell, status, reason="loss became NaN") for cell in cells] if status else []
    page = opened(_page(tmp_path, cells, records))
    assert "Nothing to plot yet" in page.locator("#plot").inner_text()
    assert page.locator("#shown").inner_text() == "12 of 12 cells"
    page.locator("#cell-table tbody a").first.click()
    expect(page.locator("#view")).to_contain_text("loss became NaN" if status else "did not reach this cell")


def test_scores_without_cost(tmp_path: Path, opened):
    cells = synthetic.grid(["full", "lora"])
    page = opened(_page(tmp_path, cells, [synthetic.record(cell, "trained") for cell in cells]))
    assert page.locator(".point").count() == 2
    assert "Peak memory" not in page.locator("#plot-tools").inner_text()


def test_bare_records(tmp_path: Path, opened):
    cells = synthetic.grid(["full", "lora"])
    bare = {"environment": {}, "history": [], "data": None, "parameters": None, "cost": None, "best_step": None}
    records = [synthetic.record(cell).model_copy(update=bare) for cell in cells]
    page = opened(_page(tmp_path, cells, records, cards={}, suite={}))
    assert page.locator(".point").count() == 2
    page.locator("#cell-table tbody a").first.click()
    expect(page.locator("#view")).to_contain_text("Metrics")
    expect(page.locator("#view")).not_to_contain_text("Learning curve")


def test_a_perplexity_is_no_share_and_commits_are_shown_where_there_are_some(tmp_path: Path, opened):
    cells = synthetic.grid(["full"], ["bbc_news"], seeds=2)
    metrics = {"byte_probability": 0.476, "perplexity_per_byte": 2.1}
    records = [synthetic.record(c).model_copy(update={"test": metrics, "validation": metrics}) for c in cells]
    for record, commits in zip(records, ({}, {"org/data": "abc123"}), strict=True):
        assert record.data is not None
        record.data.commits = commits
    page = opened(_page(tmp_path, cells, records), f"#cell-{cells[0].id}")
    rows = page.locator("#view section:has-text('Metrics') tbody tr").all_inner_texts()
    assert [row.split()[-2:] for row in rows] == [["47.6", "47.6"], ["2.10", "2.10"]]
    expect(page.locator("#view")).not_to_contain_text("commits")
    page.evaluate("hash => { location.hash = hash }", f"#cell-{cells[1].id}")
    expect(page.locator("#view")).to_contain_text("abc123")


def test_costs_of_two_protocols_are_not_averaged(tmp_path: Path, opened):
    cells = [synthetic.cell(method, task, seed, max_length=length) for method in ("lora", "full")
             for task, length in (("rotten_tomatoes", 64), ("bbc_news", 256)) for seed in range(2)]  # fmt: skip
    page = opened(_page(tmp_path, cells, map(synthetic.record, cells)))
    assert page.locator(".point").count() == 2  # scores and parameters do not depend on a protocol
    page.locator("#plot-tools").get_by_label("Horizontal").select_option("peak_memory_bytes")
    assert page.locator(".point").count() == 0
    assert "never averaged" in page.locator("#plot").inner_text()
    page.locator("#plot-tools").get_by_label("Task", exact=True).select_option("0")
    assert page.locator(".point").count() == 2


def test_a_mean_over_tasks_needs_every_task(tmp_path: Path, opened):
    cells = synthetic.grid(["full", "lora"])
    records = [synthetic.record(c) for c in cells if (c.method, c.task) != ("lora", "bbc_news")]
    page = opened(_page(tmp_path, cells, records))
    assert page.locator("#plot-tools").get_by_label("Task", exact=True).input_value() == "-1"
    assert page.locator(".point").count() == 1
    assert page.locator(".point").get_attribute("aria-label").startswith("full ")


def test_two_backbones(tmp_path: Path, opened):
    small = synthetic.grid(["full", "lora"], ["bbc_news"])
    large = [c.model_copy(update={"backbone": "hub:large"}) for c in small]
    records = [synthetic.record(c, score=0.6) for c in small] + [synthetic.record(c, score=0.9) for c in large]
    page = opened(_page(tmp_path, small + large, records))
    assert "Score (test) 60.0" in page.locator(".point").first.get_attribute("aria-label")
    page.locator("#plot-tools").get_by_label("Backbone", exact=True).select_option(label="hub:large")
    assert "Score (test) 90.0" in page.locator(".point").first.get_attribute("aria-label")
    assert page.locator("#cell-table thead button").first.inner_text() == "Backbone"
    page.locator("#cell-tools select").first.select_option(label="hub:large")
    assert page.locator("#shown").inner_text() == "6 of 12 cells"

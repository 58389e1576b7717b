"""The page's view of errors in a real browser: what is listed, and what its filters leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kept
import pytest
import synthetic_results as synthetic
from browser import expect, write_page

from records.store import RecordStore
from reports.build import Report

# On eight examples, all of which are positive: right answers of each method with either seed.
RIGHT = {
    "full": ("11111110", "11111110"),
    "lora": ("01111110", "01111110"),
    "houlsby": ("11011100", "11011110"),
    "prompt_tuning": ("11110110", "11100110"),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("errors") / "results"
    cells = synthetic.grid(RIGHT, seeds=2)
    kept.keep_all(synthetic.write(root, cells, map(synthetic.record, cells)), n=200, tasks=("bbc_news",))
    store = RecordStore(root)
    for cell in cells:
        if cell.task == "rotten_tomatoes":
            predicted = [int(digit) for digit in RIGHT[cell.method][cell.seed]]
            kept.put(store, synthetic.record(cell), kept.classified(predicted, [1] * 8))
    store.write_texts("rotten_tomatoes", {f"{i:064x}": {"text": f"Text number {i}"} for i in range(8)})
    return write_page(root, root.parent / "page", drawn=False)


def _texts(page: Any) -> list[str]:
    return page.eval_on_selector_all("#error-list tbody td:first-child", "els => els.map(el => el.textContent)")


def test_the_hardest_come_first_with_what_each_family_said(path: Path, opened):
    page = opened(path)
    assert _texts(page)[0] == "Text number 7"
    heads = page.locator("#error-list thead th").all_inner_texts()
    assert heads == ["Example", "Expected", "Wrong in (% of runs)", "baseline", "low-rank", "adapter", "soft-prompt"]
    first = page.locator("#error-list tbody tr").first.locator("td").all_inner_texts()
    assert first[:3] == ["Text number 7", "positive", "100"]
    assert [" ".join(cell.split()) for cell in first[3:]] == ["✗ negative 0 of 2 right"] * 4
    assert "1 example is wrong in each of 8 runs" in page.locator("#error-counts").inner_text()


def test_examples_can_be_filtered_and_searched(path: Path, opened):
    page = opened(path)
    tools = page.locator("#error-tools")
    for show, texts in (
        ("wrong in every run (1)", {7}),
        ("only low-rank wrong (1)", {0}),
        # Of six and of three one seed's answer is right: no more than half.
        ("only adapter wrong (2)", {2, 6}),
        ("only soft-prompt wrong (2)", {3, 4}),
        ("only baseline right (0)", set()),
        ("all kept here", set(range(8))),
    ):
        tools.get_by_label("Show").select_option(label=show)
        assert set(_texts(page)) == {f"Text number {i}" for i in texts}
    tools.get_by_label("Filter").fill("number 5")
    assert _texts(page) == ["Text number 5"]
    expect(page.locator("#error-counts")).to_contain_text("1 example of the 8 kept here, of 8 test examples.")


def test_long_lists_are_shown_in_parts(path: Path, opened):
    page = opened(path)
    page.locator("#error-tools").get_by_label("Task").select_option(label="BBC News")
    assert len(_texts(page)) == 25
    assert all("of bbc_news" in text for text in _texts(page))
    page.locator("#error-list button").click()
    assert len(_texts(page)) == 50


def test_without_predictions_there_is_no_such_view(report: Report, opened):
    page = opened(report.page)
    assert page.locator("#errors, #answers, nav a[href='#errors']").count() == 0

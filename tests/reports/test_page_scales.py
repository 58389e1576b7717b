"""The page with tasks whose metrics differ in unit and direction, and with a score that is undefined."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import pytest
import synthetic_results as synthetic
from browser import expect, write_page

from tasks.base import Metric

HARD, EASY = "rotten_tomatoes", "bbc_news"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Accuracy on one task; on the other a mean squared error that grows with the method's parameters, so that the
    method with the fewest is best in both."""
    records = []
    for i, method in enumerate(("bitfit", "lora", "full")):
        for task in (HARD, EASY):
            for seed in range(2):
                record = synthetic.record(synthetic.cell(method, task, seed))
                if task == EASY:
                    mse = {"mse": math.nan if (method, seed) == ("lora", 1) else 2.0 + 3 * i + 0.25 * seed}
                    history = [line.model_copy(update={"validation": mse}) for line in record.history]
                    record = record.model_copy(update={"test": mse, "validation": mse, "history": history})
                records.append(record)
    card = synthetic.TASKS[EASY] | {
        "metrics": ["mse"],
        "scales": {"mse": synthetic.to_plain(Metric("mse", False, high=None))},
    }
    cards = {"methods": synthetic.method_cards(), "tasks": synthetic.TASKS | {EASY: card},
             "backbones": synthetic.BACKBONES}  # fmt: skip
    root = synthetic.write(tmp_path_factory.mktemp("scales") / "r", [r.cell for r in records], records, cards=cards)
    return write_page(root, root.parent / "page")


def test_less_is_better_on_the_task_of_which_it_is(path: Path, opened):
    page = opened(path)
    mean = page.locator("#front")
    assert f"Scores are means over {HARD} alone" in mean.text_content()
    assert "full" in mean.text_content()  # on the task with accuracies it is the best
    page.locator("#plot-tools").get_by_label("Task", exact=True).select_option("1")
    front = "On the front, where no other point is better in both: bitfit. Bars: ± one standard deviation over seeds."
    expect(page.locator("#front")).to_have_text(front)
    titles = page.eval_on_selector_all("#plot .title", "els => els.map(el => el.textContent)")
    assert "Score (test), lower is better" in titles
    assert "2.12 ± 0.18" in page.locator(".point").first.get_attribute("aria-label")


def test_cells_have_their_own_unit(path: Path, opened):
    page = opened(path)
    records = [json.loads(p.read_text()) for p in (path.parents[1] / "r").glob("cells/*/record.json")]
    heads = page.eval_on_selector_all("#cell-table thead th", "els => els.map(el => el.textContent)")
    rows = page.eval_on_selector_all(
        "#cell-table tbody tr:not(.space)", "els => els.map(el => [...el.cells].map(cell => cell.textContent))"
    )
    shown = {tuple(row[heads.index(name)] for name in ("Method", "Task", "Seed")): row for row in rows}
    assert len(shown) == len(records) == 12
    for record in records:
        cell = record["cell"]
        row = shown[cell["label"], cell["task"], str(cell["seed"])]
        score = next(iter(record["test"].values()))
        expected = "undefined" if score == "NaN" else f"{score:.2f}" if cell["task"] == EASY else f"{100 * score:.1f}"
        assert row[heads.index("Score")] == expected
        assert row[heads.index("Status")] == ("undefined" if score == "NaN" else "ok")


def test_a_cells_view_says_undefined(path: Path, opened):
    page = opened(path)
    page.locator("#cell-tools").get_by_label("Status").select_option(label="undefined")
    page.locator("#cell-table tbody a").click()
    expect(page.locator("#view-title")).to_have_text(f"lora on {EASY}, seed 1")
    body = page.locator("#view-body").text_content()
    assert "the primary metric, mse, is not a number" in body
    assert "Metrics (as they are)" in body
    assert body.count("undefined") >= 3  # status, test and validation


def test_a_mean_behind_a_number_is_that_of_its_records(path: Path, opened):
    page = opened(path)
    records = [json.loads(p.read_text()) for p in (path.parents[1] / "r").glob("cells/*/record.json")]
    errors = [r["test"]["mse"] for r in records if (r["cell"]["label"], r["cell"]["task"]) == ("full", EASY)]
    row = page.locator("#tab-scores tbody tr", has=page.locator("th", has_text="full"))
    assert float(row.locator("td").nth(1).get_attribute("data-value")) == pytest.approx(statistics.mean(errors))

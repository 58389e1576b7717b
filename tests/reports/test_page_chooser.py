"""The chooser: what is left under constraints, and what the data exclude from being the best."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
import synthetic_results as synthetic
from browser import expect, write_page
from scipy import stats

from reports.analysis.analysis import analyse
from reports.analysis.exclusion import interval
from reports.results import read

SCORES = {
    "full": [0.90, 0.91, 0.92],
    "lora": [0.89, 0.90, 0.915],  # overlaps with full
    "lt_sft": [0.80, 0.81, 0.82],
    "bitfit": [0.79, 0.80, 0.815],  # overlaps with lt_sft
    "head": [0.50, 0.51, 0.52],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = [synthetic.cell(method, "bbc_news", seed) for method in SCORES for seed in range(3)]
    records = [synthetic.record(cell, score=SCORES[cell.method][cell.seed]) for cell in cells]
    methods = synthetic.method_cards()
    methods["lora"]["quantised"] = True
    cards = {"methods": methods, "tasks": synthetic.TASKS, "backbones": synthetic.BACKBONES}
    return synthetic.write(tmp_path_factory.mktemp("chooser") / "results", cells, records, cards=cards)


@pytest.fixture(scope="module")
def path(root: Path) -> Path:
    return write_page(root, root.parent / "page", drawn=False)


def _left(page: Any) -> dict[str, str]:
    rows = page.eval_on_selector_all(
        "#choices tbody tr", "els => els.map(el => [el.cells[0].innerText, el.cells[1].innerText])"
    )
    return dict(rows)


def test_an_interval_is_that_of_scipy():
    values = [0.79, 0.80, 0.815]
    expected = stats.t.interval(0.95, 2, statistics.mean(values), stats.sem(values))
    assert interval(values) == pytest.approx(expected)
    assert interval([0.5]) == (float("-inf"), float("inf"))


def test_worse_is_shown_where_intervals_do_not_overlap(root: Path):
    found = analyse(read(root)).shown_worse[synthetic.BACKBONE, "bbc_news"]
    assert found["head"] == {"full", "lora", "lt_sft", "bitfit"}
    assert found["bitfit"] == {"full", "lora"}
    assert found["lora"] == frozenset()


def test_without_constraints_all_are_left(path: Path, opened):
    page = opened(path)
    assert _left(page) == {
        "full": "highest score", "lora": "not excluded", "lt_sft": "excluded", "bitfit": "excluded", "head": "excluded",
    }  # fmt: skip
    expect(page.locator("#chosen")).to_have_text(
        "5 of 5 configurations are left; the data do not exclude 2 of them from being the best."
    )


def test_what_is_best_depends_on_what_is_left(path: Path, opened):
    page = opened(path)
    page.get_by_label("Stored per task at most (MB)").fill(
        "0.15"
    )  # full stores 91 MB, lora 0.3, bitfit 0.11, head 0.003
    assert _left(page) == {"bitfit": "highest score", "head": "excluded"}
    expect(page.locator("#chosen")).to_have_text(
        "2 of 5 configurations are left; the data exclude all but bitfit from being the best."
    )
    page.get_by_label("Peak memory at most (MB)").fill("1")
    assert _left(page) == {}
    expect(page.locator("#chosen")).to_have_text("None of 5 configurations is known to meet this.")
    page.get_by_label("Peak memory at most (MB)").fill("")
    page.get_by_label("Stored per task at most (MB)").fill("")
    assert len(_left(page)) == 5


def test_merging_latency_and_quantised_weights(path: Path, opened):
    page = opened(path)
    page.get_by_label("merges", exact=True).check()
    assert set(_left(page)) == {"lora", "lt_sft"}
    page.get_by_label("merges", exact=True).uncheck()
    page.get_by_label("adds no latency").check()
    assert set(_left(page)) == {"lora", "lt_sft"}
    page.get_by_label("adds no latency").uncheck()
    page.get_by_label("known to work on quantised weights").check()
    assert set(_left(page)) == {"lora"}
    page.get_by_label("known to work on quantised weights").uncheck()
    known = page.eval_on_selector_all("#choices tbody tr", "els => els.map(el => el.lastElementChild.innerText)")
    assert sorted(known) == ["not known"] * 4 + ["yes"]


def test_one_seed_excludes_nothing(tmp_path: Path, opened):
    cells = [synthetic.cell(method, "bbc_news", 0) for method in ("full", "head")]
    root = synthetic.write(tmp_path / "r", cells, [synthetic.record(cell) for cell in cells])
    page = opened(write_page(root, tmp_path / "page", drawn=False))
    assert _left(page) == {"full": "highest score", "head": "not excluded"}
    expect(page.locator("#chosen")).to_contain_text("one seed alone, which excludes nothing")


def test_where_nothing_has_a_score_there_is_nothing_to_choose(tmp_path: Path, opened):
    cells = synthetic.grid(("full",), ("bbc_news",), 1)
    root = synthetic.write(tmp_path / "r", cells, [synthetic.record(cells[0], "failed", reason="x")])
    page = opened(write_page(root, tmp_path / "page", drawn=False))
    assert page.locator("#choose").is_hidden()

"""What the page says of ranks and of the front, against the analysis."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright")

from reports.analysis.analysis import Analysis, analyse
from reports.model.writing import ordinals
from reports.results import read
from tests.reports import synthetic_predictions as made_up
from tests.reports import synthetic_results as synthetic
from tests.reports.browser import expect, write_page


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Analysis]:
    folder = tmp_path_factory.mktemp("ranks")
    results = made_up.keep(synthetic.write_usual(folder / "results", seeds=6), without=("bitfit",))
    return write_page(results, folder / "page"), analyse(read(results))


def rows(page, measure: str, task: str) -> dict[str, tuple[str, str]]:
    """By configuration, its state and its ranks, from the table below the plot."""
    controls = page.get_by_role("group", name="What the plot shows")
    controls.get_by_label("Horizontal", exact=True).select_option(measure)
    controls.get_by_label("Task").select_option(task)
    page.eval_on_selector("#plot-table", "details => { details.open = true; }")
    found = page.eval_on_selector_all(
        "#plot-table tbody tr", "rows => rows.map(row => [0, 5, 6].map(i => row.cells[i].innerText))"
    )
    return {label: (state, ranks) for label, state, ranks in found}


def test_states_and_ranks_on_a_task_are_those_of_the_analysis(judged, opened):
    path, analysis = judged
    page = opened(path)
    for number, task in enumerate(analysis.results.tasks):
        points = {p.label: p for p in analysis.tradeoff[synthetic.BACKBONE] if p.task == task}
        sets = analysis.rank_sets.of(synthetic.BACKBONE, (task,)).sets
        assert len({point.state for point in points.values()}) > 2, task
        shown = rows(page, "adapter_parameters", str(number))
        assert shown.keys() == points.keys()
        for label, (state, ranks) in shown.items():
            assert state == (points[label].state or "")
            assert ranks == (ordinals(sets[label].low, sets[label].high) if label in sets else "")


def test_what_was_timed_costs_less_where_all_cells_did(judged, opened):
    path, analysis = judged
    page = opened(path)
    [front] = analysis.fronts
    for measure in ("step_seconds", "peak_memory_bytes", "stored_bytes"):
        shown = rows(page, measure, "-1")
        expected = {each.label: each.states.get(measure, "") for each in front.placed}
        assert {label: state for label, (state, _) in shown.items()} == expected


def test_the_sentence_and_the_marks_say_it_too(judged, opened):
    path, _ = judged
    page = opened(path)
    states = {label: state for label, (state, _) in rows(page, "adapter_parameters", "0").items()}
    on, off = ([label for label, state in states.items() if state == each] for each in ("on the front", "dominated"))
    expect(page.locator("#front")).to_contain_text(f"on the front (filled): {', '.join(on)}; ")
    expect(page.locator("#front")).to_contain_text("Shown with 95 % confidence, for other seeds and other examples")
    assert page.locator(".point.dominated").count() == len(off)
    assert page.locator(".point.undecided").count() == list(states.values()).count("undecided")
    assert "ranked" in page.locator(".point").first.get_attribute("aria-label")


def test_hiding_a_family_changes_no_state(judged, opened):
    page = opened(judged[0])
    before = rows(page, "adapter_parameters", "0")
    page.locator(".legend button", has_text="baseline").click()
    after = rows(page, "adapter_parameters", "0")
    assert after.items() < before.items()

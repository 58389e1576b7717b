"""The page in a real browser: what a reader does with it, by mouse, by keyboard, on a phone, on paper.

The address changes first, and the view after it: what a view should hold is waited for (`expect`).
"""

from __future__ import annotations

import json
import re
import shlex
import statistics
from pathlib import Path
from typing import Any

import pytest
import synthetic_results as synthetic
import yaml
from browser import expect, write_page

from reports.build import Report

NUMBERS = "els => els.map(el => el.dataset.value === undefined ? null : parseFloat(el.dataset.value))"


@pytest.fixture(scope="module")
def records(usual: Path) -> dict[str, dict[str, Any]]:
    """From the files alone, by id."""
    return {path.parent.name: json.loads(path.read_text()) for path in usual.glob("cells/*/record.json")}


def _column(page: Any, table: str, number: int) -> list[float | None]:
    return page.eval_on_selector_all(f"{table} tbody tr:not(.space) > :nth-child({number})", NUMBERS)


def _choose(page: Any, label: str, value: str) -> None:
    page.locator("#plot-tools").get_by_label(label, exact=True).select_option(value)


def test_tables_sort_by_exact_value_and_back(report: Report, opened):
    page = opened(report.page)
    before = _column(page, "#tab-scores", 2)
    head = page.locator("#tab-scores thead tr").last.locator("th").nth(1)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert _column(page, "#tab-scores", 2) == sorted(before, reverse=True)
    head.locator("button").click()
    assert _column(page, "#tab-scores", 2) == sorted(before)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") is None
    assert _column(page, "#tab-scores", 2) == before


def test_long_tables_can_be_filtered(tmp_path: Path, opened):
    cells = [synthetic.cell("lora", "bbc_news", seed, label=f"lora@{i}") for i in range(14) for seed in range(2)]
    cells = [c.model_copy(update={"hyperparameters": {"lr": 0.1, "rank": int(c.label[5:]) + 1}}) for c in cells]
    page = opened(write_page(synthetic.write(tmp_path / "r", cells, map(synthetic.record, cells)), tmp_path / "page"))
    table = page.locator("#tab-scores")
    table.locator("input[type=search]").fill("lora@13")
    assert table.locator("tbody tr:visible").count() == 1
    assert table.locator("output").inner_text() == "1 of 14 rows"


def test_cells_can_be_sorted_and_filtered(report: Report, opened, records):
    page = opened(report.page)
    titles = page.locator("#cell-table thead button").all_inner_texts()
    score = titles.index("Score") + 1
    page.locator("#cell-table thead button", has_text="Score").click()
    shown = [value for value in _column(page, "#cell-table", score) if value is not None]
    expected = sorted((r["test"]["accuracy"] for r in records.values() if r["test"]), reverse=True)
    assert shown == expected[: len(shown)]
    assert page.locator("#shown").inner_text() == "54 of 54 cells"
    page.locator("#filter").fill("PROMPT_tuning rotten")
    assert page.locator("#shown").inner_text() == "3 of 54 cells"
    page.locator("#filter").fill("")
    page.locator("#cell-tools").get_by_label("Status").select_option(label="n/a")
    assert page.locator("#shown").inner_text() == "3 of 54 cells"
    assert set(page.locator("#cell-table tbody th").all_inner_texts()) == {"prefix_tuning"}


def test_every_cell_is_listed_with_the_numbers_of_its_record(report: Report, opened, records):
    page = opened(report.page)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # all rows, whether in view or not
    titles = page.locator("#cell-table thead button").all_inner_texts()
    rows = page.eval_on_selector_all(
        "#cell-table tbody tr[data-id]",
        "els => els.map(el => [el.dataset.id, [...el.cells].map(c => [c.dataset.value, c.innerText])])",
    )
    assert len(rows) == 54
    paths = {
        "Score": ("test", "accuracy"), "Adapter": ("parameters", "adapter"), "Wall": ("wall_seconds",),
        "Memory": ("cost", "peak_memory_bytes"), "Step": ("cost", "step_seconds"),
        "Latency": ("cost", "inference_seconds"), "Stored": ("cost", "stored_bytes"),
    }  # fmt: skip
    factors = {"MB": 1e-6, "GB": 1e-9, "kB": 1e-3, "ms": 1e3, "s": 1}
    for cell_id, cells in rows:
        for title, (value, text) in zip(titles, cells, strict=True):
            name, _, unit = title.partition(" (")
            expected: Any = records.get(cell_id)
            for key in paths.get(name, ()):
                expected = (expected or {}).get(key)
            if name not in paths:
                continue
            if expected is None:
                assert text == "–"
                continue
            assert float(value) == expected
            shown = text.replace(",", "")
            if name == "Score":
                assert shown == f"{100 * expected:.1f}"
            elif unit:
                decimals = len(shown.partition(".")[2])
                assert shown == f"{expected * factors[unit.rstrip(')')]:.{decimals}f}"


@pytest.mark.parametrize("task", ["rotten_tomatoes", "bbc_news"])
@pytest.mark.parametrize("measure", ["adapter_parameters", "peak_memory_bytes", "step_seconds", "stored_bytes"])
def test_points_are_the_means_of_the_records(report: Report, opened, records, task: str, measure: str):
    page = opened(report.page)
    _choose(page, "Task", "0" if task == "rotten_tomatoes" else "1")
    _choose(page, "Horizontal", measure)
    page.locator("#plot-table summary").click()
    shown = page.eval_on_selector_all(
        "#plot-table tbody tr",
        "els => els.map(el => [el.cells[0].innerText,"
        " ...[1, 2].map(i => [+el.cells[i].dataset.value, el.cells[i].innerText]),"
        " el.cells[4].innerText, el.querySelector('a').hash])",
    )
    expected: dict[str, list[dict]] = {}
    for record in records.values():
        if record["cell"]["task"] == task and record["test"]:
            expected.setdefault(record["cell"]["label"], []).append(record)

    def of(record: dict) -> float | None:
        return (
            record["parameters"]["adapter"] if measure == "adapter_parameters" else (record["cost"] or {}).get(measure)
        )

    assert {label for label, *_ in shown} == set(expected)
    points = {}
    for label, (score, score_text), (x, _), front, link in shown:
        scores = [r["test"]["accuracy"] for r in expected[label]]
        xs = [value for r in expected[label] if (value := of(r)) is not None]
        assert score == pytest.approx(statistics.mean(scores), rel=1e-12)
        assert x == pytest.approx(statistics.mean(xs), rel=1e-12)
        spread = f" ± {100 * statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
        assert score_text == f"{100 * statistics.mean(scores):.1f}{spread}"
        ids = link.removeprefix("#cell-").removeprefix("#records=").split(",")
        assert sorted(records[i]["test"]["accuracy"] for i in ids) == sorted(scores)
        points[label] = (x, score, front == "yes")
    for x, score, front in points.values():
        beaten = any(ox <= x and os >= score and (ox, os) != (x, score) for ox, os, _ in points.values())
        assert front != beaten


def test_axes_can_be_chosen(report: Report, opened):
    page = opened(report.page)
    for value, title in (("step_seconds", "Time of a training step, lower is better"),
                         ("train_tokens_per_second", "Training tokens per second (tokens/s), higher is better"),
                         ("train_flops", "FLOPs of a training step, lower is better")):  # fmt: skip
        _choose(page, "Horizontal", value)
        _choose(page, "Task", "0")
        assert title in page.locator(".axes .title").all_text_contents()
        assert page.locator(".point").count() == 9
    _choose(page, "Vertical", "peak_memory_bytes")
    assert "Peak memory, lower is better" in page.locator(".axes .title").all_text_contents()
    page.get_by_role("button", name="soft-prompt").click()
    assert page.locator(".point").count() == 7
    _choose(page, "Points", "each")
    assert page.locator(".point").count() > 18


def test_a_point_reveals_its_method_and_leads_to_its_records(report: Report, opened, records):
    page = opened(report.page)
    _choose(page, "Task", "0")
    point = page.locator(".point[aria-label^='lora ']")
    scores = [r["test"]["accuracy"] for r in records.values()
              if r["cell"]["label"] == "lora" and r["cell"]["task"] == "rotten_tomatoes"]  # fmt: skip
    point.hover()
    assert page.locator(".tip b").inner_text() == "lora (low-rank)"
    said = f"Score (test) {100 * statistics.mean(scores):.1f} ± {100 * statistics.stdev(scores):.1f}"
    assert said in page.locator(".tip").inner_text()
    assert said in point.get_attribute("aria-label")
    point.click()
    title = expect(page.locator("#view-title"))
    title.to_have_text("The 3 records behind this number")
    assert sorted(_column(page, "#view", 4)) == sorted(scores)
    page.locator("#view tbody a").first.click()
    title.to_have_text(re.compile("^lora on rotten_tomatoes, seed"))
    page.go_back()
    title.to_have_text("The 3 records behind this number")


def test_points_can_be_single_cells(report: Report, opened):
    page = opened(report.page)
    _choose(page, "Points", "each")
    point = page.locator(".point").first
    point.focus()
    assert re.search(r"seed \d, cell [0-9a-f]{12}", page.locator(".tip").inner_text())
    page.keyboard.press("Enter")
    expect(page.locator("#view")).to_be_visible()


def test_a_cell_shows_all_that_its_record_holds(usual: Path, report: Report, opened, records):
    cell_id, record = next((i, r) for i, r in records.items() if r["cell"]["label"] == "lt_sft")
    page = opened(report.page, f"#cell-{cell_id}")
    view = page.locator("#view")
    text = view.inner_text()
    assert (
        page.locator("#view-title").inner_text() == f"lt_sft on {record['cell']['task']}, seed {record['cell']['seed']}"
    )
    for name in ("test", "validation"):
        for value in record[name].values():
            assert f"{100 * value:.1f}" in text
    for value in record["parameters"].values():
        if isinstance(value, int):
            assert f"{value:,}" in text
    for name, value in record["environment"]["versions"].items():
        assert name in text
        assert value in text
    assert record["environment"]["processor"] in text
    assert f"{record['cost']['peak_memory_bytes'] / 1e6:.0f} MB" in text or "GB" in text
    view.locator("summary").click()
    rows = view.locator("details tbody tr").all()
    assert len(rows) == len(record["history"])
    for row, line in zip(rows, record["history"], strict=True):
        metrics = [f"{100 * v:.1f}" for v in line["validation"].values()]
        cells = [f"{line['train_loss']:.4f}", f"{line['validation_loss']:.4f}", *metrics]
        assert row.locator("td").all_inner_texts() == [line["phase"], str(line["step"]), *cells]
    assert view.locator("svg[role=img]").count() == 2
    link = view.locator("a", has_text="record.json").get_attribute("href")
    assert (report.folder / link).resolve() == (usual / "cells" / cell_id / "record.json").resolve()


def test_a_cell_tells_how_to_repeat_it(report: Report, opened, records):
    cell_id, record = next((i, r) for i, r in records.items() if r["cell"]["label"] == "lora")
    page = opened(report.page, f"#cell-{cell_id}")
    command = page.locator(".repeat pre").inner_text()
    written, _, commands = command.partition("\nEND\n")
    suite = yaml.safe_load(written.partition("\n")[2])
    cell = record["cell"]
    assert suite == {
        "backbones": [cell["backbone"]], "tasks": [cell["task"]], "methods": {cell["label"]: cell["hyperparameters"]},
        "seeds": [cell["seed"]], "budget": cell["budget"], "precision": cell["precision"],
    }  # fmt: skip
    assert shlex.split(commands.splitlines()[0]) == [
        "bench",
        "run",
        f"{cell_id}.yaml",
        "--results",
        f"results/{cell_id}",
    ]


def test_cells_without_a_score_say_why(report: Report, opened, records):
    failed = next(i for i, r in records.items() if r["status"] == "failed")
    page = opened(report.page, f"#cell-{failed}")
    assert synthetic.OUT_OF_MEMORY in page.locator("#view").inner_text()
    page.keyboard.press("Escape")
    page.locator("#filter").fill("not run")
    page.locator("#cell-table tbody a").click()
    expect(page.locator("#view")).to_contain_text("The run did not reach this cell.")


def test_every_link_of_a_number_leads_to_known_records(report: Report, opened):
    page = opened(report.page)
    links = page.eval_on_selector_all("main td.number a", "els => els.map(el => el.hash)")
    known = set(json.loads(page.locator("#overview").text_content())["ids"])
    assert len(links) > 100
    for link in links:
        ids = link.removeprefix("#cell-").removeprefix("#records=").split(",")
        assert set(ids) <= known
    several = next(link for link in links if "," in link)
    page.locator(f"a[href='{several}']").first.click()
    expect(page.locator("#view tbody tr")).to_have_count(several.count(",") + 1)


def test_dark_follows_the_system_and_the_switch(report: Report, opened):
    def brightness(page: Any) -> int:
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)[:3]))

    page = opened(report.page, color_scheme="dark")
    assert brightness(page) < 150
    page.locator("#theme").click()
    assert brightness(page) > 600
    page = opened(report.page, color_scheme="light")
    assert brightness(page) > 600
    page.locator("#theme").click()
    assert brightness(page) < 150


def test_everything_can_be_done_by_keyboard(report: Report, opened):
    page = opened(report.page)
    focused = "document.activeElement"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    for _ in range(40):  # through the choices to the plot
        if page.evaluate(f"{focused}.classList.contains('point')"):
            break
        page.keyboard.press("Tab")
    first = page.evaluate(f"{focused}.getAttribute('aria-label')")
    assert first
    assert page.locator(".tip").is_visible()
    page.keyboard.press("ArrowRight")
    second = page.evaluate(f"{focused}.getAttribute('aria-label')")
    assert second != first
    assert second.startswith(page.locator(".tip b").inner_text())
    page.keyboard.press("Enter")
    expect(page.locator("#view")).to_be_visible()
    page.keyboard.press("Tab")
    inside = page.evaluate(f"document.getElementById('view').contains({focused})")
    assert inside
    page.keyboard.press("Escape")
    expect(page.locator("#view")).to_be_hidden()
    assert page.evaluate(f"{focused}.getAttribute('aria-label')") == second
    # Out of the plot in one step, not through all points.
    page.keyboard.press("Tab")
    assert not page.evaluate(f"{focused}.classList.contains('point')")
    page.locator("#cell-table thead button", has_text="Score").focus()
    page.keyboard.press("Space")
    assert page.locator("#cell-table th[aria-sort=descending]").count() == 1
    page.locator("#cell-table tbody a").first.focus()
    name = page.evaluate(f"{focused}.innerText")
    page.keyboard.press("Enter")
    expect(page.locator("#view-title")).to_have_text(re.compile(f"^{re.escape(name)} on "))
    assert page.evaluate(f"{focused}.id") == "view-title"


def test_only_rows_in_view_exist_and_focus_survives_scrolling(tmp_path: Path, opened):
    page = opened(write_page(synthetic.write_usual(tmp_path / "results", seeds=25), tmp_path / "page"))
    assert page.locator("#shown").inner_text() == "450 of 450 cells"
    assert page.locator("#cell-table tbody tr[data-id]").count() < 60
    assert page.locator("#cell-table").get_attribute("aria-rowcount") == "451"
    page.locator("#cell-table tbody a").first.focus()
    for _ in range(60):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('tr').getAttribute('aria-rowindex')") == "62"
    page.locator(".cells").evaluate("el => { el.scrollTop = el.scrollHeight }")
    page.locator("tr[aria-rowindex='451']").wait_for()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#cell-table tbody tr[data-id]").count() == 450


def test_a_phone_needs_no_scrolling_sideways(report: Report, opened, records):
    page = opened(report.page, viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.locator("#cell-table tbody a").first.click()
    view = page.locator("#view")
    expect(view).to_be_visible()
    assert view.evaluate("el => el.scrollWidth") <= 375
    assert view.evaluate("el => el.getBoundingClientRect().left") == 0
    smallest = page.eval_on_selector_all(
        "#plot-tools select, .legend button, .close", "els => els.map(e => e.offsetHeight)"
    )
    assert min(smallest) >= 24


def test_on_paper_there_is_no_machinery(report: Report, opened):
    page = opened(report.page)
    page.emulate_media(media="print")
    for selector in ("nav", "#theme", ".tools >> nth=0", ".skip"):
        assert not page.locator(selector).is_visible()
    assert page.locator("#cell-table").is_visible()
    assert page.locator("#plot svg").first.is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_the_policy_stops_scripts_styles_and_requests(report: Report, browser: Any):
    page = browser.new_page()
    page.goto(report.page.as_uri())
    ran = page.evaluate("""async () => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      document.body.insertAdjacentHTML("beforeend",
        '<img src="x" onerror="window.ran = true"><p id="styled" style="color: red">x</p>');
      const asked = await fetch("https://example.org/").then(() => true, () => false);
      await new Promise((done) => setTimeout(done, 100));
      const { color } = getComputedStyle(document.getElementById("styled"));
      return [window.ran === true, asked, color === "rgb(255, 0, 0)"];
    }""")
    page.close()
    assert ran == [False, False, False]

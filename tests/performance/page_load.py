"""How long the page of 5,000 cells with 2,000 test examples each takes, in a real browser: the median of several loads,
and the size of the page. The targets are three seconds until the plot, the list of cells and that of examples can be
used, and 20 MB."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.performance.figures import Figure, Table, of_figures, per_cell
from tests.reports import many_cells
from tests.reports.browser import launch, write_page

LOADS = 5
TARGET_SECONDS = 3.0
TARGET_MEGABYTES = 20
EXAMPLES = 2_000


def timed(page: Page, what: str, act: str, until: str) -> tuple[str, float]:
    """Milliseconds from an action in the page to the frame that shows its outcome."""
    script = f"""async () => {{
      const start = performance.now();
      {act};
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      if (!({until})) throw new Error("not done: {what}");
      return performance.now() - start;
    }}"""
    return what, page.evaluate(script)


def measure(brief: bool = False) -> list[Table]:
    """One after the other; a brief look is the same."""
    return of_figures(_figures())


def _figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        results = many_cells.write(Path(name) / "results", EXAMPLES)
        start = time.perf_counter()
        path = write_page(results, Path(name) / "page")
        seconds = time.perf_counter() - start
        yield Figure(
            f"write the page of 5,000 cells, {EXAMPLES:,} predictions each",
            f"{seconds:.0f} s",
            per_cell(seconds, 5_000),
        )
        size = path.stat().st_size / 1e6
        parts = re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', path.read_text(), re.DOTALL)
        said = ", ".join(f"{key} {len(text.encode()) / 1e6:.1f}" for key, text in parts)
        yield Figure(f"its size ({said})", f"{size:.1f} MB", "", f"under {TARGET_MEGABYTES} MB")
        browser = launch(playwright)
        loads = []
        for _ in range(LOADS):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            start = time.perf_counter()
            page.goto(path.as_uri(), wait_until="load")
            page.locator("#cell-table tbody a").first.wait_for()
            page.locator(".point").first.wait_for()
            page.locator("#error-list tbody tr").first.wait_for()
            page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            loads.append(time.perf_counter() - start)
            if len(loads) < LOADS:
                page.close()
        worst = f"{statistics.median(loads):.2f} s, at worst {max(loads):.2f} s of {LOADS}"
        yield Figure("load it until it can be used", worst, "", f"under {TARGET_SECONDS:.0f} s")
        for what, milliseconds in _uses(page):
            yield Figure(what, f"{milliseconds:.0f} ms")
        browser.close()


def _uses(page: Page) -> Iterator[tuple[str, float]]:
    rows = "document.querySelectorAll('#cell-table tbody tr').length"
    yield from (
        timed(page, "sort 5,000 cells", "document.querySelectorAll('#cell-table thead button')[4].click()", "true"),
        timed(page, "scroll to the end", "document.querySelector('.cells').scrollTop = 1e9", f"{rows} < 100"),
        timed(
            page,
            "filter by words",
            "const f = document.getElementById('filter'); f.value = 'lora failed'; f.dispatchEvent(new Event('input'))",
            f"{rows} < 100",
        ),
        timed(
            page,
            "find words in the examples",
            "const s = document.querySelector('#error-tools input');"
            " s.value = 'word example'; s.dispatchEvent(new Event('input'))",
            "true",
        ),
        timed(
            page,
            "choose under a constraint",
            "const m = document.querySelector('#choose-tools input');"
            " m.value = '550'; m.dispatchEvent(new Event('input'))",
            "true",
        ),
        timed(
            page,
            "open a cell (details read for the first time)",
            "location.hash = document.querySelector('#cell-table tbody a').getAttribute('href');"
            " await new Promise((done) => setTimeout(done, 0))",
            "document.getElementById('view').open",
        ),
        timed(
            page,
            "draw every cell as a point",
            "document.getElementById('view').close();"
            " const s = [...document.querySelectorAll('#plot-tools select')].at(-1); s.value = 'each';"
            " s.dispatchEvent(new Event('change'))",
            "document.querySelectorAll('.point').length > 1000",
        ),
    )

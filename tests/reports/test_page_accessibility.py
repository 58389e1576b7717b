"""axe-core's rules, on the page in both colour schemes, with and without a view open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kept
import pytest
import synthetic_results as synthetic
from browser import write_page
from test_page_claims import CLAIMS

AXE = Path(__file__).resolve().parents[2] / ".cache/axe/node_modules/axe-core/axe.min.js"


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not there: make test-page installs it")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that has everything: cells of every status, claims of every outcome, answers to examples."""
    root = synthetic.write_usual(tmp_path_factory.mktemp("axe") / "results")
    synthetic.with_claims(root, CLAIMS)
    kept.keep_all(root)
    return write_page(root, root.parent / "page")


def _violations(page: Any, axe: str) -> list[str]:
    page.evaluate(axe + ";null")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)")
    return [
        f"{rule['impact']} {rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page(path: Path, opened, axe: str, scheme: str, width: int):
    page = opened(path, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.locator("#plot-table summary").click()
    assert _violations(page, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("status", ["ok", "failed", "n/a", "not run"])
def test_cell_view(path: Path, opened, axe: str, scheme: str, status: str):
    page = opened(path, color_scheme=scheme)
    page.locator("#cell-tools select").last.select_option(label=status)
    page.locator("#cell-table tbody a").first.click()
    page.locator("#view-title").wait_for()
    assert _violations(page, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_records_view(path: Path, opened, axe: str, scheme: str):
    page = opened(path, color_scheme=scheme)
    page.locator("main td.number a[href*=',']").first.click()
    page.locator("#view-title").wait_for()
    assert _violations(page, axe) == []

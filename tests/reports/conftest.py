"""A results folder and its report, made once for all tests that only read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import synthetic_results
from matplotlib.figure import Figure

from reports.build import Report, build_report


@pytest.fixture(scope="session")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine methods, two tasks, three seeds; one cell failed, three n/a, one not run, one without cost."""
    return synthetic_results.write_usual(tmp_path_factory.mktemp("usual") / "results")


@pytest.fixture(scope="session")
def report(usual: Path) -> Report:
    return build_report(usual)


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `blank`, for one test."""
    blank(monkeypatch)


def blank(patch: pytest.MonkeyPatch) -> None:
    """Leaves figures of a report blank, in their sizes: drawing them takes most of its time, and tests of its words,
    tables and templates do not look at them."""
    save = Figure.savefig

    def save_blank(self: Figure, *arguments: Any, **options: Any) -> None:
        save(Figure(self.get_size_inches()), *arguments, **options)

    patch.setattr(Figure, "savefig", save_blank)
    patch.setattr(Figure, "draw_without_rendering", lambda self: None)


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a window of its own; the page may ask for nothing and complain of nothing."""
    from browser import watch

    windows, pages = [], []

    def open_page(path: Path, fragment: str = "", **options: Any) -> Any:
        windows.append(browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options)))
        windows[-1].set_default_timeout(10_000)
        pages.append(watch(windows[-1], path, fragment))
        return pages[-1].page

    yield open_page
    for page in pages:
        page.assert_quiet()
    for window in windows:
        window.close()

"""A real browser for the page's tests, and a watch over what a page does in it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reports import results as frame
from reports.analysis.analysis import analyse
from reports.drawing.theme import SCREEN, save
from reports.render import html
from reports.sections import report as document

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

expect = sync_api.expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def launch(playwright: Any) -> Any:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


BLANK = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 1"/>'


def write_page(results: Path, folder: Path, drawn: bool = True) -> Path:
    """The page alone, without tables, LaTeX and PDF; its figures blank where a test does not look at them."""
    read = frame.read(results)
    analysis = analyse(read)
    made = document.for_page(document.compose(analysis))
    (folder / "figures").mkdir(parents=True)
    for figure in made.figures:
        path = folder / "figures" / f"{figure.key}.svg"
        save(figure, SCREEN, path) if drawn else path.write_text(BLANK)
    page = folder / "index.html"
    page.write_text(html.page(made, analysis, analysis.references, folder), encoding="utf-8")
    return page


@dataclass
class Watched:
    """A page that was opened, and all that it did which it should not."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def assert_quiet(self) -> None:
        assert self.requests == []
        assert self.complaints == []


def watch(context: Any, path: Path, fragment: str = "") -> Watched:
    """Opens the page; any request but for the page itself is refused and noted, any word of the console too."""
    page = context.new_page()
    watched = Watched(page)
    own = path.as_uri()

    def check(route: Any) -> None:
        if route.request.url.partition("#")[0] == own:
            route.continue_()
        else:
            watched.requests.append(route.request.url)
            route.abort()

    page.route("**/*", check)
    page.on("console", lambda message: watched.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: watched.complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (watched.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(own + fragment)
    return watched

"""The site: every page is there, says what its card says, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.site import cards, links, tutorials
from records.vocabulary import FAMILIES
from reports.model.topics import topics
from tests.docs.blocks import ROOT

pytest.importorskip("mkdocs", reason="the site needs the extra `docs`")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make site` builds it."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=600,
    )
    return folder


@pytest.mark.parametrize(("link", "status"), [("#part", 0), ("#parts", 1), ("nowhere.md", 1), ("other.md#none", 1)])
def test_a_link_or_an_anchor_that_leads_nowhere_ends_the_build(tmp_path: Path, monkeypatch, link: str, status: int):
    """With the options of `make site`, and what mkdocs.yml has validated."""
    [options] = re.findall(r"-m mkdocs (build .*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    validation = re.findall(r"^validation:\n(?:  .*\n)+", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)[0]
    (tmp_path / "mkdocs.yml").write_text(f"site_name: a\n{validation}")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A\n\n## Part\n\n[a]({link})\n")
    (tmp_path / "docs" / "other.md").write_text("# B\n")
    from click.testing import CliRunner
    from mkdocs.__main__ import cli

    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli, options.split()).exit_code == status


@pytest.mark.exhaustive
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(site: Path):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 80
    loads = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"?(https?:)?//", re.IGNORECASE)
    assert not [page.name for page in pages if loads.search(page.read_text("utf-8"))]
    styles = [
        path for path in site.rglob("*.css") if re.search(r"(@import|url\()[\"' ]*https?:", path.read_text("utf-8"))
    ]
    assert not styles
    assert (site / "records" / "embedded.tar.xz").is_file()


@pytest.mark.exhaustive
def test_the_site_is_searched_from_a_file(site: Path, browser):
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{site / 'index.html'}")
    page.click(".md-search__input")
    page.keyboard.type("successive halving")
    page.wait_for_selector(".md-search-result__link[href*='tuning.html']", timeout=30_000)
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    page.close()


def test_every_native_method_has_a_page_with_its_hyperparameters():
    pages = cards.pages()
    assert {cls.card.family for cls in cards.native().values()} == set(FAMILIES)
    for name, cls in cards.native().items():
        page = pages[f"methods/{cls.card.family}/{name}.md"]
        assert cls.card.summary in page and ("<math" in page or "<code>" in page)
        named = re.findall(r"^\| `(\w+)` \|", page.partition("## Where it works")[0], re.MULTILINE)
        assert named == list(cls.model_fields)
        assert all(claim.text.replace("|", "\\|") in page for claim in cls.card.claims)


def test_figures_of_a_method_are_those_of_the_pages_written_from_the_same_records():
    text = (ROOT / "docs" / "embedded.md").read_text("utf-8")
    [row] = re.findall(r"^\| lora \| (.+) \|$", text, re.MULTILINE)
    shown = {each.task: each for each in cards.measured("lora") if each.suite == "embedded"}
    assert [shown["rotten_tomatoes"].score, shown["bbc_news"].score] == row.split(" | ")[:2]
    assert all(len(each.cells) == 3 for each in shown.values())


def test_what_a_method_does_not_work_on_is_told_with_the_reason():
    found = cards.support()
    assert found["bitfit"].reasons["llama"] == "the architecture llama has no bias terms"
    assert "bert" in found["bitfit"].works and not found["lora"].reasons
    assert all(len(each.works) + len(each.reasons) == 17 for each in found.values())


def test_every_topic_has_a_tutorial_of_its_own_methods():
    pages = tutorials.pages()
    assert list(pages) == [f"tutorials/{topic.key}.md" for topic in topics().values() if topic.family]
    for topic in (topic for topic in topics().values() if topic.family):
        own = {name for name, cls in cards.native().items() if cls.card.family == topic.family}
        page = pages[f"tutorials/{topic.key}.md"]
        assert set(re.findall(r"^- \[.+?\]\(.+?\) \(`(\w+)`\)", page, re.MULTILINE)) == own
        assert "[@" not in page and "$" not in page.replace("${", "")


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ("docs/running.md#slots", "running.md#slots"),
        ("CONTRIBUTING.md", "contributing.md"),
        ("methods/base.py", "source/methods/base.py.md"),
        ("docs/report.png", "report.png"),
        ("https://example.org/a.md", "https://example.org/a.md"),
        ("nowhere.md", "nowhere.md"),
        ("../outside.md", "../outside.md"),
    ],
)
def test_links_of_the_repository_are_those_of_the_site(link: str, found: str):
    assert links.relinked(f"[a]({link})", "README.md", "index.md") == f"[a]({found})"


def test_links_are_seen_from_their_page_and_code_is_left_alone():
    text = "[a](../README.md) [b](../methods/base.py)\n```\n[c](../README.md)\n```\n"
    moved = links.relinked(text, "docs/records/README.md", "records/README.md")
    assert moved.startswith("[a](../README.md)")  # of docs/README.md, which there is not
    assert links.relinked(text, "docs/running.md", "running.md") == (
        "[a](index.md) [b](source/methods/base.py.md)\n```\n[c](../README.md)\n```\n"
    )

"""What mkdocs asks while it builds the site: pages beside those of docs/, their links, and the stars in `nav`."""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# mkdocs loads this file by its path, from wherever it is started.
if (root := str(Path(__file__).resolve().parents[2])) not in sys.path:
    sys.path.insert(0, root)

from docs.site import cards, links, reference, tutorials
from reports.model.resources import TEMPLATES

CODE = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".bib": "bibtex"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is made, and names every page in `nav`."""
    for uri, content in made(Path(config.docs_dir)).items():
        files.append(File.generated(config, uri, content=content))
    named = set(_named(config.nav))
    pages = [file.src_uri for file in files.documentation_pages() if file.src_uri not in named]
    config.nav = _expanded(config.nav, pages)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links of docs/'s own pages to files outside of it."""
    uri = page.file.src_uri
    return markdown if page.file.generated_by else links.relinked(markdown, f"docs/{uri}", uri)


def made(docs: Path) -> dict[str, str]:
    """All pages and files that are made, by their place in the site."""
    texts = {f"docs/{path.relative_to(docs).as_posix()}": path.read_text("utf-8") for path in docs.rglob("*.md")}
    outside = {name: (links.ROOT / name).read_text("utf-8") for name in links.PAGES}
    pages = {links.PAGES[name]: links.relinked(text, name, links.PAGES[name]) for name, text in outside.items()}
    shown = {*links.sources(texts | outside), *cards.files()}
    pages |= {f"source/{path}.md": _source(path) for path in sorted(shown)}
    pages |= {
        f"assets/{name}": (TEMPLATES / "site" / name).read_text("utf-8") for name in ("iframe-worker.js", "site.css")
    }
    return pages | cards.pages() | reference.pages() | tutorials.pages()


def _source(path: str) -> str:
    text = (links.ROOT / path).read_text("utf-8")
    language = CODE.get(Path(path).suffix, "text")
    return f"---\nsearch: {{exclude: true}}\n---\n# {path}\n\n````{language}\n{text}\n````\n"


def _named(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [] if "*" in nav else [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [name for part in parts for name in _named(part)]


def _expanded(nav: Any, pages: list[str]) -> Any:
    """A part of `nav` with the pages that its stars match, in the order in which they are made, else by name."""
    if isinstance(nav, dict):
        return {title: _expanded(part, pages) for title, part in nav.items()}
    if isinstance(nav, str):
        return _matching(nav, pages) if "*" in nav else nav
    found: list[Any] = []
    for part in nav:
        found += _matching(part, pages) if isinstance(part, str) and "*" in part else [_expanded(part, pages)]
    return found


def _matching(pattern: str, pages: list[str]) -> list[str]:
    return [page for page in pages if fnmatch.fnmatch(page, pattern) and page.count("/") == pattern.count("/")]

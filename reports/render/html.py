"""The document as one self-contained page: no request leaves it, and no text in it can become mark-up."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.model.document import Document
from reports.model.environments import environment_pairs
from reports.model.references import Entry
from reports.model.resources import resource
from reports.render import page_data, page_errors
from reports.render.html_blocks import Writer, in_page_order, numbering
from reports.render.html_claims import claims_view
from reports.render.inline_svg import styles_to_classes
from reports.render.templating import html_environment

# The parts of the page's script, in the order in which they are put together.
SCRIPTS = (
    "dom", "numbers", "tables", "cells", "states", "plot", "charts", "view", "claims", "chooser", "errors", "main",
)  # fmt: skip


def page(
    document: Document,
    analysis: Analysis,
    references: dict[str, Entry],
    output: Path,
    downloads: Sequence[tuple[str, str]] = (),
) -> str:
    """The page as one text. Figures are read from `output`/figures; links to logs, and to what is offered for download
    by its title, are relative to `output`."""
    whole = analysis.everything
    results = whole.results
    sections = in_page_order(document.sections)
    writer = Writer(references, output, numbering(sections))
    body = [{"key": section.key, "title": section.title, "html": writer.section(section, 2)} for section in sections]
    abstract = writer.text(document.abstract)
    markup, classes = styles_to_classes(
        html_environment()
        .get_template("page/body.html.jinja")
        .render(
            document=document,
            abstract=abstract,
            sections=body,
            claims=claims_view(whole.verdicts, writer, len(results.backbones) > 1),
            environments=[
                {"pairs": environment_pairs(environment), "cells": len(ids)}
                for environment, ids in results.environments()
            ],
            references=[_reference(entry) for entry in sorted(writer.cited.values(), key=_by_author)],
            cells=len(results.cells),
            errors=bool(whole.errors),
            downloads=downloads,
        )
    )
    overview = page_data.overview(results) | {
        "worse": page_data.shown_worse(results, whole.shown_worse),
        "ranks": page_data.ranked(whole),
    }
    style = resource("page/page.css") + classes
    code = script()
    return (
        html_environment()
        .get_template("page/page.html.jinja")
        .render(
            title=f"{document.title}: {document.subtitle}",
            policy=_policy(style, code),
            style=Markup(style),
            body=Markup(markup),
            overview=Markup(page_data.script_text(overview)),
            details=Markup(page_data.script_text(page_data.details(results, output))),
            errors=Markup(page_data.script_text(page_errors.errors(results, whole.errors))) if whole.errors else "",
            script=Markup(code),
        )
    )


def script() -> str:
    """The page's script: its parts in one function of their own."""
    parts = "\n".join(resource(f"page/{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _policy(style: str, code: str) -> str:
    """Only our own script may run and only our own style sheet apply, whatever a record holds."""
    allowed = f"style-src {_digest(style)}; script-src {_digest(code)}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _reference(entry: Entry) -> dict[str, Any]:
    venue = next((entry.plain(f) for f in ("booktitle", "journal", "howpublished", "publisher") if entry.plain(f)), "")
    authors = ["et al." if name == "others" else name for name in entry.authors]
    who = ", ".join(authors[:-1]) + " et al." if authors[-1:] == ["et al."] else listing(authors) if authors else ""
    return {
        "key": entry.key,
        "authors": who,
        "year": entry.year,
        "title": entry.plain("title"),
        "venue": venue,
        "url": entry.url,
    }


def _by_author(entry: Entry) -> tuple[str, str]:
    return entry.short.lower(), entry.year

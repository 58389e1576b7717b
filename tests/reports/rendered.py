"""What a report, a talk and a page say of small made-up records, as text files that are kept beside this one.

    python -m tests.reports.rendered --write

rewrites them, so that a change of what comes out is seen in review. Figures, LaTeX and ids of cells are left out.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

import synthetic_results as synthetic

from records.cards import Claim
from reports.analysis.analysis import Analysis, analyse
from reports.model.document import Deck, Document, Equation, Figure, Number, Paragraph, Section, Slide, Table
from reports.model.prose import plain
from reports.model.topics import chosen
from reports.render import html, macros
from reports.results import read
from reports.sections import report, talk

KEPT = Path(__file__).parent / "rendered"
TOPICS = ("all", "lowrank")
METHODS = ("full", "bitfit", "lora", "houlsby", "prompt_tuning", "hyperformer")
CLAIMS = (
    Claim("LoRA scores at least as high as full fine-tuning.", "hu2022lora", "score", "full", "at least"),
    Claim("LoRA needs less memory.", "hu2022lora", "peak_memory_bytes", "full", "at most", factor=0.7),
    Claim("LoRA stores less than prompt tuning.", "hu2022lora", "stored_bytes", "prompt_tuning", "lower"),
)


def write(root: Path) -> Path:
    """Six methods, two tasks and six seeds, with claims; a cell failed, six n/a, one not run and one without cost."""
    records = []
    for cell in (cells := synthetic.grid(METHODS, seeds=6)):
        match cell.method, cell.task, cell.seed:
            case "prompt_tuning", "rotten_tomatoes", 2:
                records.append(synthetic.record(cell, "failed", reason=synthetic.OUT_OF_MEMORY))
            case "prompt_tuning", "bbc_news", _:
                records.append(synthetic.record(cell, "n/a", reason=synthetic.NOT_APPLICABLE))
            case "hyperformer", "bbc_news", 1:
                pass
            case "bitfit", "bbc_news", 0:
                records.append(synthetic.record(cell, "trained"))
            case _:
                records.append(synthetic.record(cell))
    synthetic.write(root, cells, records)
    synthetic.with_claims(root, {"lora": [synthetic.to_plain(claim) for claim in CLAIMS]})
    return root


def render() -> dict[str, str]:
    """By name of the file, its text."""
    with tempfile.TemporaryDirectory() as folder:
        results = read(write(Path(folder) / "results"))
        files: dict[str, str] = {}
        for key in TOPICS:
            analysis = analyse(results, chosen(key))
            document = report.compose(analysis)
            files[f"{key}/document.txt"] = "\n".join(_document(document))
            files[f"{key}/slides.txt"] = "\n".join(_deck(talk.compose(analysis)))
            if key == "all":
                files[f"{key}/page.txt"] = _page(document, analysis, Path(folder) / "page")
                files[f"{key}/numbers.tex"] = macros.numbers(analysis)
                shown = [table for table in document.tables if table.key != "cells"]
                files |= {f"{key}/tables/{table.key}.csv": _csv(table.data) for table in shown}
    ids = sorted(results.manifest.cells)
    return {name: _without(ids, text).rstrip() + "\n" for name, text in files.items()}


def _without(ids: list[str], text: str) -> str:
    """A change of what makes a cell's identity is none of what is said."""
    for cell_id in ids:
        text = text.replace(cell_id, "<cell>")
    return text


def _document(document: Document) -> Iterator[str]:
    yield f"{document.title}\n{document.subtitle}, {document.date}"
    yield from (f"{name}: {value}" for name, value in document.facts)
    yield f"Spare: {', '.join(document.spare)}\n"
    yield plain(document.abstract) + "\n"
    for section in (*document.sections, *document.appendix):
        yield from _section(section, 1)


def _section(section: Section, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} {section.title} [{section.label}]\n"
    for block in section.blocks:
        match block:
            case Paragraph(text, heading):
                yield f"{type(block).__name__}: {heading or ''} {plain(text)}\n"
            case Equation(latex):
                yield f"Equation: {latex}\n"
            case Table() | Figure():
                yield from _shown(block)
    for inner in section.sections:
        yield from _section(inner, depth + 1)


def _shown(block: Table | Figure) -> Iterator[str]:
    yield f"[{block.label}] {plain(block.caption)}"
    if isinstance(block, Table):
        yield " | ".join(_head(column.group, column.title, column.unit) for column in block.columns)
        yield from (" | ".join(map(_cell, row.cells)) for row in block.rows)
    else:
        yield f"Alt: {block.alt}"
    yield ""


def _head(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _cell(cell: str | Number | None) -> str:
    if not isinstance(cell, Number):
        return cell or ""
    spread = f" ± {cell.spread}" if cell.spread is not None else ""
    return f"{cell.text}{spread}{f' ({cell.note})' if cell.note else ''}"


def _deck(deck: Deck) -> Iterator[str]:
    yield f"{deck.title}\n{deck.subtitle}, {deck.date}\n"
    for slide in deck.slides:
        yield from _slide(slide)
    yield "For questions\n"
    for slide in deck.backup:
        yield from _slide(slide)


def _slide(slide: Slide) -> Iterator[str]:
    yield f"# {slide.title} ({slide.minutes:g} min)"
    yield from (f"- {plain(point)}" for point in slide.points)
    if slide.words:
        yield f"Your words: {slide.words}"
    if slide.block:
        yield from _shown(slide.block)
    yield ""


class _Words(HTMLParser):
    """What a reader of the page sees before its script runs."""

    UNSEEN = ("script", "style", "svg", "title", "math")

    def __init__(self) -> None:
        super().__init__()
        self.within: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in self.UNSEEN:
            self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.within and self.within[-1] == tag:
            self.within.pop()

    def handle_data(self, data: str) -> None:
        if not self.within and data.strip():
            self.said.append(" ".join(data.split()))


def _page(document: Document, analysis: Analysis, folder: Path) -> str:
    shown = report.for_page(document)
    (folder / "figures").mkdir(parents=True)
    for figure in shown.figures:
        (folder / "figures" / f"{figure.key}.svg").write_text("<svg></svg>")
    words = _Words()
    words.feed(html.page(shown, analysis, analysis.references, folder))
    return "\n".join(words.said)


def _csv(data: pd.DataFrame) -> str:
    """To eight digits: the last ones are the machine's."""
    written = io.StringIO()
    data.drop(columns="cells", errors="ignore").to_csv(written, index=False, float_format="%.8g")
    return written.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description="What reports say of made-up records.")
    parser.add_argument("--write", action="store_true", help="rewrite the kept files")
    if not parser.parse_args().write:
        parser.print_help()
        return
    files = render()
    for path in [path for path in KEPT.rglob("*") if path.is_file()]:
        if str(path.relative_to(KEPT)) not in files:
            path.unlink()
    for name, text in files.items():
        (KEPT / name).parent.mkdir(parents=True, exist_ok=True)
        (KEPT / name).write_text(text, encoding="utf-8")
    print(f"wrote {len(files)} files, {sum(len(text.encode()) for text in files.values()):,} bytes")


if __name__ == "__main__":
    main()

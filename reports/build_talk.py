"""Slides for a talk of fifteen minutes: what, why, how, results, critique, and what to have at hand for questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reports.analysis.analysis import Analysis, analyse
from reports.build import copy_style, output_folder, read_results, writing
from reports.drawing.theme import SLIDES, save
from reports.model.document import Figure, Table
from reports.model.prose import Prose
from reports.model.topics import chosen
from reports.render import compiling, latex, macros
from reports.render.scripts import draw_pictures
from reports.render.templating import Style, read_style, render
from reports.sections import talk


@dataclass(frozen=True)
class Slides:
    """What was written, and lines that say so."""

    folder: Path
    pdf: Path | None
    lines: tuple[str, ...]


def build_slides(
    results: Path | str, output: Path | str | None = None, topic: str = "all", template: Path | None = None
) -> Slides:
    """Writes and compiles the slides of a results folder into `output` (by default `<results>/slides`, with the topic's
    name behind it if it is one family). Raises ResultsError as `reports.build.build_report` does."""
    root = Path(results)
    folder = output_folder(root, output, "slides" if topic == "all" else f"slides-{topic}")
    read = read_results(root)
    with writing("slides"):
        style = read_style(template)
        return _write(analyse(read, chosen(topic, style.folder)), folder, style)


def _write(analysis: Analysis, folder: Path, style: Style) -> Slides:
    copy_style(style, folder)
    deck = talk.compose(analysis, Prose(style.folder))
    for name in ("tables", "figures", "build"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for slide in (*deck.slides, *deck.backup):
        if isinstance(slide.block, Table):
            (folder / "tables" / f"{slide.block.key}.tex").write_text(latex.tabular(slide.block), encoding="utf-8")
        elif isinstance(slide.block, Figure):
            save(slide.block, SLIDES, folder / "figures" / f"{slide.block.key}.pdf")
    latex.write_references(analysis.references, analysis.run, folder)
    (folder / "numbers.tex").write_text(macros.numbers(analysis), encoding="utf-8")
    functions = {"text": latex.text, "is_figure": lambda block: isinstance(block, Figure)}
    source = render(style, "slides.tex.jinja", {"deck": deck}, functions)
    (folder / "slides.tex").write_text(source, encoding="utf-8")
    draw_pictures(folder)
    compiled = compiling.compile_pdf(folder, "slides")
    minutes = sum(slide.minutes for slide in deck.slides)
    said = f"{len(deck.slides)} slides planned for {minutes:g} minutes, and {len(deck.backup)} for questions"
    return Slides(folder, compiled.pdf, (said, compiled.said))

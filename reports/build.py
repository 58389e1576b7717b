"""From a results folder to the report: the one entry point."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jinja2

from records.store import ResultsError
from reports import results as frame
from reports.analysis.analysis import Analysis, analyse
from reports.drawing.theme import SCREEN, save
from reports.model.document import Document
from reports.model.prose import Prose
from reports.model.resources import TemplateError
from reports.model.topics import chosen
from reports.render import compiling, html, latex, macros
from reports.render.csv import write_csv
from reports.render.templating import Style, read_style
from reports.sections import report as document


@dataclass(frozen=True)
class Report:
    """What was written. `lines` say it to the user; `pdf` is None where LaTeX did not run to its end, `pages` counts
    those up to the references."""

    folder: Path
    page: Path
    pdf: Path | None
    lines: tuple[str, ...]
    pages: int | None = None


def build_report(
    results: Path | str,
    output: Path | str | None = None,
    topic: str = "all",
    template: Path | None = None,
    downloads: Sequence[tuple[str, str]] = (),
) -> Report:
    """Writes tables, figures, the LaTeX document and the page of a results folder into `output` (by default
    `<results>/report`, with the topic's name behind it if it is one family), and compiles the document where latexmk is
    installed. `template` is a user's class, style or folder of templates; `downloads` are titles and relative addresses
    of files that the page is to offer.

    Raises ResultsError, with one line for the user, where the folder holds no results, a record cannot be
    read, the template cannot be used, or the output cannot be written.
    """
    root = Path(results)
    folder = output_folder(root, output, "report" if topic == "all" else f"report-{topic}")
    read = read_results(root)
    with writing("report"):
        style = read_style(template)
        return _write(analyse(read, chosen(topic, style.folder)), folder, style, downloads)


def output_folder(root: Path, output: Path | str | None, name: str) -> Path:
    """The folder that the user chose, else one in the results. Raises ResultsError where that is a link: a stranger's
    could lead anywhere."""
    if output is not None:
        return Path(output)
    if (folder := root / name).is_symlink():
        raise ResultsError(f"{folder}: is a link; remove it, or name the folder to write to with --output")
    return folder


def read_results(root: Path) -> frame.Results:
    """Results with at least one cell."""
    read = frame.read(root)
    if not read.manifest.cells:
        raise ResultsError(f"{root}: the suite has no cells, so that there is nothing to report")
    return read


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Errors of files and templates, as one line for the user."""
    try:
        yield
    except TemplateError as error:
        raise ResultsError(str(error)) from None
    except jinja2.TemplateError as error:
        raise ResultsError(f"the template cannot be used: {error}") from None
    except OSError as error:
        if error.filename is None:  # not about a file of the user's
            raise
        raise ResultsError(f"{error.filename}: cannot write the {what}: {error.strerror}") from None


def copy_style(style: Style, folder: Path) -> None:
    """Makes the folder, with the style's files in it. Raises ResultsError on a link in it that leads elsewhere: what is
    written through such a link overwrites a file that is none of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in folder.rglob("*"):
        if one.is_symlink() and not one.resolve().is_relative_to(folder.resolve()):
            raise ResultsError(f"{one}: a link that leads out of the folder; remove it to have the report written")
    for file in style.files:
        shutil.copyfile(file, folder / file.name)


def _write(analysis: Analysis, folder: Path, style: Style, downloads: Sequence[tuple[str, str]]) -> Report:
    copy_style(style, folder)
    read, references = analysis.everything.results, analysis.references
    made = document.compose(analysis, Prose(style.folder))

    _remove_stale(folder, made)
    latex.write_parts(made, folder, f"bench report RESULTS --topic {analysis.topic.key}")
    latex.write_references(references, analysis.run, folder)
    (folder / "numbers.tex").write_text(macros.numbers(analysis), encoding="utf-8")
    for table in made.tables:
        write_csv(table, folder / "tables")
    for figure in made.figures:
        save(figure, SCREEN, folder / "figures" / f"{figure.key}.svg")
    page = folder / "index.html"
    page.write_text(html.page(document.for_page(made), analysis, references, folder, downloads), encoding="utf-8")
    compiled = compiling.fit(
        folder, "report", len(made.spare), lambda kept: latex.write_source(made.arranged(kept), folder, style)
    )
    said = compiled.said + (f" ({compiled.pages} pages up to the references)" if compiled.pages else "")
    return Report(folder, page, compiled.pdf, (*_summary(read, made, folder, page), said), compiled.pages)


def _remove_stale(folder: Path, made: Document) -> None:
    """Removes what an earlier build wrote and this one will not, and the earlier PDF; nothing else."""
    written = folder / "build" / "written.txt"
    names = [f"tables/{t.key}.{end}" for t in made.tables for end in ("tex", "csv")]
    names += [f"figures/{f.key}.{end}" for f in made.figures for end in ("pdf", "svg")]
    if written.exists():
        for name in set(written.read_text(encoding="utf-8").split()) - set(names):
            if re.fullmatch(r"(tables|figures)/[^/]+", name):
                (folder / name).unlink(missing_ok=True)
    (folder / "report.pdf").unlink(missing_ok=True)
    written.parent.mkdir(exist_ok=True)
    written.write_text("\n".join(names) + "\n", encoding="utf-8")


def _summary(read: frame.Results, made: Document, folder: Path, page: Path) -> tuple[str, ...]:
    scored = len(read.scored)
    return (
        f"{scored} of {len(read.cells)} cells have a score",
        f"wrote {len(made.tables)} tables (.tex, .csv) and {len(made.figures)} figures (.pdf, .svg) to {folder}",
        f"wrote {page}",
    )

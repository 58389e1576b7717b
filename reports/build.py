"""From a results folder to the report: the one entry point."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.records import ResultsError
from reports import bibliography, document, frame, html, latex
from reports.structure import Document
from reports.style import screen
from reports.templating import resource


@dataclass(frozen=True)
class Report:
    """What was written. `lines` say it to the user; `pdf` is None where LaTeX did not run to its end."""

    folder: Path
    page: Path
    pdf: Path | None
    lines: tuple[str, ...]


def build_report(results: Path | str, output: Path | str | None = None) -> Report:
    """Writes tables, figures, the LaTeX document and the page of a results folder into `output` (by default
    `<results>/report`), and compiles the document where latexmk is installed.

    Raises ResultsError, with one line for the user, where the folder holds no results, a record cannot be
    read, or the output cannot be written.
    """
    root = Path(results)
    folder = Path(output) if output is not None else root / "report"
    read = frame.read(root)
    if not read.manifest.cells:
        raise ResultsError(f"{root}: the suite has no cells, so that there is nothing to report")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _write(read, folder)
    except OSError as error:
        if error.filename is None:  # not about a file of the user's
            raise
        raise ResultsError(f"{error.filename}: cannot write the report: {error.strerror}") from None


def _write(read: frame.Results, folder: Path) -> Report:
    cards = read.manifest.cards
    texts = [str(card.get("bibtex") or "") for kind in cards.values() for card in kind.values() if card]
    references = bibliography.merge([*texts, resource("references.bib")])
    made = document.compose(read, references)

    _remove_stale(folder, made)
    latex.write(made, read, references, folder)
    for table in made.tables:
        table.data.to_csv(folder / "tables" / f"{table.key}.csv", index=False)
    for figure in made.figures:
        with screen():
            figure.draw().savefig(folder / "figures" / f"{figure.key}.svg", metadata={"Date": None})
    page = folder / "index.html"
    page.write_text(html.page(made, read, references, folder), encoding="utf-8")
    said = latex.compile_pdf(folder)
    pdf = folder / "report.pdf"
    return Report(folder, page, pdf if pdf.exists() else None, (*_summary(read, made, folder, page), said))


def _remove_stale(folder: Path, made: Document) -> None:
    """Removes what an earlier build wrote and this one will not, and the earlier PDF; nothing else."""
    written = folder / "build" / "written.txt"
    names = [f"tables/{t.key}.{end}" for t in made.tables for end in ("tex", "csv")]
    names += [f"figures/{f.key}.{end}" for f in made.figures for end in ("pdf", "svg")]
    if written.exists():
        for name in set(written.read_text(encoding="utf-8").split()) - set(names):
            if Path(name).parent.name in ("tables", "figures") and ".." not in name:
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

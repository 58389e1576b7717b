"""Writes two results folders side by side: the same suite before and after a change, or on two machines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from reports.analysis.analysis import analyse
from reports.analysis.comparison import compare
from reports.build import copy_style, output_folder, read_results, writing
from reports.model.references import references_of, run_entry
from reports.model.writing import plural
from reports.render import compiling, latex, macros
from reports.render.bibtex import bibliography
from reports.render.csv import write_csv
from reports.render.templating import Style, read_style
from reports.results import Results
from reports.sections import comparison
from reports.sections.report import known_only


@dataclass(frozen=True)
class Comparison:
    """What was written, and lines that say so, warnings first."""

    folder: Path
    pdf: Path | None
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def build_comparison(a: Path, b: Path, output: Path | None = None, template: Path | None = None) -> Comparison:
    """Writes and compiles the comparison into `output` (by default `<b>/compared-with-<a>`). Raises ResultsError."""
    before, after = read_results(Path(a)), read_results(Path(b))
    folder = output_folder(Path(b), output, f"compared-with-{Path(a).resolve().name}")
    with writing("comparison"):
        return _write(before, after, folder, read_style(template))


def _write(a: Results, b: Results, folder: Path, style: Style) -> Comparison:
    copy_style(style, folder)
    references = references_of(a, b)
    # Two runs of one suite would share a key.
    runs = {f"run-{name}": replace(run_entry(one), key=f"run-{name}") for one, name in ((a, "A"), (b, "B"))}
    works = {key: entry for key, entry in references.items() if not key.startswith("run-")}
    found = compare(a, b)
    made = known_only(comparison.compose(found), works | runs)
    (folder / "build").mkdir(parents=True, exist_ok=True)
    latex.write_parts(made, folder, "bench report RESULTS OTHER")
    for table in made.tables:
        write_csv(table, folder / "tables")
    (folder / "run.bib").write_text(bibliography(runs.values()), encoding="utf-8")
    (folder / "references.bib").write_text(bibliography(works.values()), encoding="utf-8")
    (folder / "numbers.tex").write_text(macros.numbers(analyse(b)), encoding="utf-8")
    latex.write_source(made, folder, style)
    compiled = compiling.compile_pdf(folder, "report")
    warned = comparison.warnings(found.changes)
    lines = [f"not comparable as it stands: {one}" for one in warned]
    lines += [f"wrote {plural(len(made.tables), 'table')} (.tex, .csv) to {folder}", compiled.said]
    return Comparison(folder, compiled.pdf, tuple(lines), tuple(warned))

"""The document as LaTeX: sources, tables and figures as files of their own, and the PDF where latexmk is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from reports.bibliography import Entry
from reports.escape import is_balanced_formula, latex_code, latex_text
from reports.frame import Results, select, summary_of
from reports.quantities import count, points
from reports.structure import (
    Block,
    Cite,
    Code,
    Column,
    Document,
    Emphasis,
    Equation,
    Figure,
    Math,
    Number,
    Paragraph,
    Ref,
    Row,
    Section,
    Table,
    Text,
)
from reports.style import paper
from reports.templating import latex_environment

COMMAND = "latexmk -pdf report.tex"
# A LaTeX float cannot be broken: longer tables go on in a second one.
ROWS_PER_TABLE = 45
COMPILE_SECONDS = 180

_KINDS = {"tab": "Table", "fig": "Figure", "sec": "Section"}


def write(document: Document, results: Results, references: dict[str, Entry], output: Path) -> None:
    """Writes report.tex, numbers.tex, references.bib, run.bib, tables/*.tex and figures/*.pdf."""
    environment = latex_environment()
    for folder in ("tables", "figures"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    for one in document.tables:
        (output / "tables" / f"{one.key}.tex").write_text(table(one), encoding="utf-8")
    for figure in document.figures:
        with paper():
            figure.draw().savefig(output / "figures" / f"{figure.key}.pdf", metadata={"CreationDate": None})
    source = environment.get_template("report.tex.jinja").render(
        document=document,
        abstract=text(document.abstract),
        body="\n".join(_section(section, 0) for section in document.sections),
        appendix="\n".join(_section(section, 0) for section in document.appendix),
    )
    (output / "report.tex").write_text(source, encoding="utf-8")
    (output / "numbers.tex").write_text(_numbers(results), encoding="utf-8")
    bibliography = "\n".join(entry.bibtex() for entry in references.values())
    (output / "references.bib").write_text(bibliography, encoding="utf-8")
    (output / "run.bib").write_text(_run_entry(results).bibtex(), encoding="utf-8")


def compile_pdf(output: Path) -> str:
    """Compiles report.tex where latexmk is installed. Returns a line that says what came of it."""
    latexmk = shutil.which("latexmk")
    if latexmk is None:
        return f"LaTeX sources are ready; latexmk is not installed: to compile, run `{COMMAND}` in {output}"
    # Nothing in the sources may start a program, or read and write outside of the folder.
    safe = os.environ | {"openin_any": "p", "openout_any": "p", "max_print_line": "10000"}
    command = [
        latexmk, "-norc", "-pdf", "-pdflatex=pdflatex -no-shell-escape %O %S", "-interaction=nonstopmode",
        "-halt-on-error", "-outdir=build", "report.tex",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=output, env=safe, capture_output=True, timeout=COMPILE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"LaTeX did not finish within {COMPILE_SECONDS} s; see {output / 'build' / 'report.log'}"
    made = output / "build" / "report.pdf"
    if done.returncode != 0 or not made.exists():
        return f"LaTeX stopped: {_first_error(output / 'build' / 'report.log')} (see {output / 'build' / 'report.log'})"
    shutil.copyfile(made, output / "report.pdf")
    return f"wrote {output / 'report.pdf'}"


def _first_error(log: Path) -> str:
    if log.exists():
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        for i, line in enumerate(lines):
            if line.startswith("! "):
                where = next((after for after in lines[i : i + 12] if after.startswith("l.")), "")
                return f"{line[2:]} {where}".strip()
    return "no error was logged"


def text(pieces: Text) -> str:
    """Running text."""
    said = []
    for piece in pieces:
        match piece:
            case str():
                said.append(latex_text(piece))
            case Cite(keys, textual):
                said.append(f"\\cite{'t' if textual else 'p'}{{{','.join(keys)}}}")
            case Ref(label):
                said.append(f"{_KINDS[label.partition(':')[0]]}~\\ref{{{label}}}")
            case Math(latex, _):
                said.append(f"${latex}$")
            case Code(code):
                said.append(latex_code(code))
            case Emphasis(emphasis):
                said.append(f"\\emph{{{latex_text(emphasis)}}}")
    return "".join(said)


def _section(section: Section, depth: int) -> str:
    command = ("section", "subsection", "subsubsection")[min(depth, 2)]
    parts = [f"\\{command}{{{latex_text(section.title)}}}\n\\label{{{section.label}}}"]
    for block in section.blocks:
        # A formula belongs to the paragraph before it: an empty line would part them.
        if isinstance(block, Equation):
            parts[-1] += "\n" + _block(block)
        else:
            parts.append(_block(block))
    parts += [_section(inner, depth + 1) for inner in section.sections]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph(pieces, heading):
            return (f"\\paragraph{{{latex_text(heading)}}} " if heading else "") + text(pieces)
        case Equation(formula):
            return equation(formula)
        case Table():
            return f"\\input{{tables/{block.key}}}"
        case Figure():
            star, width = ("*", "\\textwidth") if block.wide else ("", "\\columnwidth")
            return (
                f"\\begin{{figure{star}}}[t]\n\\centering\n"
                f"\\includegraphics[width={width}]{{figures/{block.key}.pdf}}\n"
                f"\\caption{{{text(block.caption)}}}\n\\label{{{block.label}}}\n\\end{{figure{star}}}"
            )


def equation(formula: str) -> str:
    """A displayed formula, shrunk to the column if it is wider; as code if it cannot be set safely."""
    if not is_balanced_formula(formula):
        return f"\\begin{{quote}}\\small {latex_code(formula)}\\end{{quote}}"
    if ("\\\\" in formula or "&" in formula) and "\\begin{" not in formula:
        formula = f"\\begin{{aligned}}{formula}\\end{{aligned}}"
    return f"\\benchformula{{{formula.strip()}}}"


def table(one: Table) -> str:
    """A table to \\input: a float, or several where it is long. Needs booktabs, array and graphicx."""
    parts = [one.rows[i : i + ROWS_PER_TABLE] for i in range(0, len(one.rows), ROWS_PER_TABLE)] or [()]
    spread = [
        column.kind == "number"
        and any(isinstance(r.cells[i], Number) and (r.cells[i].spread or r.cells[i].note) for r in one.rows)  # type: ignore[union-attr]
        for i, column in enumerate(one.columns)
    ]
    return "\n".join(
        latex_environment()
        .get_template("table.tex.jinja")
        .render(
            key=one.key,
            wide=one.wide,
            continued=i > 0,
            caption=text(one.caption),
            label=one.label,
            columns="".join(_column(c, s) for c, s in zip(one.columns, spread, strict=True)),
            head=_head(one.columns, spread),
            rows=[("\\addlinespace\n" if row.gap and n else "") + _row(row, spread) for n, row in enumerate(rows)],
        )
        for i, rows in enumerate(parts)
    )


def _column(column: Column, spread: bool) -> str:
    if column.kind == "text":
        return f">{{\\raggedright\\arraybackslash}}p{{{column.share:.2f}\\linewidth}}"
    return "l" if column.kind == "label" else "r@{}l" if spread else "r"


def _head(columns: tuple[Column, ...], spread: list[bool]) -> str:
    """Up to three lines: groups with their rules, titles, units."""
    lines = []
    if any(column.group for column in columns):
        groups, rules, at, i = [], [], 1, 0
        while i < len(columns):
            j = i
            while j + 1 < len(columns) and columns[i].group and columns[j + 1].group == columns[i].group:
                j += 1
            width = sum(1 + s for s in spread[i : j + 1])
            title = columns[i].group
            groups.append(f"\\multicolumn{{{width}}}{{c}}{{{latex_text(title)}}}" if title else "&" * (width - 1))
            if title:
                rules.append(f"\\cmidrule(lr){{{at}-{at + width - 1}}}")
            at, i = at + width, j + 1
        lines.append(" & ".join(groups) + r" \\" + "".join(rules))
    lines.append(" & ".join(_title(c, c.title, s) for c, s in zip(columns, spread, strict=True)) + r" \\")
    if any(column.unit for column in columns):
        units = [_title(c, f"({c.unit})" if c.unit else "", s) for c, s in zip(columns, spread, strict=True)]
        lines.append(" & ".join(units) + r" \\")
    return "\n".join(lines)


def _title(column: Column, title: str, spread: bool) -> str:
    if column.kind != "number":
        return latex_text(title)
    return f"\\multicolumn{{{1 + spread}}}{{{'c' if spread else 'r'}}}{{{latex_text(title)}}}"


def _row(row: Row, spread: list[bool]) -> str:
    return " & ".join(_cell(cell, s) for cell, s in zip(row.cells, spread, strict=True)) + r" \\"


def _cell(cell: str | Number | None, spread: bool) -> str:
    if isinstance(cell, Number):
        main = latex_text(cell.text)
        if not spread:
            return main
        beside = f"\\,$\\pm$\\,{latex_text(cell.spread)}" if cell.spread else ""
        return f"{main} & {beside}" + (f"\\,({latex_text(cell.note)})" if cell.note else "")
    said = "--" if cell is None else latex_text(cell)
    return f"\\multicolumn{{2}}{{c}}{{{said}}}" if spread else said


def _numbers(results: Results) -> str:
    """Macros for every aggregate, so that prose never goes stale."""
    lines = []
    for backbone in results.backbones:
        for label in results.labels:
            cells = select(results.scored, backbone=backbone, label=label)
            first = (backbone == results.backbones[0],)
            for task in results.tasks:
                score, _ = summary_of(select(cells, task=task), "score")
                if score.n:
                    spread = "" if score.sd is None else f"\\,$\\pm$\\,{points(score.sd)}"
                    values = {"score": points(score.mean) + spread, "mean": points(score.mean), "n": str(score.n)}
                    values["sd"] = "--" if score.sd is None else points(score.sd)
                    for what, value in values.items():
                        lines += _define(what, backbone, label, task, value, *first)
            parameters, _ = summary_of(cells, "adapter_parameters")
            if parameters.n:
                lines += _define("parameters", backbone, label, "", count(parameters.mean), *first)
            peak, _ = summary_of(cells, "peak_memory_bytes")
            if peak.n:
                lines += _define("peakmemory", backbone, label, "", f"{peak.mean / 1e6:,.0f}\\,MB", *first)
    return latex_environment().get_template("numbers.tex.jinja").render(lines=lines)


def _define(what: str, backbone: str, label: str, task: str, value: str, is_first: bool) -> list[str]:
    """Definitions under the backbone's name, and without it for the first backbone."""
    names = [f"{backbone}|{label}|{task}"] + ([f"|{label}|{task}"] if is_first else [])
    safe = [re.sub(r"[^A-Za-z0-9_@.:+=/|-]", "-", name) for name in names]
    return [f"\\benchdefine{{{what}|{name}}}{{{value}}}" for name in safe]


def _run_entry(results: Results) -> Entry:
    environments = results.environments()
    first = environments[0][0] if environments else {}
    version = (first.get("versions") or {}).get("adaptbench")
    notes = [f"suite {results.name}", f"{len(results.cells)} cells"]
    notes += [f"adaptbench {version}"] if version else []
    notes += [f"commit {str(first['commit'])[:12]}"] if first.get("commit") else []
    key = "run-" + (re.sub(r"[^A-Za-z0-9-]+", "-", results.name).strip("-") or "results")
    fields = {
        "author": "{Your Name}",
        "title": re.sub(r"[{}]", "", f"Results of the benchmark run {results.name}"),
        "year": results.manifest.created[:4],
        "note": re.sub(r"[{}]", "", ", ".join(notes)),
    }
    return Entry("misc", key, fields)

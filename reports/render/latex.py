"""The document as LaTeX: sources, tables and figures as files of their own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from reports.drawing.theme import PAPER, save
from reports.model.document import (
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
    Prompt,
    Ref,
    Row,
    Section,
    Source,
    Table,
    Text,
)
from reports.model.references import Entry
from reports.model.writing import shorten
from reports.render.bibtex import bibliography
from reports.render.compiling import END
from reports.render.escape import latex_code, latex_text
from reports.render.formulas import NOT_MATHEMATICS, layout_of
from reports.render.scripts import draw_pictures
from reports.render.templating import Style, latex_environment, render

# A LaTeX float cannot be broken: longer tables go on in a second one.
LINES_PER_TABLE = 48
LETTERS_PER_LINE = 120
# The section of the appendix that is a file of its own as well.
STAND_ALONE = "checklist"

_KINDS = {"tab": "Table", "fig": "Figure", "sec": "Section"}


def write_parts(document: Document, output: Path, command: str) -> None:
    """Every table and figure as a file of its own, and the answers to checklists; `command` writes them anew."""
    for folder in ("tables", "figures"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    for one in document.tables:
        (output / "tables" / f"{one.key}.tex").write_text(table(one, command), encoding="utf-8")
    for figure in document.figures:
        save(figure, PAPER, output / "figures" / f"{figure.key}.pdf")
    for section in document.appendix:
        if section.key == STAND_ALONE:
            source = f"% Written by `{command}`. To \\input, with numbers.tex and the folder tables/ beside it.\n"
            (output / f"{section.key}.tex").write_text(source + _section(section, 0), encoding="utf-8")


def write_source(document: Document, output: Path, style: Style) -> None:
    """report.tex, from our template or the user's."""
    values = {
        "document": document,
        "abstract": text(document.abstract),
        "body": "\n".join(_section(section, 0) for section in document.sections),
        "appendix": "\n".join(_section(section, 0) for section in document.appendix),
        "end": END,
    }
    source = render(style, "report.tex.jinja", values)
    (output / "report.tex").write_text(source, encoding="utf-8")
    draw_pictures(output)


def write_references(references: dict[str, Entry], run: Entry, output: Path) -> None:
    """references.bib and run.bib."""
    others = (entry for key, entry in references.items() if key != run.key)
    (output / "references.bib").write_text(bibliography(others), encoding="utf-8")
    (output / "run.bib").write_text(bibliography([run]), encoding="utf-8")


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
            case Math(latex):
                said.append(f"${latex}$")
            case Code(code):
                said.append(latex_code(code))
            case Emphasis(emphasis):
                said.append(f"\\emph{{{latex_text(emphasis)}}}")
    return "".join(said)


def _section(section: Section, depth: int) -> str:
    command = ("section", "subsection", "subsubsection")[min(depth, 2)]
    parts = [f"\\{command}{{{latex_text(section.title)}}}\n\\label{{{section.label}}}"]
    # What spans both columns can stand on the next page at the earliest: it comes first.
    early = [block for block in section.blocks if isinstance(block, (Table, Figure)) and block.wide]
    for block in [*early, *(block for block in section.blocks if block not in early)]:
        # A formula belongs to the paragraph before it: an empty line would part them.
        if isinstance(block, Equation):
            parts[-1] += "\n" + _block(block)
        else:
            parts.append(_block(block))
    parts += [_section(inner, depth + 1) for inner in section.sections]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Prompt():
            return f"\\yourwords{{{block.key}}}{{{text(block.text)}}}"
        case Paragraph(pieces, heading):
            return (f"\\paragraph{{{latex_text(heading)}}} " if heading else "") + text(pieces)
        case Equation(formula):
            return equation(formula)
        case Table():
            return f"\\input{{tables/{block.key}}}"
        case Figure():
            star = "*" if block.wide else ""
            return (
                f"\\begin{{figure{star}}}[htbp]\n\\centering\n"
                f"\\benchfigure{{figures/{block.key}.pdf}}\n"
                f"\\caption{{{text(block.caption)}}}\n\\label{{{block.label}}}\n\\end{{figure{star}}}"
            )


def equation(formula: str) -> str:
    """A displayed formula, shrunk to the column if it is wider; as code if it is no mathematics by our list."""
    layout = layout_of(formula)
    if layout is None:
        return f"\\begin{{quote}}\\small {latex_code(shorten(formula))} ({latex_text(NOT_MATHEMATICS)})\\end{{quote}}"
    if layout == "lines":
        formula = f"\\begin{{aligned}}{formula}\\end{{aligned}}"
    return f"\\benchformula{{{formula.strip()}}}"


def table(one: Table, command: str) -> str:
    """A table to be input: a float, or several where it is long. Needs booktabs, array and graphicx. Its first line
    says which command writes it anew."""
    parts = _cut(one)
    source = f"% Written by `{command}`; in full precision: tables/{one.key}.csv.\n"
    return source + "\n".join(
        latex_environment()
        .get_template("table.tex.jinja")
        .render(
            key=one.key,
            wide=one.wide,
            part=i + 1,
            caption=text(one.caption),
            label=one.label,
            tabular=tabular(replace(one, rows=rows)),
        )
        for i, rows in enumerate(parts)
    )


def tabular(one: Table) -> str:
    """The table without caption or float."""
    spread = [
        column.kind == "number"
        and any(isinstance(r.cells[i], Number) and (r.cells[i].spread or r.cells[i].note) for r in one.rows)  # type: ignore[union-attr]
        for i, column in enumerate(one.columns)
    ]
    rows = [("\\addlinespace\n" if row.gap and n else "") + _row(row, spread) for n, row in enumerate(one.rows)]
    columns = "".join(_column(c, s) for c, s in zip(one.columns, spread, strict=True))
    begin, end = f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n\\toprule", "\\bottomrule\n\\end{tabular}"
    return "\n".join([begin, _head(one.columns, spread), "\\midrule", *rows, end])


def _cut(one: Table) -> list[tuple[Row, ...]]:
    """The rows in parts that fit a page each, by the lines that their texts will take."""
    parts: list[list[Row]] = [[]]
    lines, label = 0.0, one.rows[0].cells[0] if one.rows else None
    for row in one.rows:
        tall = max(
            math.ceil(len(cell) / (column.share * LETTERS_PER_LINE)) if _wraps(cell, column) else 1
            for cell, column in zip(row.cells, one.columns, strict=True)
        )
        label = row.cells[0] or label
        if parts[-1] and lines + tall > LINES_PER_TABLE:
            parts.append([])
            lines = 0
            row = replace(row, cells=(label, *row.cells[1:]))  # what is left out within a part is said in the next
        parts[-1].append(row)
        lines += tall + row.gap * 0.5
    return [tuple(part) for part in parts]


def _wraps(cell: str | Number | None, column: Column) -> TypeGuard[str]:
    return isinstance(cell, str) and column.kind == "text"


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
    if isinstance(cell, Source):
        return f"\\citealp{{{cell.key}}}"
    said = "--" if cell is None else latex_text(cell)
    return f"\\multicolumn{{2}}{{c}}{{{said}}}" if spread else said

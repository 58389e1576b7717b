"""Blocks of the document as mark-up. Every text is escaped; only `Markup` is mark-up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from markupsafe import Markup, escape

from reports.model.document import (
    Block,
    Cite,
    Code,
    Column,
    Emphasis,
    Equation,
    Figure,
    Math,
    Number,
    Paragraph,
    Ref,
    Section,
    Table,
    Text,
)
from reports.model.references import Entry
from reports.render.inline_svg import formula_svg, inline_svg
from reports.render.mathml import inline_math

# What comes first on a page that is looked at rather than read through.
_ORDER = ("results", "limitations", "setup", "introduction", "background", "tradeoff")


def records_link(cells: Sequence[str]) -> str:
    """Where the page shows the records behind a number."""
    return f"#cell-{cells[0]}" if len(cells) == 1 else f"#records={','.join(cells)}"


def in_page_order(sections: tuple[Section, ...]) -> list[Section]:
    """The sections of _ORDER first, at every level; the others as they are."""
    ordered = sorted(sections, key=lambda s: _ORDER.index(s.key) if s.key in _ORDER else len(_ORDER))
    return [replace(section, sections=tuple(in_page_order(section.sections))) for section in ordered]


def numbering(sections: list[Section]) -> dict[str, str]:
    """What references print: "Table 2", in the order of the page."""
    names: dict[str, str] = {}
    counts = {"Table": 0, "Figure": 0}

    def visit(section: Section) -> None:
        names[section.label] = f"“{section.title}”"
        for block in section.blocks:
            if isinstance(block, (Table, Figure)):
                kind = type(block).__name__
                counts[kind] += 1
                names[block.label] = f"{kind} {counts[kind]}"
        for inner in section.sections:
            visit(inner)

    for section in sections:
        visit(section)
    return names


@dataclass
class Writer:
    """Renders blocks, and notes which works they cite."""

    references: dict[str, Entry]
    output: Path
    names: dict[str, str]

    def __post_init__(self) -> None:
        self.cited: dict[str, Entry] = {}
        self.formulas = 0

    def section(self, section: Section, level: int) -> Markup:
        """What is below a section's heading, which is of this level."""
        parts = [self.block(block) for block in section.blocks]
        for inner in section.sections:
            parts.append(
                Markup('<section id="{}"><h{}>{}</h{}>{}</section>').format(
                    _anchor(inner.label), level + 1, inner.title, level + 1, self.section(inner, level + 1)
                )
            )
        return Markup("\n").join(parts)

    def block(self, block: Block) -> Markup:
        match block:
            case Paragraph(pieces, heading):
                head = Markup("<b>{}</b> ").format(heading) if heading else ""
                return Markup("<p>{}{}</p>").format(head, self.text(pieces))
            case Equation(formula):
                # Methods may share a formula: the place gives its drawing ids, not what is drawn.
                self.formulas += 1
                return Markup('<div class="formula">{}</div>').format(formula_svg(formula, f"formula-{self.formulas}"))
            case Table():
                return self.table(block)
            case Figure():
                svg = (self.output / "figures" / f"{block.key}.svg").read_text(encoding="utf-8")
                return Markup(
                    '<figure id="{}" class="{}"><div class="scroll" tabindex="0">{}</div>'
                    "<figcaption><b>{}.</b> {}</figcaption></figure>"
                ).format(
                    _anchor(block.label),
                    "wide" if block.wide else "narrow",
                    inline_svg(svg, block.key, block.alt),
                    self.names[block.label],
                    self.text(block.caption),
                )

    def text(self, pieces: Text) -> Markup:
        """Running text."""
        said = []
        for piece in pieces:
            match piece:
                case str():
                    said.append(escape(piece))
                case Cite(keys, textual):
                    said.append(self._cite(keys, textual))
                case Ref(label):
                    name = self.names.get(label, label)
                    said.append(Markup('<a href="#{}">{}</a>').format(_anchor(label), name))
                case Math(latex):
                    said.append(inline_math(latex))
                case Code(code):
                    said.append(Markup("<code>{}</code>").format(code))
                case Emphasis(emphasis):
                    said.append(Markup("<em>{}</em>").format(emphasis))
        return Markup("").join(said)

    def _cite(self, keys: tuple[str, ...], textual: bool) -> Markup:
        links = []
        for key in keys:
            entry = self.references[key]
            self.cited[key] = entry
            name = f"{entry.short} ({entry.year})" if textual else f"{entry.short}, {entry.year}"
            links.append(Markup('<a href="#ref-{}">{}</a>').format(key, name))
        joined = Markup("; ").join(links)
        return joined if textual else Markup("({})").format(joined)

    def table(self, table: Table) -> Markup:
        """A table with its caption and links to its files."""
        beside = [_beside(table, i) for i in range(len(table.columns))]
        rows = []
        for row in table.rows:
            cells = Markup("").join(
                _table_cell(cell, column.kind, style)
                for cell, column, style in zip(row.cells, table.columns, beside, strict=True)
            )
            rows.append(Markup("<tr{}>{}</tr>").format(Markup(' class="gap"') if row.gap else "", cells))
        return Markup(
            '<figure id="{}" class="table {}"><figcaption><b>{}.</b> {} <a class="file" href="tables/{}.csv">csv</a> '
            '<a class="file" href="tables/{}.tex">tex</a></figcaption><div class="scroll" tabindex="0">'
            "<table><thead>{}</thead><tbody>{}</tbody></table></div></figure>"
        ).format(
            _anchor(table.label),
            "dense" if len(table.columns) > 8 else "",
            self.names[table.label],
            self.text(table.caption),
            table.key,
            table.key,
            _head(table.columns),
            Markup("\n").join(rows),
        )


def _head(columns: tuple[Column, ...]) -> Markup:
    """A line of groups, where there are any, and the line of titles, which sort."""
    groups = Markup("")
    if any(column.group for column in columns):
        for title, members in groupby(columns, key=lambda column: column.group):
            width = len(list(members))
            cell = Markup('<th colspan="{}" scope="colgroup">{}</th>' if title else '<td colspan="{}"></td>')
            groups += cell.format(width, title)
        groups = Markup('<tr class="groups">{}</tr>').format(groups)
    titles = Markup("").join(
        Markup('<th class="{}" scope="col"><button type="button">{}</button></th>').format(
            column.kind, f"{column.title} ({column.unit})" if column.unit else column.title
        )
        for column in columns
    )
    return groups + Markup("<tr>{}</tr>").format(titles)


def _beside(table: Table, column: int) -> str:
    """The class of what stands beside the column's numbers, wide enough for the widest; empty for nothing."""
    numbers = [row.cells[column] for row in table.rows if isinstance(row.cells[column], Number)]
    if any(isinstance(n, Number) and n.note for n in numbers):
        return "sd noted"
    return "sd" if any(isinstance(n, Number) and n.spread for n in numbers) else ""


def _table_cell(cell: str | Number | None, kind: str, beside: str) -> Markup:
    if cell is None:
        pad = Markup('<span class="{}"></span>').format(beside) if beside else ""
        return Markup('<td class="{} none">–{}</td>').format(kind, pad)
    if isinstance(cell, str):
        tag = Markup("th" if kind == "label" else "td")
        scope = Markup(' scope="row"') if kind == "label" else ""
        return Markup('<{} class="{}"{}>{}</{}>').format(tag, kind, scope, cell, tag)
    shown = escape(cell.text)
    if beside:
        said = (f"± {cell.spread}" if cell.spread else "") + (f" ({cell.note})" if cell.note else "")
        shown += Markup(' <span class="{}">{}</span>').format(beside, said)
    if cell.cells:
        n = len(cell.cells)
        title = f"from {n} record{'s' if n > 1 else ''}"
        shown = Markup('<a href="{}" title="{}">{}</a>').format(records_link(cell.cells), title, shown)
    return Markup('<td class="number" data-value="{}">{}</td>').format(repr(float(cell.value)), shown)


def _anchor(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", label)

"""The document as one self-contained page: no request leaves it, and no text in it can become mark-up."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image

from reports import setup
from reports.bibliography import Entry
from reports.frame import NOT_RUN, SCORED, Results
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
    Section,
    Table,
    Text,
    listing,
)
from reports.style import FAINT, FRONT, INK, MEMORY_SHADES, MUTED, family_colors, screen
from reports.templating import html_environment, resource

# What comes first on a page that is looked at rather than read through.
_ORDER = ("results", "limitations", "setup", "introduction", "background", "tradeoff")


def page(document: Document, results: Results, references: dict[str, Entry], output: Path) -> str:
    """The page as one text. Figures are read from `output`/figures; links to logs are relative to `output`."""
    sections = _in_page_order(document.sections)
    writer = _Writer(references, output, _numbering(sections))
    body = [{"key": section.key, "title": section.title, "html": writer.section(section, 2)} for section in sections]
    script = resource("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    abstract = writer.text(document.abstract)
    environments = [environment for environment, _ in results.environments()]
    return (
        html_environment()
        .get_template("page.html.jinja")
        .render(
            document=document,
            # Only our own script may run, whatever a record holds; style attributes come with the figures.
            policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}';"
            " base-uri 'none'; form-action 'none'",
            css=Markup(resource("page.css")),
            script=Markup(script),
            abstract=abstract,
            sections=body,
            cells=[_cell(results, cell_id, environments, output) for cell_id in results.manifest.cells],
            several_backbones=len(results.backbones) > 1,
            environments=[
                {"pairs": setup.environment_pairs(environment), "cells": len(ids)}
                for environment, ids in results.environments()
            ],
            references=[_reference(entry) for entry in sorted(writer.cited.values(), key=_by_author)],
        )
    )


def _in_page_order(sections: tuple[Section, ...]) -> list[Section]:
    """The sections of _ORDER first, at every level; the others as they are."""
    ordered = sorted(sections, key=lambda s: _ORDER.index(s.key) if s.key in _ORDER else len(_ORDER))
    return [replace(section, sections=tuple(_in_page_order(section.sections))) for section in ordered]


def _numbering(sections: list[Section]) -> dict[str, str]:
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
class _Writer:
    """Renders blocks, and notes which works they cite."""

    references: dict[str, Entry]
    output: Path
    names: dict[str, str]

    def __post_init__(self) -> None:
        self.cited: dict[str, Entry] = {}

    def section(self, section: Section, level: int) -> Markup:
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
                return Markup('<div class="formula">{}</div>').format(formula_svg(formula))
            case Table():
                return self.table(block)
            case Figure():
                svg = (self.output / "figures" / f"{block.key}.svg").read_text(encoding="utf-8")
                return Markup(
                    '<figure id="{}" class="{}"><div class="scroll" tabindex="0">{}</div>'
                    "<figcaption><b>{}.</b> {}</figcaption></figure>"
                ).format(_anchor(block.label), "wide" if block.wide else "narrow",
                         inline_svg(svg, block.key, block.alt), self.names[block.label],
                         self.text(block.caption))  # fmt: skip

    def text(self, pieces: Text) -> Markup:
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
                case Math(_, plain):
                    subscripts = re.sub(r"_(\w)", r"<sub>\1</sub>", str(escape(plain)))
                    said.append(Markup("<i>{}</i>").format(Markup(subscripts)))
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
            _anchor(table.label), "dense" if len(table.columns) > 8 else "", self.names[table.label],
            self.text(table.caption), table.key, table.key, _head(table.columns), Markup("\n").join(rows),
        )  # fmt: skip


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
        title = f"from {n} record{'s' if n > 1 else ''}: {', '.join(cell.cells)}"
        shown = Markup('<a href="#cell-{}" title="{}">{}</a>').format(cell.cells[0], title, shown)
    return Markup('<td class="number" data-value="{}">{}</td>').format(repr(float(cell.value)), shown)


def _cell(results: Results, cell_id: str, environments: list[dict], output: Path) -> dict[str, Any]:
    """What the page tells of one cell."""
    cell = results.manifest.cells[cell_id]
    record = results.records.get(cell_id)
    status = record.status if record else NOT_RUN
    score = float(str(results.cells.at[cell_id, "score"]))
    adapter = record.parameters.adapter if record and record.parameters else None
    found: dict[str, Any] = {
        "id": cell_id,
        "cell": cell,
        "status": status,
        "score": points(score) if math.isfinite(score) else None,
        "value": score,
        "parameters": None if adapter is None else count(adapter),
        "adapter": adapter,
        "reason": (record.reason or "") if record else "",
        "record": record,
        "scored": status in SCORED,
        "hyperparameters": [(k, setup.value_text(v)) for k, v in cell.hyperparameters.items()],
        "budget": [(k.replace("_", " "), setup.value_text(v)) for k, v in cell.budget.model_dump().items()],
        "metrics": [],
        "cost": [],
        "files": [],
        "environment": None,
    }
    if record is None:
        return found
    for name in dict.fromkeys([*record.test, *record.validation]):
        values = [points(m[name]) if name in m else "–" for m in (record.test, record.validation)]
        found["metrics"].append((name.replace("_", " "), *values))
    if record.cost is not None:
        found["cost"] = _cost(record.cost.model_dump(exclude={"protocol", "phases"}))
    if record.environment:
        found["environment"] = 1 + environments.index(record.environment)
    folder = results.root / "cells" / cell_id
    for name in ("record.json", "log.txt"):
        if (folder / name).exists():
            found["files"].append((name, Path(os.path.relpath(folder / name, output)).as_posix()))
    return found


def _cost(figures: dict[str, float | None]) -> list[tuple[str, str]]:
    said = []
    for name, value in figures.items():
        if value is None:
            continue
        if name.endswith("_bytes"):
            text = f"{value / 1e6:,.2f} MB"
        elif name.endswith("_seconds"):
            text = f"{value * 1e3:,.2f} ms"
        else:
            text = f"{value:,.0f}"
        said.append((name.removesuffix("_bytes").removesuffix("_seconds").replace("_", " "), text))
    return said


def _reference(entry: Entry) -> dict[str, Any]:
    venue = next((entry.plain(f) for f in ("booktitle", "journal", "howpublished", "publisher") if entry.plain(f)), "")
    authors = ["et al." if name == "others" else name for name in entry.authors]
    who = ", ".join(authors[:-1]) + " et al." if authors[-1:] == ["et al."] else listing(authors) if authors else ""
    return {"key": entry.key, "authors": who, "year": entry.year, "title": entry.plain("title"), "venue": venue,
            "url": entry.url}  # fmt: skip


def _by_author(entry: Entry) -> tuple[str, str]:
    return entry.short.lower(), entry.year


def _anchor(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", label)


def _variables() -> dict[str, str]:
    """Colours of figures and what stands for them on the page."""
    found = {INK: "var(--ink)", MUTED: "var(--muted)", FAINT: "var(--line)", FRONT: "var(--front)",
             "#ffffff": "var(--surface)"}  # fmt: skip
    found |= {color: f"var(--family-{family})" for family, color in family_colors().items()}
    for i, (shade, _) in enumerate(MEMORY_SHADES):
        found[shade] = f"var(--memory-{i})"
    return found


def inline_svg(svg: str, key: str, alt: str) -> Markup:
    """A matplotlib SVG as part of the page: named, with ids of its own and the page's colours."""
    start = svg.index("<svg")
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg[start:], flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{key}-", svg)
    for color, variable in _variables().items():
        svg = svg.replace(color, variable)
    head = Markup('<svg role="img" aria-label="{}"').format(alt)
    return head + Markup(svg[len("<svg") :])


@lru_cache(maxsize=256)
def formula_svg(formula: str) -> Markup:
    """A formula drawn by matplotlib; as code where its mathematics is not understood."""
    # matplotlib sets single lines only: of environments, those that merely stack lines can be undone.
    stacked = re.sub(r"\\(?:begin|end)\{(?:aligned|align|gathered|gather|split)\*?\}", "", formula)
    lines = re.split(r"\\\\", stacked.replace("&", ""))
    try:
        drawn = [_math_svg(line.strip()) for line in lines if line.strip()]
    except (ValueError, RuntimeError):
        drawn = []
    if not drawn:
        return Markup("<code>{}</code>").format(formula)
    spoken = Markup('<span class="spoken">{}</span>').format(formula)
    return Markup("<br>").join(drawn) + spoken


def _math_svg(line: str) -> Markup:
    target = io.StringIO()
    line = re.sub(r"\\[lr]Vert(?![a-z])", r"\\|", re.sub(r"\\frac(?![a-z])", r"\\dfrac", line))
    with screen(), mpl.rc_context({"mathtext.fontset": "cm", "svg.fonttype": "path", "text.parse_math": True}):
        math_to_image(f"${line}$", target, FontProperties(size=13), format="svg", color=INK)
    key = "m" + hashlib.sha256(line.encode()).hexdigest()[:8]
    return inline_svg(target.getvalue(), key, line)

"""Workbooks give what their files store, read by hand-made XML as ECMA-376 has it, or one line that says why not."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import pandas as pd
import pytest

from tasks import tables, workbooks

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
# The second format shows 7 as 007, the third is one of dates.
STYLES = (
    f'<styleSheet {MAIN}><numFmts count="1"><numFmt numFmtId="164" formatCode="000"/></numFmts>'
    '<cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"/></cellXfs></styleSheet>'
)


def text(value: str) -> str:
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def number(value: str, style: int = 0) -> str:
    return f'<c s="{style}"><v>{value}</v></c>'


HEADER = [text("text"), text("label")]


def workbook(path: Path, *sheets: tuple[str, list[list[str]]]) -> Path:
    """A file with these sheets of rows of cells, written without any library."""
    numbers = range(1, len(sheets) + 1)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'spreadsheetml.sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="application/vnd.openxmlformats-'
            'officedocument.spreadsheetml.worksheet+xml"/>'
            for n in numbers
        )
        + '<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'spreadsheetml.styles+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r" '
        f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{OFFICE}"><sheets>'
        + "".join(f'<sheet name="{sheets[n - 1][0]}" sheetId="{n}" r:id="s{n}"/>' for n in numbers)
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        + "".join(
            f'<Relationship Id="s{n}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
        )
        + f'<Relationship Id="st" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": STYLES,
    }
    for n, (_, rows) in zip(numbers, sheets, strict=True):
        lines = "".join(f"<row>{''.join(row)}</row>" for row in rows)
        parts[f"xl/worksheets/sheet{n}.xml"] = f"<worksheet {MAIN}><sheetData>{lines}</sheetData></worksheet>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in parts.items():
            packed.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{content}')
    return path


def read(path: Path, sheet: str | None = None) -> tables.Table:
    return tables.read(path, path.read_bytes(), ("text", "label"), sheet)


def refusal(path: Path, sheet: str | None = None) -> str:
    with pytest.raises(ValueError, match=path.name) as caught:
        read(path, sheet)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_cells_are_what_the_file_stores_and_not_what_a_format_shows(tmp_path: Path):
    rows = [
        [text("007"), number("7", style=1)],
        [text("=1+1"), number("1.50")],
        [],
        [text(" two\nlines "), '<c t="b"><v>1</v></c>'],
        ["<c/>", "<c/>"],
        [number("1E2"), text("#DIV/0!")],
    ]
    table = read(workbook(tmp_path / "a.xlsx", ("Data", [HEADER, *rows])))
    assert table.columns == {"text": ["007", "=1+1", " two\nlines ", 100.0], "label": [7, 1.5, True, "#DIV/0!"]}
    assert [table.place(row).rpartition(" ")[2] for row in range(4)] == ["2", "3", "5", "7"], "as Excel numbers them"
    assert "a.xlsx, sheet 'Data', row 7" in table.place(3)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('<c t="str"><f>A1&amp;"x"</f><v>stale</v></c>', "row 3: the column 'text' holds a formula, '=A1&\"x\"'"),
        ("<c><f>SUM(B1:B2)</f></c>", "row 3: the column 'text' holds a formula"),
        ('<c t="e"><v>#DIV/0!</v></c>', "row 3: the column 'text' holds an error, '#DIV/0!'"),
        (number("46000", style=2), "row 3: the column 'text' holds a date, '2025-12-09 00:00:00', which Excel"),
    ],
)
def test_what_is_no_certain_value_is_refused_with_its_row(tmp_path: Path, cell: str, expected: str):
    odd = workbook(tmp_path / "a.xlsx", ("Data", [HEADER, [text("a"), number("1")], [cell, number("2")]]))
    assert expected in refusal(odd)


def test_what_other_columns_hold_does_not_matter(tmp_path: Path):
    rows = [[text("date"), *HEADER], [number("46000", style=2), text("a"), number("1")]]
    assert read(workbook(tmp_path / "a.xlsx", ("Data", rows))).columns == {"text": ["a"], "label": [1]}


def test_sheets(tmp_path: Path):
    first, second = [HEADER, [text("a"), number("1")]], [HEADER, [text("b"), number("2")]]
    path = workbook(tmp_path / "a.xlsx", ("One", first), ("Two", second))
    assert read(path).columns["text"] == ["a"] and read(path).understood == "Excel, the first of 2 sheets"
    assert read(path, "Two").columns["text"] == ["b"] and read(path, "Two").understood == "Excel"
    assert refusal(path, "Three").endswith("no sheet 'Three'; there are 'One', 'Two'")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[text("text"), text("label"), text("text")], [text("a"), text("b"), text("c")]], "'text' is there 2 times"),
        ([[text("Text"), text("label")], [text("a"), text("b")]], "no column 'text'; there are 'Text', 'label'"),
        ([HEADER], "a.xlsx: holds no rows"),
        ([], "no column 'text'"),
    ],
)
def test_headers_and_rows_that_are_not_there(tmp_path: Path, rows: list[list[str]], expected: str):
    assert expected in refusal(workbook(tmp_path / "a.xlsx", ("Data", rows)))


def test_an_empty_cell_is_missing(tmp_path: Path):
    from tasks import columns

    table = read(workbook(tmp_path / "a.xlsx", ("Data", [HEADER, [text("a"), number("1")], [text("b")]])))
    with pytest.raises(ValueError, match=r"row 3: the column 'label' is missing"):
        columns.numbers({"train": (table, "label")})


def test_a_file_that_is_cut_off_or_a_bomb_is_refused_in_one_line(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.xlsx"
    pd.DataFrame({"text": [f"text {i}" for i in range(300)], "label": 1}).to_excel(path, index=False)
    whole = path.read_bytes()
    assert len(read(path)) == 300
    path.write_bytes(whole[: len(whole) // 2])
    assert "is no workbook that can be read" in refusal(path)
    path.write_bytes(whole)
    monkeypatch.setattr(workbooks, "LARGEST", 1000)
    assert "would unpack to" in refusal(path)


def test_without_the_package_a_line_says_how_to_get_it(tmp_path: Path, monkeypatch):
    path = workbook(tmp_path / "a.xlsx", ("Data", [HEADER, [text("a"), number("1")]]))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "openpyxl" else find(name))
    assert refusal(path).endswith("a.xlsx: reading workbooks takes openpyxl: pip install openpyxl")

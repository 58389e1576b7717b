"""Rows from a workbook of Excel (.xlsx), as the file stores them and not as its formats show them.

What Excel has changed when the data were typed in or opened is not seen in the file: 007 is stored as the number 7, and
1-2 as a date. So dates are refused, as are formulas, whose values are whatever was computed last, and cells that hold
an error; numbers and texts are what they are.
"""

from __future__ import annotations

import importlib.util
import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from records.text import one_line
from tasks.table import LARGEST, Table, positions, shown

# What openpyxl calls types of cells that are no value, and what to do about them.
REFUSED = {
    "f": "holds a formula, {}, of which the file stores no certain value; copy the column and paste it as values",
    "e": "holds an error, {}; mend it or take the row out",
    "d": "holds a date, {}, which Excel also makes of texts such as 1-2; format the column as text, and write it anew",
}


def read(path: Path, content: bytes, names: list[str], sheet: str | None) -> Table:
    """The columns with these names of a sheet, by default the first. Its first row with anything in it is the header.
    Raises ValueError, in one line with the sheet's row."""
    if importlib.util.find_spec("openpyxl") is None:
        raise ValueError(f"{path}: reading workbooks takes openpyxl: pip install openpyxl")
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            size = sum(part.file_size for part in packed.infolist())
        if size > LARGEST:
            raise ValueError(f"{path}: would unpack to {size / 1024**3:.3g} GiB; take a part of it")
        with warnings.catch_warnings():  # about styles and rules of validation that it does not know
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, keep_links=False)
    except ValueError:
        raise
    except Exception as error:  # of the many kinds that its readers have for what they did not expect
        raise ValueError(f"{path}: is no workbook that can be read: {one_line(error, 200)}") from None
    try:
        return _table(path, book, names, sheet)
    except (zipfile.BadZipFile, SyntaxError, KeyError, TypeError, EOFError) as error:  # as of XML that is damaged
        raise ValueError(f"{path}: cannot be read: {one_line(error, 200)}") from None
    finally:
        book.close()


def _table(path: Path, book: Any, names: list[str], asked: str | None) -> Table:
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if not sheets:
        raise ValueError(f"{path}: holds no sheet with cells")
    name = next(iter(sheets)) if asked is None else asked
    if name not in sheets:
        raise ValueError(f"{path}: no sheet {name!r}; there are {', '.join(map(shown, sheets))}")
    others = "" if asked is not None or len(sheets) == 1 else f", the first of {len(sheets)} sheets"
    rows = _rows(sheets[name])
    number, header = next(rows, (0, []))
    where = Path(f"{path}, sheet {name!r}")
    at = positions(where, ["" if cell.value is None else str(cell.value) for cell in header], names)
    columns: list[list[Any]] = [[] for _ in names]
    places = []
    for number, row in rows:
        places.append(number)
        for column, index, wanted in zip(columns, at, names, strict=True):
            column.append(_value(row, index, f"{where}, row {number}: the column {wanted!r}"))
    return Table(where, dict(zip(names, columns, strict=True)), places, False, f"Excel{others}")


def _rows(sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """Rows that have anything in them, under their numbers in the sheet."""
    sheet.reset_dimensions()  # which programs write wrongly
    for number, row in enumerate(sheet.iter_rows(), 1):
        if any(cell.value is not None for cell in row):
            yield number, list(row)


def _value(row: list[Any], index: int, where: str) -> Any:
    if index >= len(row):
        return None
    cell = row[index]
    if cell.value is not None and cell.data_type in REFUSED:
        raise ValueError(
            f"{where} {REFUSED[cell.data_type].format(shown(str(getattr(cell.value, 'text', cell.value))))}"
        )
    return cell.value

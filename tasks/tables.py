"""Rows from files as people have them: CSV, JSON, Parquet and workbooks, packed or not. Separator and encoding are
found out, and told; what cannot be told for certain is refused."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from records.text import one_line
from tasks import workbooks
from tasks.table import LARGEST, Table, column_name, lacking, positions, shown, within

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
WORKBOOK = ".xlsx"
SPREADSHEETS = (".xls", ".xlsm", ".xlsb", ".ods", ".numbers")


def format_of(path: Path) -> str:
    """The suffix that tells the format, `.gz` aside and in small letters. Raises ValueError where it is none of
    ours."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = (suffixes[:-1] if suffixes[-1:] == [".gz"] else suffixes)[-1:]
    if suffix and suffix[0] in FORMATS:
        return suffix[0]
    if suffix and suffix[0] in SPREADSHEETS:
        raise ValueError(f"{path}: is a spreadsheet; save it as .xlsx, or its sheet as CSV (UTF-8), and name that file")
    known = ", ".join(FORMATS)
    raise ValueError(
        f"{path}: ends in none of {known} (or these with .gz), which tell the format; rename or convert it"
    )


def read(path: Path, content: bytes, names: Sequence[str], sheet: str | None = None) -> Table:
    """The columns with these names, from a file's content, of a workbook from one `sheet` or the first. Raises
    ValueError, in one line with the place, on what cannot be read, and where one of the columns is missing or there
    twice."""
    form = format_of(path)
    if sheet is not None and form != WORKBOOK:
        raise ValueError(f"{path}: has no sheets; `sheet` is for workbooks ({WORKBOOK})")
    if path.suffix.lower() == ".gz":
        content = _unpacked(path, content)
    if not content.strip():
        raise ValueError(f"{path}: is empty")
    wanted = [column_name(name) for name in names]
    table = workbooks.read(path, content, wanted, sheet) if form == WORKBOOK else READERS[form](path, content, wanted)
    if not len(table):
        raise ValueError(f"{path}: holds no rows")
    return table


def _unpacked(path: Path, content: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as file:
            unpacked = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be unpacked: {error}") from None
    if len(unpacked) > LARGEST:
        raise ValueError(f"{path}: unpacks to more than {LARGEST / 1024**3:g} GiB; take a part of it")
    return unpacked


def _decoded(path: Path, content: bytes) -> tuple[str, str]:
    """The text, and the name of its encoding: what a byte order mark says, else UTF-8, else Windows-1252 where all
    speaks for it; with words in which that shows, since it remains a guess."""
    encoding, called = next((found for mark, *found in MARKS if content.startswith(mark)), ("utf-8", "UTF-8"))
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise ValueError(
                f"{path}: is not the {called} that its first bytes say: {_where(content, error)}"
            ) from None
        text, called = _western(path, content, error)
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise ValueError(
            f"{path}:{line}: holds a NUL character; if it is UTF-16 without a byte order mark, save it as UTF-8"
        )
    return text, called


def _where(content: bytes, error: UnicodeDecodeError) -> str:
    line = content.count(b"\n", 0, error.start) + 1
    return f"{error.reason} at byte {error.start} (0x{content[error.start]:02x}, line {line}); save it as UTF-8"


def _western(path: Path, content: bytes, error: UnicodeDecodeError) -> tuple[str, str]:
    """As Windows-1252, if that is plausible."""
    lenient = content.decode("utf-8", errors="replace")
    damaged = lenient.count("\ufffd")
    # By chance few bytes of another encoding are whole letters of UTF-8; in a damaged file most are.
    if 10 * sum(letter > "\x7f" for letter in lenient) > 11 * damaged:
        raise ValueError(f"{path}: is UTF-8 in part only: {_where(content, error)}") from None
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as other:
        raise ValueError(f"{path}: is neither UTF-8 nor Windows-1252: {_where(content, other)}") from None
    words = list(islice((found[0] for found in re.finditer(r"\S*[^\x00-\x7f\s]\S*", text)), 5000))
    accented = [word for word in words if any(letter > "\x7f" and letter.isalpha() for letter in word)]
    strange = [word for word in accented if _is_strange(word)]
    if 4 * len(strange) > len(accented):
        raise ValueError(
            f"{path}: is not UTF-8, and read as Windows-1252 it makes no words ({shown(strange[0])}):"
            f" {_where(content, error)}"
        ) from None
    return text, f"Windows-1252 (as in {', '.join(map(shown, list(dict.fromkeys(accented or words))[:3]))})"


def _is_strange(word: str) -> bool:
    """Whether its letters are accented for the most part, as those of Cyrillic or Chinese are in a wrong encoding."""
    letters = [letter for letter in word if letter.isalpha()]
    accented = sum(letter > "\x7f" for letter in letters)
    return accented > 2 and 2 * accented > len(letters)


def _csv(path: Path, content: bytes, names: list[str]) -> Table:
    text, encoding = _decoded(path, content)
    stream = io.StringIO(text, newline="")
    before, line = 0, stream.readline()
    separator = None
    while line and (not line.strip() or line.lower().lstrip('"').startswith("sep=")):
        if line.strip():  # Excel's own line about the separator
            separator = line.lstrip('"')[4:5]
        before, line = before + 1, stream.readline()
    if not line:
        raise ValueError(f"{path}: holds no rows")
    separator = separator if separator and separator.strip("\r\n") else _separator(line, names)
    start = stream.tell()

    def parse(quoting: Any) -> Table:
        stream.seek(start)
        return _csv_rows(path, chain([line], stream), before, separator, quoting, names)

    called = SEPARATORS.get(separator, repr(separator))
    table, marks = _unquoted(parse) if separator == "\t" else (parse(csv.QUOTE_MINIMAL), "")
    understood = f"CSV separated by {called}, {encoding}{marks}"
    return Table(path, table.columns, table.places, True, understood)


def _separator(header: str, names: list[str]) -> str:
    """That by which the header has the columns asked for; of several, the most frequent."""

    def fits(separator: str) -> tuple[int, int]:
        found = {column_name(cell) for cell in next(csv.reader([header], delimiter=separator))}
        return len(found & set(names)), header.count(separator)

    return max(SEPARATORS, key=fits)


def _unquoted(parse: Callable[[Any], Table]) -> tuple[Table, str]:
    """Between tabs quotation marks are often mere characters: they are, where every line is a whole row without them,
    and with them rows would be lost."""
    try:
        quoted: Table | ValueError = parse(csv.QUOTE_MINIMAL)
    except ValueError as error:
        quoted = error
    try:
        plain: Table | ValueError = parse(csv.QUOTE_NONE)
    except ValueError as error:
        plain = error
    if isinstance(plain, Table) and (isinstance(quoted, ValueError) or len(plain) > len(quoted)):
        return plain, ", quotation marks taken as characters"
    if isinstance(quoted, ValueError):
        raise quoted
    return quoted, ""


def _csv_rows(path: Path, lines: Iterable[str], before: int, separator: str, quoting: Any, names: list[str]) -> Table:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(lines, delimiter=separator, strict=True, quoting=quoting)
    line = before + 1
    columns: list[list[str]] = [[] for _ in names]
    places = []
    try:
        header = next(reader)
        at = positions(path, header, names)
        width = len(header)
        while True:
            line = before + reader.line_num + 1
            row = next(reader, None)
            if row is None:
                break
            if not any(row):  # a line without anything, as Excel leaves them at the end
                continue
            if len(row) < width or any(row[width:]):
                called = SEPARATORS.get(separator, repr(separator))
                raise ValueError(
                    f"{path}:{line}: has {len(row)} fields, the header {width}; put texts with {called}, line breaks or"
                    " quotation marks in quotes"
                )
            places.append(line)
            for column, index in zip(columns, at, strict=True):
                column.append(row[index])
    except csv.Error as error:
        why = "a quotation mark opens and is never closed" if "end of data" in str(error) else str(error)
        raise ValueError(f"{path}:{line}: cannot be read: {why}") from None
    return Table(path, dict(zip(names, columns, strict=True)), places, True, "")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, its keys under the names by which columns are compared."""
    named = {column_name(key): value for key, value in pairs}
    if len(named) < len(pairs):
        keys = [column_name(key) for key, _ in pairs]
        raise ValueError(f"the key {shown(next(key for key in keys if keys.count(key) > 1))} is there twice")
    return named


JSON = json.JSONDecoder(object_pairs_hook=_unique)


def _json_value(text: str) -> Any:
    """Raises ValueError on a key that is there twice, too, and on nesting or numbers beyond all measure."""
    try:
        return JSON.decode(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _json_lines(path: Path, content: bytes, names: list[str]) -> Table:
    text, encoding = _decoded(path, content)
    rows, places = [], []
    for line, each in enumerate(io.StringIO(text, newline=""), 1):
        if not each.strip():
            continue
        try:
            row = _json_value(each)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{line}: is no JSON: {error.msg} at character {error.pos + 1}") from None
        except ValueError as error:
            raise ValueError(f"{path}:{line}: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{line}: is no JSON object")
        rows.append([_cell(row, name, f"{path}:{line}") for name in names])
        places.append(line)
    columns = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    return Table(path, columns, places, True, f"JSON Lines, {encoding}")


def _cell(row: dict[str, Any], name: str, place: str) -> Any:
    return row[name] if name in row else lacking(place, name, row)


def _json(path: Path, content: bytes, names: list[str]) -> Table:
    """A list of objects, by itself or under one key; columns by their names; or in truth JSON Lines."""
    text, encoding = _decoded(path, content)
    try:
        value = _json_value(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return _json_lines(path, content, names)
        raise ValueError(f"{path}:{error.lineno}: is no JSON: {error.msg} at character {error.colno}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    under = ""
    if isinstance(value, dict):
        lists = [key for key, each in value.items() if isinstance(each, list)]
        if set(names) <= set(lists):
            lengths = {name: len(value[name]) for name in names}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"{path}: its columns differ in length: {lengths}")
            count = next(iter(lengths.values()))
            return Table(path, {name: value[name] for name in names}, range(1, count + 1), False, f"JSON, {encoding}")
        if len(lists) > 1:
            raise ValueError(
                f"{path}: holds several lists ({', '.join(map(shown, lists[:4]))}); write each into a file of its own"
            )
        if not lists:
            return _json_lines(path, json.dumps(value).encode(), names)
        value, under = value[lists[0]], f" under {shown(lists[0])}"
    if not isinstance(value, list):
        raise ValueError(f"{path}: is no list of JSON objects")
    for number, row in enumerate(value, 1):
        if not isinstance(row, dict):
            raise ValueError(f"{path}, row {number}: is no JSON object")
    columns = {
        name: [_cell(row, name, f"{path}, row {number}") for number, row in enumerate(value, 1)] for name in names
    }
    return Table(path, columns, range(1, len(value) + 1), False, f"JSON{under}, {encoding}")


def _parquet(path: Path, content: bytes, names: list[str]) -> Table:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ValueError(f"{path}: reading Parquet takes pyarrow: pip install pyarrow") from None
    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        header, schema, rows = file.schema_arrow.names, file.schema_arrow, file.metadata.num_rows
        wanted = [header[index] for index in positions(path, header, names)]
        groups = (file.metadata.row_group(index) for index in range(file.metadata.num_row_groups))
        chunks = (group.column(index) for group in groups for index in range(group.num_columns))
        size = sum(each.total_uncompressed_size for each in chunks if each.path_in_schema.split(".")[0] in wanted)
        within(path, rows, size)
        # A text that repeats is stored once, and stays one object here: few bytes can stand for very many.
        texts = [name for name in wanted if pa.types.is_string(schema.field(name).type)]
        file = parquet.ParquetFile(pa.BufferReader(content), read_dictionary=texts)
        columns = {name: _arrow_values(file.read(columns=[own])[own]) for name, own in zip(names, wanted, strict=True)}
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: cannot be read: {one_line(error, 200)}") from None
    within(path, rows, sum(len(value) for column in columns.values() for value in column if isinstance(value, str)))
    return Table(path, columns, range(1, rows + 1), False, "Parquet")


def _arrow_values(column: Any) -> list[Any]:
    found: list[Any] = []
    for chunk in column.chunks:
        if hasattr(chunk, "dictionary"):
            values = [*chunk.dictionary.to_pylist(), None]
            found += [values[index] for index in chunk.indices.fill_null(len(values) - 1).to_pylist()]
        else:
            found += chunk.to_pylist()
    return found


READERS: dict[str, Callable[[Path, bytes, list[str]], Table]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
}
FORMATS = (*READERS, WORKBOOK)

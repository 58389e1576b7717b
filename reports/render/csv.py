"""A table's data as a CSV file that a spreadsheet reads as data, whatever texts it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reports.model.document import Table

# With these a spreadsheet takes a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def write_csv(table: Table, folder: Path) -> None:
    """`<folder>/<key>.csv`, at full precision."""
    table.data.map(as_data).to_csv(folder / f"{table.key}.csv", index=False)


def as_data(value: Any) -> Any:
    """A text that would be a formula with an apostrophe before it, as spreadsheets mark texts; all else as it is."""
    if not isinstance(value, str) or not value.startswith(_FORMULA) or _is_number(value):
        return value
    return f"'{value}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

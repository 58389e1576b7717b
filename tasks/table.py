"""A table whose columns were asked for by name, and what all that read one share."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from records.text import composed

# Bytes of a file once it is unpacked, and rows: what is larger is taken for a mistake, or for a bomb.
LARGEST = 2 * 1024**3
MOST_ROWS = 20_000_000


@dataclass(frozen=True)
class Table:
    """The columns asked for, as they stand in the file: of a CSV file all cells are text. `understood` says how the
    file was read."""

    path: Path
    columns: dict[str, list[Any]]
    places: Sequence[int]
    by_line: bool
    understood: str

    def __len__(self) -> int:
        return len(self.places)

    def place(self, index: int) -> str:
        """Where a row is: the line on which it begins, or its number from 1."""
        return f"{self.path}:{self.places[index]}" if self.by_line else f"{self.path}, row {self.places[index]}"


def shown(value: Any) -> str:
    """A value of the user's in a message: on one line, control characters escaped, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def garbling(text: str) -> str | None:
    """The first character that would garble a line in which the text stands: control characters, line breaks, marks of
    direction and other invisible ones. The two joiners belong to the writing of Persian, of Indian languages, and of
    emoji."""
    invisible = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return next((c for c in text if unicodedata.category(c) in invisible and c not in "\u200c\u200d"), None)


@lru_cache(maxsize=1000)
def column_name(text: str) -> str:
    """A column's name as it is compared: an umlaut may be one character or two, and spaces around it are none of it."""
    return composed(text.strip("\ufeff \t\r\n"))


def positions(path: Path, found: Sequence[str], names: Iterable[str]) -> list[int]:
    """Where in the header the columns are. Raises ValueError where one is not, or twice."""
    header = [column_name(name) for name in found]
    for name in names:
        if name not in header:
            lacking(str(path), name, header)
        if header.count(name) > 1:
            raise ValueError(f"{path}: the column {name!r} is there {header.count(name)} times; rename the others")
    return [header.index(name) for name in names]


def lacking(place: str, name: str, header: Iterable[str]) -> NoReturn:
    """Raises ValueError, with the columns that there are."""
    have = ", ".join(map(shown, islice(header, 8)))
    raise ValueError(f"{place}: no column {name!r}; there are {have}; name it as in {{text: review}}")


def within(path: Path, rows: int, size: int) -> None:
    """Raises ValueError on more rows, or bytes, than are taken for data."""
    if size > LARGEST or rows > MOST_ROWS:
        raise ValueError(f"{path}: would unpack to {rows:,} rows of {size / 1024**3:.3g} GiB; take a part of it")

"""From the cells of a user's columns to texts, numbers and classes. One rule: what is no text, number or truth value is
refused with its place. An empty cell is missing, and so is what a typed file calls null or NaN; of a CSV file `NA` or
`nan` is a text like any other, but no number."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, NoReturn

from records.text import composed
from tasks.table import Table, garbling, shown

# Of at most so many digits: a label of more is a text.
TRUTHS = {"true": True, "false": False}
NUMBER = re.compile(r"[+-]?(\d{1,300}(\.\d{0,300})?|\.\d{1,300})([eE][+-]?\d{1,3})?", re.ASCII)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
EXACT = Context(prec=2000)
# What trains is in single precision.
LARGEST_NUMBER = 3.4e38
# How tables spell that there is nothing.
NOTHING = frozenset({"nan", "na", "n/a", "#n/a", "null", "none", "nat", "<na>", "inf", "-inf"})
KINDS = {"list": "a list", "dict": "a mapping", "bytes": "bytes"}

Number = bool | int | float | Decimal
# A column of every split, by the split's name.
Columns = Mapping[str, tuple[Table, str]]


@dataclass(frozen=True)
class Classes:
    """Every row's class by split, the classes in the order of their numbers or of the alphabet, and what is to be told
    of how they were understood."""

    rows: dict[str, list[str]]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def texts(table: Table, name: str) -> list[str]:
    """A column as texts; numbers as one writes them."""
    found = []
    for index, value in enumerate(table.columns[name]):
        value = _value(table, index, name, value)
        if isinstance(value, str):
            if not value.isascii():
                _check_unicode(table, index, name, value)
            found.append(value)
        else:
            found.append(written(value))
    return found


def numbers(columns: Columns) -> tuple[dict[str, list[float]], tuple[str, ...]]:
    """Columns of numbers, those that are spelled out read with a decimal point, or all of them with a comma; and what
    is to be told of that."""
    spelled = [value.strip() for _, _, _, value in _cells(columns) if isinstance(value, str)]
    commas = [text for text in spelled if DECIMAL_COMMA.fullmatch(text)]
    by_comma = bool(commas) and all("." not in text for text in spelled)
    if by_comma and all(THOUSANDS.fullmatch(text) for text in commas):
        table, name = next(iter(columns.values()))
        raise ValueError(
            f"{table.path}: {shown(commas[0])} in {name!r} may be thousands or have three decimals; write numbers"
            " without commas"
        )
    found: dict[str, list[float]] = {split: [] for split in columns}
    for split, table, index, value in _cells(columns):
        name = columns[split][1]
        number: Number | None = None
        if not isinstance(value, str):
            number = value
        else:
            text = value.strip().replace(",", ".", 1) if by_comma else value.strip()
            number = Decimal(text) if NUMBER.fullmatch(text) else None
        if number is None or isinstance(number, bool):
            raise ValueError(f"{table.place(index)}: {shown(value)} in {name!r} is no number")
        if abs(float(number)) > LARGEST_NUMBER:
            raise ValueError(f"{table.place(index)}: {shown(value)} in {name!r} is too large a number to train on")
        found[split].append(float(number))
    return found, (f"numbers with a decimal comma, as {shown(commas[0])}",) if by_comma else ()


def classes(columns: Columns) -> Classes:
    """Labels by their value: as numbers where all are numbers or truth values, however they are spelled, else as texts
    without the spaces around them, umlauts composed."""
    first: dict[tuple[type, Any], tuple[Table, int, str]] = {}
    keys: dict[str, list[tuple[type, Any]]] = {split: [] for split in columns}
    for split, table, index, value in _cells(columns):
        key = (type(value), value)  # 1, 1.0 and true are equal in Python
        if key not in first:
            first[key] = (table, index, columns[split][1])
        keys[split].append(key)
    cleaned = _truths_beside_numbers({key: _label(*place, key[1]) for key, place in first.items()})
    spelled = [value for value in cleaned.values() if isinstance(value, str)]
    words = [text for text in spelled if not NUMBER.fullmatch(text)]
    if words and len(words) < len(cleaned) and all(word.casefold() in NOTHING for word in words):
        table, index, name = next(place for key, place in first.items() if cleaned[key] == words[0])
        raise ValueError(
            f"{table.place(index)}: {words[0]!r} in {name!r} stands among numbers; take the row out, or give it a label"
        )
    typed = {type(value) for value in cleaned.values()} - {str}
    truths = typed == {bool} and (bool(words) or not spelled)
    names = {key: _class_name(value, truths, numeric=not words) for key, value in cleaned.items()}
    order = tuple(sorted(set(names.values()), key=_rank))
    notes = [*_spellings(names), *(_look_alikes(order) if words else ())]
    if kept := [word for word in order if word.casefold() in NOTHING]:
        notes.append(f"warning: {', '.join(map(repr, kept))} counts as a class; take such rows out if it means none")
    return Classes({split: [names[key] for key in found] for split, found in keys.items()}, order, tuple(notes))


def _truths_beside_numbers(labels: dict[tuple[type, Any], str | Number]) -> dict[tuple[type, Any], str | Number]:
    """In a file in which all cells are text, truth values are words; beside numbers they are what they say."""
    words = {value.casefold() for value in labels.values() if isinstance(value, str) and not NUMBER.fullmatch(value)}
    alone = all(isinstance(value, str) and value.casefold() in words for value in labels.values())
    if alone or not words <= TRUTHS.keys():
        return labels
    return {
        key: TRUTHS.get(value.casefold(), value) if isinstance(value, str) else value for key, value in labels.items()
    }


def written(number: Number) -> str:
    """A number as one writes it: 1 for 1.0, 1.00 and 1e0."""
    if isinstance(number, bool):
        return str(number).lower()
    exact = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
    text = format(EXACT.normalize(exact), "f")
    return "0" if text == "-0" else text


def _cells(columns: Columns) -> Iterator[tuple[str, Table, int, str | Number]]:
    for split, (table, name) in columns.items():
        for index, value in enumerate(table.columns[name]):
            yield split, table, index, _value(table, index, name, value)


def _value(table: Table, index: int, name: str, value: Any) -> str | Number:
    """The value of a cell if it is there and of a type that can be used."""
    if isinstance(value, str):
        if value and not value.isspace():
            return value
        _refuse(table, index, name, "is empty; fill it in or take the row out")
    if isinstance(value, (bool, int)):
        if abs(value) < 10**300:
            return value
        _refuse(table, index, name, "holds a number of more than 300 digits")
    if value is None or (isinstance(value, (float, Decimal)) and math.isnan(value)):
        _refuse(table, index, name, "is missing (null or NaN); fill it in or take the row out")
    if isinstance(value, (float, Decimal)):
        if math.isfinite(value):
            return value
        _refuse(table, index, name, f"is {value}, which is no finite number")
    kind = KINDS.get(type(value).__name__, f"a {type(value).__name__}")
    _refuse(table, index, name, f"holds {kind}, {shown(value)}; write a text or a number")


def _refuse(table: Table, index: int, name: str, what: str) -> NoReturn:
    raise ValueError(f"{table.place(index)}: the column {name!r} {what}")


def _check_unicode(table: Table, index: int, name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        _refuse(table, index, name, f"holds half a character, {text[error.start]!r}; write the whole of it")


def _label(table: Table, index: int, name: str, value: str | Number) -> str | Number:
    """A label without the spaces around it. Raises ValueError on what would not show, or would garble, a line."""
    if not isinstance(value, str):
        return value
    text = composed(value.strip())
    if letter := garbling(text):
        what = unicodedata.name(letter, "a control character or line break").lower()
        _refuse(table, index, name, f"holds {what} ({letter!r}) in the label {shown(text)}; take it out")
    return text


def _class_name(value: str | Number, truths: bool, numeric: bool) -> str:
    if isinstance(value, bool):
        return written(value if truths else int(value))
    if isinstance(value, str):
        return written(Decimal(value)) if numeric else value
    return written(value)


def _rank(name: str) -> tuple[Decimal, str]:
    """Numbers by their value, before all that is none."""
    return (Decimal(name) if NUMBER.fullmatch(name) else Decimal("inf"), name)


def _spellings(names: Mapping[tuple[type, Any], str]) -> Iterator[str]:
    """Of every class that has more than one spelling."""
    for name, count in Counter(names.values()).items():
        if count > 1:
            spelled = [repr(key[1]) for key, of in names.items() if of == name]
            yield f"{', '.join(spelled[:6])} count as one class, {name!r}"


def _look_alikes(names: tuple[str, ...]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for name in names:
        wide = unicodedata.normalize("NFKC", name)
        folded = " ".join(re.sub(r"[\s_-]+", " ", wide).casefold().split())
        key = written(Decimal(wide)) if NUMBER.fullmatch(wide) else folded.rstrip(".,;:!? ") or folded
        groups.setdefault(key, []).append(name)
    for group in groups.values():
        if len(group) > 1:
            yield (
                f"warning: the classes {', '.join(map(repr, group))} differ in no more than case, space, punctuation or"
                " width; write them alike if they are one"
            )

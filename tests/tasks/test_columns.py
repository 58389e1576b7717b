"""Cells become texts, numbers and classes by their value, whatever their type or spelling, or are refused."""

from __future__ import annotations

import datetime
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns, tables

NFD = unicodedata.normalize("NFD", "grün")


def table(values: list[Any], name: str = "a.csv") -> tables.Table:
    """Of a column as it stands in a file."""
    return tables.Table(Path(name), {"c": values}, range(2, len(values) + 2), name.endswith("csv"), "")


def classes(*values: Any, **splits: list[Any]) -> columns.Classes:
    given = splits or {"train": list(values)}
    return columns.classes({split: (table(list(rows)), "c") for split, rows in given.items()})


def numbers(*values: Any) -> list[float]:
    return columns.numbers({"train": (table(list(values)), "c")})[0]["train"]


def stored(tmp_path: Path, values: Any) -> list[Any]:
    """A column once pandas has written it to Parquet and it was read."""
    path = tmp_path / "a.parquet"
    pd.DataFrame({"c": values, "other": 1}).to_parquet(path)
    return tables.read(path, path.read_bytes(), ["c", "other"]).columns["c"]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((0, 0.0, 1, 1.0, True, False), ("0", "1")),
        (("1", "1.0", "01", "+1", "1e0", " 1 ", "2"), ("1", "2")),
        ((1, "1", 1.0, "2"), ("1", "2")),
        ((True, False), ("false", "true")),
        # In CSV all cells are text: beside numbers truth values are what they say, by themselves they are words.
        (("0", "0.0", "01", "1", "true"), ("0", "1")),
        (("True", "1", "0", "False"), ("0", "1")),
        ((0, "1", "true", False), ("0", "1")),
        (("True", "False"), ("False", "True")),
        (("true", "1", "x"), ("1", "true", "x")),
        ((True, "no"), ("no", "true")),
        (("-1", "-0.0", "0", "10", "9"), ("-1", "0", "9", "10")),
        ((2**53, 2**53 + 1), (str(2**53), str(2**53 + 1))),
        (("9007199254740992", "9007199254740993"), ("9007199254740992", "9007199254740993")),
        ((Decimal("1.10"), 1.1, "1.1", 2), ("1.1", "2")),
        ((0.5, 1e-05, 1e20), ("0.00001", "0.5", "100000000000000000000")),
        (("pos ", "\tpos", "pos", "neg"), ("neg", "pos")),
        (("grün", NFD, "rot"), ("grün", "rot")),
        (("10", "9", "b", "a"), ("9", "10", "a", "b")),
        (("NA", "DE", "None"), ("DE", "NA", "None")),
        (("1,5", "2,5"), ("1,5", "2,5")),
        (("²", "1", "x"), ("1", "x", "²")),
        (("٣", "3"), ("3", "٣")),
        (("1_000", "1000"), ("1000", "1_000")),
        (("می\u200cخواهم", "👩\u200d🔬"), ("می\u200cخواهم", "👩\u200d🔬")),
    ],
)  # fmt: skip
def test_classes_and_their_order(values: tuple, names: tuple[str, ...]):
    assert classes(*values).names == names


def test_every_row_has_the_class_of_its_value():
    assert classes(train=[1, True, "2"], test=["2.0", 1.0]).rows == {"train": ["1", "1", "2"], "test": ["2", "1"]}


def test_a_word_anywhere_makes_all_spellings_words():
    assert classes(train=["1", "1.0"], test=["one"]).names == ("1", "1.0", "one")


def test_spellings_that_count_as_one_are_told():
    assert classes(1, 1.0, "01", 2).notes == ("1, 1.0, '01' count as one class, '1'",)
    assert classes("a", "a ", "b").notes == ("'a', 'a ' count as one class, 'a'",)
    assert classes("a", "b").notes == ()


@pytest.mark.parametrize(
    "alike",
    [("Pos", "pos"), ("very good", "very  good"), ("very good", "very_good"), ("a", "ａ"), ("a", "a."),
     ("straße", "STRASSE"), ("ﬁne", "fine"), ("1", "1.0"), ("a b", "a\u00a0b")],
)  # fmt: skip
def test_look_alikes_are_warned_of_and_stay_apart(alike: tuple[str, str]):
    found = classes(*alike, "other")
    assert set(found.names) == {*alike, "other"}
    [note] = found.notes
    assert note.startswith("warning:") and all(repr(name) in note for name in alike) and "'other'" not in note


@pytest.mark.parametrize("unlike", [("-1", "1", "x"), ("c", "c++", "c#"), ("?", "!"), ("größe", "grüße")])
def test_others_are_not(unlike: tuple[str, ...]):
    assert classes(*unlike).notes == ()


def test_a_class_called_nothing_is_warned_of():
    [note] = classes("NA", "DE").notes
    assert note.startswith("warning: 'NA' counts as a class")


@pytest.mark.parametrize("word", ["nan", "NA", "null", "None", "N/A", "inf"])
def test_no_number_among_numbers(word: str):
    with pytest.raises(ValueError, match=rf"a\.csv:4: '{word}' in 'c' stands among numbers"):
        classes("0", "1", word)


@pytest.mark.parametrize(
    "label", ["a\nb", "a\rb", "a\x1b[31m", "a\u202eb", "a\u200bb", "a\u00adb", "a\u2028b", "\ufeffa", "a\x85b", "a\tb"]
)
def test_labels_that_would_garble_a_line(label: str):
    with pytest.raises(ValueError, match=r"^a\.csv:3: the column 'c' holds .*; take it out$") as caught:
        classes("fine", label)
    assert str(caught.value).isprintable()


MISSING = [None, float("nan"), np.nan, pd.NA, pd.NaT]


@pytest.mark.parametrize("value", MISSING, ids=repr)
@pytest.mark.parametrize("others", [["a", "b"], [1, 2], [1.5, 2.5], [True, False]], ids=repr)
def test_nothing_is_no_class_no_number_and_no_text(tmp_path: Path, value: Any, others: list):
    given = table(stored(tmp_path, pd.array([*others, value], dtype=object)), "a.parquet")
    for reading in (columns.classes, columns.numbers):
        if reading is columns.numbers and isinstance(others[0], (str, bool)):
            continue
        with pytest.raises(ValueError, match=r"a\.parquet, row 4: the column 'c' is missing"):
            reading({"train": (given, "c")})
    with pytest.raises(ValueError, match=r"a\.parquet, row 4: the column 'c' is missing"):
        columns.texts(given, "c")


@pytest.mark.parametrize("value", [None, float("nan"), Decimal("NaN")], ids=repr)
def test_nothing_as_other_writers_have_it(value: Any):
    """JSON's NaN, and that of Arrow, which pandas writes as null."""
    for reading in (numbers, classes):
        with pytest.raises(ValueError, match=r"a\.csv:3: the column 'c' is missing"):
            reading(1, value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"abc", "bytes"),
        (["a", "b"], "a list"),
        ([{"role": "user", "content": "hi"}], "a list"),
        ({"a": 1}, "a mapping"),
        (datetime.date(2020, 1, 2), "a date"),
        (datetime.datetime(2020, 1, 2), "a (Timestamp|datetime)"),
        (datetime.timedelta(1), "a [Tt]imedelta"),
    ],
    ids=repr,
)
def test_other_types_are_refused_with_their_place(tmp_path: Path, value: Any, said: str):
    given = table(stored(tmp_path, [value, value]), "a.parquet")
    for reading in (columns.classes, columns.numbers):
        with pytest.raises(ValueError, match=rf"a\.parquet, row 2: the column 'c' holds {said}"):
            reading({"train": (given, "c")})
    with pytest.raises(ValueError, match=rf"a\.parquet, row 2: the column 'c' holds {said}"):
        columns.texts(given, "c")


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("category", ["a", "b"]), ("string", ["a", "b"]), ("Int64", [1, 2]), ("float32", [1, 2]), ("uint8", [1, 2]),
     ("boolean", [True, False])],
)  # fmt: skip
def test_what_pandas_types_hold_is_the_same(tmp_path: Path, dtype: str, values: list):
    found = classes(*stored(tmp_path, pd.Series(values, dtype=dtype)))
    assert found.names == tuple(sorted(str(value).lower() for value in values))


def test_texts_are_as_they_stand_and_numbers_as_one_writes_them():
    assert columns.texts(table([" a b ", NFD, 5, 2.0, True, "nan"]), "c") == [" a b ", NFD, "5", "2", "true", "nan"]


@pytest.mark.parametrize("empty", ["", "  ", "\n", "\u3000"])
def test_an_empty_cell_is_missing(empty: str):
    with pytest.raises(ValueError, match=r"a\.csv:3: the column 'c' is empty"):
        columns.texts(table(["a", empty]), "c")


def test_half_a_character():
    with pytest.raises(ValueError, match=r"a\.csv:2: the column 'c' holds half a character, '\\ud83d'"):
        columns.texts(table(["\ud83d"]), "c")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1", " 2.5 ", "-.5", "1e-3", 4, 0.25, Decimal("0.125")), [1, 2.5, -0.5, 1e-3, 4, 0.25, 0.125]),
        (("3,5", "-0,25", "4"), [3.5, -0.25, 4]),
        (("1.234", "2"), [1.234, 2]),
        ((2**60,), [float(2**60)]),
    ],
)
def test_numbers(values: tuple, expected: list[float]):
    assert numbers(*values) == expected


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", "1_000", "1.234,5", "3 %", "−1", "٣", "1 000", "x", True])
def test_what_is_no_number(value: Any):
    with pytest.raises(ValueError, match=r"a\.csv:3: .* in 'c' is no number"):
        numbers("1", value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), Decimal("Infinity")])
def test_infinities(value: Any):
    for reading in (numbers, classes):
        with pytest.raises(ValueError, match=r"a\.csv:3: the column 'c' is .*, which is no finite number"):
            reading(1, value)


@pytest.mark.parametrize("value", ["1e39", -1e300, 10**200, "1" + "0" * 290])
def test_numbers_beyond_single_precision(value: Any):
    with pytest.raises(ValueError, match="too large a number to train on"):
        numbers(1, value)


@pytest.mark.parametrize("values", [("1,000", "2,500"), ("12,345",)])
def test_commas_that_may_be_thousands(values: tuple):
    with pytest.raises(ValueError, match="may be thousands or have three decimals"):
        numbers(*values)


def test_a_decimal_comma_is_told():
    assert columns.numbers({"train": (table(["3,5"]), "c")})[1] == ("numbers with a decimal comma, as '3,5'",)
    assert columns.numbers({"train": (table(["3.5"]), "c")})[1] == ()

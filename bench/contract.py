"""What `Task.load` promises of a task's data, held against what it gave, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from tasks.base import Task

# The columns that a task's kind must have.
COLUMNS: dict[str, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "regression": ("text", "label"),
    "tagging": ("words", "label"),
    "multiple choice": ("text", "choices", "label"),
    "extractive QA": ("text", "text_pair", "answers", "starts"),
    "generation": ("text", "targets"),
    "language modelling": ("text",),
    "mixture": ("task",),
}


class DataError(Exception):
    """A task's data cannot be used; the message is one line."""


def check(task: Task, raw: Any) -> None:
    """Raises DataError, naming split, row and column, on the first thing that is not as promised."""
    where = f"task {task.name}"
    if not isinstance(raw, Mapping):
        raise DataError(f"{where}: load() gives a {type(raw).__name__}; it has to give a DatasetDict")
    for split in ("train", "validation", "test"):
        if split in raw and not isinstance(raw[split], Dataset):
            raise DataError(f"{where}: the split {split!r} is a {type(raw[split]).__name__}; it has to be a Dataset")
        if split not in raw or not len(raw[split]):
            raise DataError(f"{where}: the split {split!r} is missing or empty")
        if lacking := set(COLUMNS[task.kind]) - set(raw[split].column_names):
            raise DataError(f"{where}: split {split!r} lacks the column {sorted(lacking)[0]!r}")
        table = raw[split].with_format("arrow")[:]
        if task.kind != "mixture":
            _check_rows(task, Rows(f"{where}: load()['{split}']", table.combine_chunks()))
            continue
        members: Any = task
        for index, member in enumerate(members.tasks):
            own = table.filter(pc.equal(table["task"], index)).combine_chunks()
            if "text_pair" in own.column_names and own["text_pair"].null_count == len(own):
                own = own.drop_columns(["text_pair"])  # another member's, which has pairs
            _check_rows(member, Rows(f"{where}: load()['{split}'], {member.name}", own))


def plain(raw: DatasetDict) -> DatasetDict:
    """The data as plain Python values, whatever format its author has set."""
    return DatasetDict({split: raw[split].with_format(None) for split in ("train", "validation", "test")})


@dataclass(frozen=True)
class Rows:
    """One split's rows of one task."""

    where: str
    table: pa.Table

    def texts(self, name: str) -> None:
        """A column of texts, none of them missing."""
        self._of_type(name, self.table[name].type, _is_text, "texts (str)")
        self._none(name, pc.is_null(self.table[name]), "a text has to be there")

    def lists(self, name: str, of: Any, what: str) -> None:
        """A column of lists `of` a type, `what` in words; neither lists nor what is in them may be missing."""
        column = self.table[name]
        inner = column.type.value_type if _is_list(column.type) else None
        self._of_type(name, inner, lambda kind: pa.types.is_null(kind) or of(kind), f"lists of {what}")
        self._none(name, pc.is_null(column), "a list has to be there")
        lacking = pc.list_parent_indices(column).filter(pc.is_null(pc.list_flatten(column)))
        self._none(
            name, pc.is_in(_numbered(column), value_set=lacking.combine_chunks()), "nothing in it may be missing"
        )

    def filled(self, name: str) -> None:
        """Lists of which none is empty."""
        self._none(name, pc.equal(pc.list_value_length(self.table[name]), 0), "one is needed at least")

    def same_length(self, name: str, other: str) -> None:
        """Lists as long as those of another column."""
        lengths = [pc.list_value_length(self.table[each]) for each in (name, other)]
        self._none(name, pc.not_equal(*lengths), f"its length has to be that of {other!r}")

    def integers(self, name: str) -> None:
        """A column of whole numbers."""
        self._of_type(name, self.table[name].type, pa.types.is_integer, "whole numbers (int)")
        self._none(name, pc.is_null(self.table[name]), "a number has to be there")

    def finite(self, name: str) -> None:
        """A column of finite numbers."""
        self._of_type(name, self.table[name].type, lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind),
                      "numbers (float)")  # fmt: skip
        values = pc.cast(self.table[name], pa.float64())
        self._none(name, pc.invert(pc.fill_null(pc.is_finite(values), False)), "a finite number is needed")

    def below(self, name: str, bound: Any, what: str) -> None:
        """Numbers, or all numbers of a list, from 0 to less than the bound."""
        column = self.table[name]
        if not _is_list(column.type):
            self._none(name, _outside(column, bound), what)
            return
        rows = pc.list_parent_indices(column).filter(_outside(pc.list_flatten(column), bound))
        self._none(name, pc.is_in(_numbered(column), value_set=rows.combine_chunks()), what)

    def _of_type(self, name: str, kind: Any, allowed: Any, what: str) -> None:
        if kind is None or not allowed(kind):
            raise DataError(f"{self.where}: the column {name!r} holds {self.table[name].type}; it has to hold {what}")

    def _none(self, name: str, wrong: Any, what: str) -> None:
        row = pc.index(wrong, True).as_py()
        if row >= 0:
            value = repr(self.table[name][row].as_py())
            value = value if len(value) <= 60 else f"{value[:57]}..."
            raise DataError(f"{self.where}[{row}]['{name}'] is {value}; {what}")


def _check_rows(task: Task, rows: Rows) -> None:
    kind, names = task.kind, rows.table.column_names
    for name in ("text", "text_pair"):
        if name in COLUMNS[kind] or (name == "text_pair" and name in names and kind != "tagging"):
            rows.texts(name)
    known = f"the card has {len(task.card.labels)} labels, which are counted from 0"
    if kind == "classification":
        rows.integers("label")
        rows.below("label", len(task.card.labels), known)
    elif kind == "regression":
        rows.finite("label")
    elif kind == "tagging":
        rows.lists("words", _is_text, "texts (str)")
        rows.lists("label", pa.types.is_integer, "whole numbers (int)")
        rows.same_length("label", "words")
        rows.below("label", len(task.card.labels), known)
    elif kind == "multiple choice":
        rows.lists("choices", _is_text, "texts (str)")
        rows.filled("choices")
        rows.integers("label")
        rows.below("label", pc.list_value_length(rows.table["choices"]), "it has to be an index into the row's choices")
    elif kind == "extractive QA":
        rows.lists("answers", _is_text, "texts (str)")
        rows.lists("starts", pa.types.is_integer, "whole numbers (int)")
        rows.same_length("starts", "answers")
    elif kind == "generation":
        rows.lists("targets", _is_text, "texts (str)")
        rows.filled("targets")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _outside(numbers: Any, bound: Any) -> Any:
    return pc.or_(pc.less(numbers, 0), pc.greater_equal(numbers, bound))


def _numbered(column: pa.ChunkedArray) -> pa.Array:
    return pa.array(range(len(column)), pa.int64())

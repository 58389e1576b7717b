"""Tables whose columns a suite names, as a task: what a file of the user's and a data set of the hub have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from tasks import columns, metrics
from tasks.base import Card, Task, TaskOptions
from tasks.splits import SHARES, apart, is_carved, row_key, share, without_duplicates
from tasks.table import Table, column_name

if TYPE_CHECKING:
    from datasets import DatasetDict

# Classes that are listed with their number of rows.
LISTED = 12


class ColumnOptions(TaskOptions):
    """The columns by name, and what the label is."""

    kind: Literal["classification", "regression", "generation"] = "classification"
    text: str = Field("text", description="the column of the text")
    text_pair: str | None = Field(None, description="the column of a second text")
    label: str = Field("label", description="the column of the label, the number, or the text to generate")


@dataclass(frozen=True)
class Examples:
    """One split: `answers` holds classes' names, numbers, or texts to generate."""

    columns: dict[str, list[str]]
    answers: Sequence[Any]
    keys: list[bytes]

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, rows: Sequence[int]) -> Examples:
        """Those of some rows."""
        chosen = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Examples(chosen, [self.answers[row] for row in rows], [self.keys[row] for row in rows])


class MappedTask(Task):
    """A table is split by a hash of its texts; several are the splits `train`, `test` and, if there is one,
    `validation` (else a share of train, by the same hash).

    Raises ValueError, in one line with table and row, where the data cannot be used.
    """

    Options: ClassVar[type[TaskOptions]] = ColumnOptions

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the data are, for messages."""

    @abstractmethod
    def read_tables(self, names: Sequence[str]) -> dict[str, Table]:
        """The columns with these names, by split; a single table is `train`."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What of the card the data's columns do not tell."""

    def __init__(self, options: TaskOptions | None = None) -> None:
        super().__init__(options)
        assert isinstance(self.options, ColumnOptions)
        self.fields = self.options
        self._notes: list[str] = []
        self._dropped: dict[str, int] = {}
        read = self._read()
        self._given = tuple(read)
        labels, self.splits = self._examples(read)
        sources = [f"{len(table):,} rows in {table.path.name} ({table.understood})" for table in read.values()]
        self._notes = [*sources, *self._notes, *([] if len(read) == 1 else _repeated(self.splits))]
        self._divide()
        left = {answer for examples in self.splits.values() for answer in examples.answers}
        labels = tuple(label for label in labels if label in left)
        used = {split: self.splits[split].select(kept) for split, kept in apart(self._keys()).items()}
        self._check(used, labels)
        size = " / ".join(f"{len(used[split]):,}" for split in SHARES)
        self._notes += [*self._overlaps(used), f"{size} rows to train, validate and test"]
        if labels:
            self._notes.append(f"classes: {_counted(used, labels)}")
        scored = {"classification": ("accuracy", "f1_macro"), "regression": ("pearson", "spearman")}
        about = self.about()
        about["summary"] += f": {_counted(used, labels)}." if labels else "."
        self.card = Card(
            kind=self.fields.kind,
            metrics=scored.get(self.fields.kind, ("f1", "exact_match")),
            labels=labels,
            split=self._origin("; ".join(sources), used),
            size=size,
            **about,
        )

    def _read(self) -> dict[str, Table]:
        fields = self.fields
        names = [fields.text, *([fields.text_pair] if fields.text_pair else []), fields.label]
        if len({column_name(name) for name in names}) < len(names):
            raise ValueError(f"{self.place}: the columns of text and label are to be different ones, not {names}")
        return self.read_tables(names)

    def _examples(self, read: Mapping[str, Table]) -> tuple[tuple[str, ...], dict[str, Examples]]:
        """The classes, if it is a classification, and the examples of every file."""
        fields = self.fields
        label = column_name(fields.label)
        answers: Mapping[str, Sequence[Any]]
        labels: tuple[str, ...] = ()
        if fields.kind == "classification":
            found = columns.classes({split: (table, label) for split, table in read.items()})
            answers, labels = found.rows, found.names
            self._notes += found.notes
        elif fields.kind == "regression":
            answers, notes = columns.numbers({split: (table, label) for split, table in read.items()})
            self._notes += notes
        else:
            answers = {split: columns.texts(table, label) for split, table in read.items()}
        examples = {}
        for split, table in read.items():
            values = {"text": columns.texts(table, column_name(fields.text))}
            if fields.text_pair:
                values["text_pair"] = columns.texts(table, column_name(fields.text_pair))
            pairs = values.get("text_pair", [""] * len(table))
            keys = [row_key(row) for row in zip(values["text"], pairs, strict=True)]
            examples[split] = Examples(values, answers[split], keys)
        return labels, examples

    def _divide(self) -> None:
        """Into the splits that the files do not bring."""
        train = self.splits["train"]
        if "test" not in self.splits:
            kept, self._dropped = without_duplicates(train.keys, train.answers)
            self._notes += [f"left out: {count:,} rows, {reason}" for reason, count in self._dropped.items()]
            rows: dict[str, list[int]] = {name: [] for name in SHARES}
            for row in kept:
                rows[share(train.keys[row])].append(row)
            if empty := [name for name in rows if not rows[name]]:
                raise ValueError(
                    f"{self.place}: {len(kept)} different rows are too few to split: {empty[0]} stays empty"
                )
            self.splits = {name: train.select(chosen) for name, chosen in rows.items()}
        elif "validation" not in self.splits:
            drawn = [is_carved(key) for key in train.keys]
            if all(drawn) or not any(drawn):
                raise ValueError(
                    f"{self.place}: {len(train)} rows of train are too few to take a tenth of them as validation; add a"
                    " file validation, or more rows"
                )
            self.splits["train"] = train.select([row for row, held in enumerate(drawn) if not held])
            self.splits["validation"] = train.select([row for row, held in enumerate(drawn) if held])

    def _keys(self) -> dict[str, list[bytes]]:
        return {split: examples.keys for split, examples in self.splits.items()}

    def _check(self, used: Mapping[str, Examples], labels: tuple[str, ...]) -> None:
        """Of what is left of the splits, once no row stands in two of them."""
        for split, examples in used.items():
            if not len(examples):
                later = "test" if split == "validation" else "test or validation"
                raise ValueError(f"{self.place}: every row of {split} stands in {later} too, and nothing is left of it")
        if not labels:
            return
        train = set(used["train"].answers)
        if len(train) < 2:
            raise ValueError(
                f"{self.place}: the column {self.fields.label!r} holds a single class in train, {min(train)!r}; a"
                " classification needs two or more"
            )
        for label in labels:
            if label not in train:
                where = next((split for split in used if label in used[split].answers), "rows that later splits hold")
                raise ValueError(
                    f"{self.place}: the label {label!r} occurs in {where} and not in train; add examples of it to"
                    " train, or take them out"
                )
        if untested := [label for label in labels if label in train - set(used["test"].answers)]:
            self._notes.append(f"warning: test has no rows of {', '.join(map(repr, untested[:LISTED]))}")

    def _overlaps(self, used: Mapping[str, Examples]) -> Iterator[str]:
        """What a later split holds too. The engine leaves it out and counts it, as it does for every task."""
        for split, later in (("train", "validation or test"), ("validation", "test")):
            if count := len(self.splits[split]) - len(used[split]):
                yield f"warning: {count:,} rows of {split} stand in {later} too, and are left out of {split}"

    def _origin(self, sources: str, used: Mapping[str, Examples]) -> str:
        """How train, validation and test came to be, in one sentence."""
        left_out = [f"{count:,} rows ({reason})" for reason, count in self._dropped.items()]
        if twice := sum(map(len, self.splits.values())) - sum(map(len, used.values())):
            left_out.append(f"{twice:,} rows (in a later split too)")
        if "test" not in self._given:
            sources += ", split 70/10/20 % by a hash of the text"
        elif "validation" not in self._given:
            sources += "; validation is a tenth of train, by a hash of the text"
        without = f"; left out: {', '.join(left_out)}" if left_out else ""
        return f"{sources}{without}."

    @override
    def load(self) -> DatasetDict:
        from datasets import Dataset, DatasetDict

        number = {label: index for index, label in enumerate(self.card.labels)}

        def table(examples: Examples) -> Dataset:
            if self.fields.kind == "generation":
                return Dataset.from_dict(examples.columns | {"targets": [[text] for text in examples.answers]})
            answers = [number[label] for label in examples.answers] if number else list(examples.answers)
            return Dataset.from_dict(examples.columns | {"label": answers})

        return DatasetDict({split: table(self.splits[split]) for split in SHARES})

    @override
    def dropped(self) -> dict[str, int]:
        return dict(self._dropped)

    @override
    def notes(self) -> list[str]:
        return list(self._notes)

    @override
    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        if self.fields.kind == "classification":
            return metrics.classification(predictions, references)
        if self.fields.kind == "regression":
            return metrics.correlations(predictions, references)
        return metrics.answers(predictions, references)

    @override
    def score_each(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, list[float]]:
        if self.fields.kind in ("classification", "regression"):
            return super().score_each(predictions, references)
        return metrics.answers_each(predictions, references)


def _counted(used: Mapping[str, Examples], labels: tuple[str, ...]) -> str:
    """Every class with its rows in all splits."""
    counts = Counter(label for examples in used.values() for label in examples.answers)
    listed = ", ".join(f"{label} ({counts[label]:,})" for label in labels[:LISTED])
    return listed + (f" and {len(labels) - LISTED} more" if len(labels) > LISTED else "")


def _repeated(splits: Mapping[str, Examples]) -> Iterator[str]:
    """Rows that a folder's file holds more than once: they are its author's, and stay."""
    for split, examples in splits.items():
        _, found = without_duplicates(examples.keys, examples.answers)
        for reason, count in found.items():
            yield f"warning: {count:,} rows of {split} are {reason} within it; they are kept, as the folder has them"

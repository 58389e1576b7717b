"""Your own data as a task: `files:reviews.csv`, with the names of its columns as options.

One file is split by a hash of its texts; a folder holds `train`, `test` and, if there is one, `validation` (else a
share of train, by the same hash). CSV with a header, JSON Lines and Parquet are read.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from tasks import metrics
from tasks.base import Card, Task, TaskOptions
from tasks.splits import SHARES, carve, share, text_key

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

EXAMPLE = "<path>"
SUFFIXES = (".csv", ".jsonl", ".parquet")
Row = dict[str, Any]


class FileOptions(TaskOptions):
    kind: Literal["classification", "regression", "generation"] = "classification"
    text: str = Field("text", description="the column of the text")
    text_pair: str | None = Field(None, description="the column of a second text")
    label: str = Field("label", description="the column of the label, the number, or the text to generate")


class FileTask(Task):
    """Raises ValueError, in one line with file and row, where the data cannot be used."""

    Options = FileOptions
    path: Path

    def __init__(self, options: TaskOptions | None = None) -> None:
        super().__init__(options)
        assert isinstance(self.options, FileOptions)
        self.fields = self.options
        self.rows = {name: _read(path, self.fields) for name, path in _files(self.path).items()}
        if self.alone:
            self.rows = {"train": _without_duplicates(self.rows["train"])}
            if empty := [name for name, rows in self._drawn().items() if not rows]:
                raise ValueError(
                    f"{self.path}: {len(self.rows['train'])} different rows are too few to split:"
                    f" {empty[0]} stays empty"
                )
        labels = self._labels() if self.fields.kind == "classification" else ()
        counts = ", ".join(f"{len(rows):,} in {name}" for name, rows in self.rows.items())
        scored = {"classification": ("accuracy", "f1_macro"), "regression": ("pearson", "spearman")}
        self.card = Card(
            name=f"files:{self.path.name}",
            title=self.path.stem,
            kind=self.fields.kind,
            metrics=scored.get(self.fields.kind, ("f1", "exact_match")),
            labels=labels,
            summary="The user's own data.",
            split=f"Rows: {counts}. What has no split of its own is split 70/10/20 % by a hash of the text.",
            licence="the user's own",
            citation="",
            bibtex="",
            size=counts,
            offline=True,
        )

    def _labels(self) -> tuple[str, ...]:
        """In the order of the alphabet, or of their numbers."""
        train = {row["label"] for row in (self._drawn() if self.alone else self.rows)["train"]}
        if len(train) < 2:
            raise ValueError(
                f"{self.path}: the column {self.fields.label!r} holds a single class, {next(iter(train))!r};"
                " a classification needs two or more"
            )
        for name, rows in (self._drawn() if self.alone else self.rows).items():
            if unseen := sorted({row["label"] for row in rows} - train):
                raise ValueError(
                    f"{self.path}: the label {unseen[0]!r} occurs in {name} and not in train; add examples of it to"
                    " train, or take them out"
                )
        return tuple(sorted(train, key=lambda label: (_number(label), label)))

    def load(self) -> DatasetDict:
        from datasets import Dataset, DatasetDict

        kind = self.fields.kind
        index = {label: number for number, label in enumerate(self.card.labels)}
        columns: dict[str, Callable[[str], Any]] = {
            "classification": index.__getitem__,
            "regression": float,
            "generation": lambda text: [text],
        }
        key = "targets" if kind == "generation" else "label"
        kept = ["text", *(["text_pair"] if self.fields.text_pair else []), key]

        def table(rows: list[Row]) -> Dataset:
            full = [{**row, key: columns[kind](row["label"])} for row in rows]
            return Dataset.from_dict({name: [row[name] for row in full] for name in kept})

        splits = {name: table(rows) for name, rows in (self._drawn() if self.alone else self.rows).items()}
        if "validation" not in splits:
            splits["train"], splits["validation"] = carve(splits["train"])
        return DatasetDict(splits)

    @property
    def alone(self) -> bool:
        """Whether there is one file, yet to be split."""
        return len(self.rows) == 1

    def _drawn(self) -> dict[str, list[Row]]:
        splits: dict[str, list[Row]] = {name: [] for name in SHARES}
        for row in self.rows["train"]:
            splits[share(_key(row))].append(row)
        return splits

    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        if self.fields.kind == "classification":
            return metrics.classification(predictions, references)
        if self.fields.kind == "regression":
            return metrics.correlations(predictions, references)
        return metrics.answers(predictions, references)


class Registry(Protocol):
    @property
    def base(self) -> Path: ...


def get(description: str, registry: Registry) -> type[FileTask]:
    """The class of the task of a file or folder, seen from the suite's folder. Raises ValueError where there is
    none."""
    place = registry.base / Path(description).expanduser()
    digest = hashlib.sha256()
    for name, file in _files(place).items():
        digest.update(f"{name} ".encode() + file.read_bytes())

    class Made(FileTask):
        path = place
        revision = digest.hexdigest()[:12]

    return Made


def _files(path: Path) -> dict[str, Path]:
    """The file of every split that is there; of a single file, `train`."""
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise ValueError(
                f"{path}: is read as {path.suffix or 'no known format'}; write one of {', '.join(SUFFIXES)}"
            )
        return {"train": path}
    if not path.is_dir():
        raise ValueError(f"{path}: no such file or folder; paths are seen from the suite's folder")
    found = {
        split: file
        for split in ("train", "validation", "test")
        for suffix in SUFFIXES
        if (file := path / f"{split}{suffix}").is_file()
    }
    if missing := {"train", "test"} - set(found):
        raise ValueError(f"{path}: holds no {sorted(missing)[0]}.csv (or .jsonl, .parquet)")
    return found


def _read(path: Path, fields: FileOptions) -> list[Row]:
    """Rows with `text`, `text_pair` if there is one, and `label`, all of them as text."""
    names = {"text": fields.text, "label": fields.label} | ({"text_pair": fields.text_pair} if fields.text_pair else {})
    rows = []
    for line, raw in _raw(path):
        if lacking := [name for name in names.values() if name not in raw]:
            have = ", ".join(map(repr, list(raw)[:8]))
            place = f"{path}:{line}" if path.suffix == ".jsonl" else path  # elsewhere all rows have the same columns
            raise ValueError(f"{place}: no column {lacking[0]!r}; there are {have}; name it as in {{text: review}}")
        row = {key: raw[name] for key, name in names.items()}
        if empty := [name for key, name in names.items() if row[key] is None or not str(row[key]).strip()]:
            raise ValueError(f"{path}:{line}: the column {empty[0]!r} is empty; fill it in or take the row out")
        row = {key: str(value) for key, value in row.items()}
        if fields.kind == "regression" and _number(row["label"]) == float("inf"):
            raise ValueError(f"{path}:{line}: {row['label']!r} in {fields.label!r} is no number")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: holds no rows")
    return rows


def _key(row: Row) -> bytes:
    return text_key(f"{row['text']}\0{row.get('text_pair', '')}")


def _without_duplicates(rows: list[Row]) -> list[Row]:
    """Of rows with the same text one is kept, and none where their labels contradict each other."""
    found: dict[bytes, Row | None] = {}
    for row in rows:
        known = found.setdefault(_key(row), row)
        if known is not None and known["label"] != row["label"]:
            found[_key(row)] = None
    return [row for row in found.values() if row is not None]


def _raw(path: Path) -> Iterator[tuple[int, Row]]:
    """Rows as they stand, each with its line (in Parquet, its number)."""
    try:
        if path.suffix == ".parquet":
            import pandas as pd

            yield from enumerate(pd.read_parquet(path).to_dict("records"), 1)
            return
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".jsonl":
                for line, text in enumerate(file, 1):
                    if text.strip():
                        row = json.loads(text)
                        if not isinstance(row, dict):
                            raise ValueError(f"{path}:{line}: is no JSON object")
                        yield line, row
                return
            reader = csv.DictReader(file, strict=True)
            for row in reader:
                if None in row:
                    raise ValueError(
                        f"{path}:{reader.line_num}: has more fields than the header; put texts with commas in quotes"
                    )
                yield reader.line_num, row
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{line}: is no JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num}: cannot be read: {error}") from None
    except (OSError, ImportError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None


def _number(text: str) -> float:
    """Its value, infinity where it is none: what is no number comes last."""
    try:
        return float(text)
    except ValueError:
        return float("inf")

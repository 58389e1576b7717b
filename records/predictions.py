"""What a model answered on a task's test examples: one row per example, as Parquet. Imports no torch and no pandas.

A file stands beside its cell's record, which names its digest. Values are kept as the task scores them, so that a
metric can be computed later from the file alone: as numbers where the kind of task has numbers, else as JSON.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FILE = "predictions.parquet"

# Draws of a test set for each metric that is no mean over examples: a standard error from so many is right to a
# twentieth.
RESAMPLES = 200

# Before the name of a metric, the column with its value for each example.
SCORE = "score:"

# How predictions and references of a kind are held; of other kinds, a mixture's among them, as JSON.
_TYPES: dict[str, tuple[pa.DataType, pa.DataType]] = {
    "classification": (pa.int64(), pa.int64()),
    "multiple choice": (pa.int64(), pa.int64()),
    "regression": (pa.float64(), pa.float64()),
    "tagging": (pa.list_(pa.int64()), pa.list_(pa.int64())),
    "extractive QA": (pa.string(), pa.list_(pa.string())),
    "generation": (pa.string(), pa.list_(pa.string())),
    "language modelling": (pa.float64(), pa.list_(pa.int64())),
}

# What a stranger's file may unpack to.
MOST_ROWS = 10_000_000


class UnusablePredictions(Exception):
    """A file holds no predictions; the message says why, to be put after its path."""


@dataclass(frozen=True)
class Predictions:
    """Lists of equal length, one entry per test example, in the order in which the model was asked.

    `examples` are ids by content (`tasks.splits.row_key`), the same in every cell of a task. `predictions` and
    `references` are what `tasks.base.Task.score` takes. `tokens` is how many the model read, padding excluded. `scores`
    has, for each metric that is a mean over examples, the values that it is the mean of. `probabilities` are a head's
    softmax over the labels (or the row's choices), `likelihoods` each answer's log-likelihood in nats; empty where
    there are none. `resampled` has, for each metric of the card that is no such mean, its values on RESAMPLES draws of
    the examples with replacement; the draws depend on the examples alone, so that those of two cells are paired.
    """

    kind: str
    examples: list[str]
    predictions: list[Any]
    references: list[Any]
    tokens: list[int] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    probabilities: list[list[float]] = field(default_factory=list)
    likelihoods: list[list[float]] = field(default_factory=list)
    resampled: dict[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.examples)


def to_bytes(found: Predictions) -> bytes:
    """The Parquet file. Raises ValueError where the lists differ in length."""
    prediction, reference = _TYPES.get(found.kind, (None, None))
    columns: dict[str, pa.Array] = {
        "example": pa.array(found.examples, pa.string()),
        "reference": _held(found.references, reference),
        "prediction": _held(found.predictions, prediction),
    }
    if found.tokens:
        columns["tokens"] = pa.array(found.tokens, pa.int32())
    for name, values in found.scores.items():
        columns[f"{SCORE}{name}"] = pa.array(values, pa.float64())
    for name in ("probabilities", "likelihoods"):
        if values := getattr(found, name):
            columns[name] = pa.array(values, pa.list_(pa.float32()))
    notes = {"kind": found.kind, "resampled": json.dumps(found.resampled)}
    # Raises ArrowInvalid, a ValueError, where a column is too short.
    table = pa.table(columns).replace_schema_metadata(notes)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def from_bytes(data: bytes) -> Predictions:
    """Raises UnusablePredictions."""
    table = _table(data)
    notes = {key.decode(): value.decode("utf-8", "replace") for key, value in (table.schema.metadata or {}).items()}
    kind = notes.get("kind", "")
    names = table.column_names
    if lacking := {"example", "reference", "prediction"} - set(names):
        raise UnusablePredictions(f"lacks the column {sorted(lacking)[0]!r}")
    try:
        resampled = json.loads(notes.get("resampled", "{}"))
        read: Callable[[str], list[Any]] = lambda name: table[name].to_pylist() if name in names else []  # noqa: E731
        return Predictions(
            kind=kind,
            examples=[str(each) for each in read("example")],
            predictions=_released(read("prediction"), kind),
            references=_released(read("reference"), kind),
            tokens=read("tokens"),
            scores={name.removeprefix(SCORE): read(name) for name in names if name.startswith(SCORE)},
            probabilities=read("probabilities"),
            likelihoods=read("likelihoods"),
            resampled={str(name): [float(v) for v in values] for name, values in resampled.items()},
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise UnusablePredictions(f"holds no predictions ({error})") from None


class Outcome(NamedTuple):
    """What statistics over examples need of a file: ids (n,), and the metric's values by example (n,), or, where it is
    no mean over examples, on the draws (RESAMPLES,); the other of the two is None."""

    examples: np.ndarray
    scores: np.ndarray | None
    draws: np.ndarray | None


def outcome(data: bytes, metric: str) -> Outcome | None:
    """Of one metric, fast; None where the file has nothing on it. Raises UnusablePredictions."""
    table = _table(data, ("example", SCORE + metric))
    if "example" not in table.column_names:
        raise UnusablePredictions("lacks the column 'example'")
    examples = table["example"].to_numpy()
    if SCORE + metric in table.column_names:
        return Outcome(examples, np.asarray(table[SCORE + metric].to_numpy(), dtype=float), None)
    try:
        resampled = json.loads((table.schema.metadata or {}).get(b"resampled", b"{}"))
        drawn = resampled.get(metric)
        return None if drawn is None else Outcome(examples, None, np.array(drawn, dtype=float))
    except (ValueError, TypeError, AttributeError) as error:
        raise UnusablePredictions(f"holds no predictions ({error})") from None


class Answers(NamedTuple):
    """What the analysis of errors needs of a file, by example in its order. `predicted` and `expected` are indices into
    the labels (or the row's choices), None where the kind of task has neither; `scores` are the metric's values, None
    where it is no mean over examples; `tokens` is how many were read, `confidence` the probability of the likeliest
    label, None where the file has none of it."""

    kind: str
    examples: pa.Array
    predicted: np.ndarray | None
    expected: np.ndarray | None
    scores: np.ndarray | None
    tokens: np.ndarray | None
    confidence: np.ndarray | None


# Kinds whose predictions are indices.
INDEXED = ("classification", "multiple choice")


def answers(data: bytes, metric: str) -> Answers:
    """Fast: nothing is read that is not asked for. Raises UnusablePredictions."""
    columns = ("example", "tokens", SCORE + metric, "probabilities", "prediction", "reference")
    kind = _kind(data)
    table = _table(data, columns if kind in INDEXED else columns[:3])
    names = table.column_names
    if lacking := {"example", *(columns[4:] if kind in INDEXED else ())} - set(names):
        raise UnusablePredictions(f"lacks the column {sorted(lacking)[0]!r}")

    def read(name: str, dtype: type) -> np.ndarray | None:
        if name in names and table[name].null_count:
            raise UnusablePredictions(f"has rows without a {name}")
        return np.asarray(table[name].to_numpy(), dtype=dtype) if name in names else None

    try:
        return Answers(
            kind=kind,
            examples=table["example"].combine_chunks(),
            predicted=read("prediction", np.int32),
            expected=read("reference", np.int32),
            scores=read(SCORE + metric, float),
            tokens=read("tokens", float),
            confidence=_greatest(table["probabilities"]) if "probabilities" in names else None,
        )
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise UnusablePredictions(f"holds no predictions ({error})") from None


def _greatest(lists: pa.ChunkedArray) -> np.ndarray | None:
    """Of each list the greatest number; None where one has none."""
    held = lists.combine_chunks()
    lengths = np.asarray(pc.fill_null(pc.list_value_length(held), 0))
    if not len(lengths) or lengths.min() == 0:
        return None
    starts = np.concatenate([[0], np.cumsum(lengths[:-1])])
    return np.maximum.reduceat(np.asarray(held.flatten(), dtype=float), starts)


def _kind(data: bytes) -> str:
    try:
        notes = pq.ParquetFile(io.BytesIO(data)).schema_arrow.metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise UnusablePredictions(_unreadable(error)) from None
    return str(notes.get(b"kind", b"").decode("utf-8", "replace"))


def _table(data: bytes, names: Sequence[str] | None = None) -> pa.Table:
    """All columns, or those of the named that there are."""
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows > MOST_ROWS:
            raise UnusablePredictions(f"has {file.metadata.num_rows:,} rows, more than {MOST_ROWS:,}")
        there = file.schema_arrow.names
        # In one thread: a file is small, and to start more takes longer than to read it.
        return file.read(None if names is None else [name for name in names if name in there], use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise UnusablePredictions(_unreadable(error)) from None


def _unreadable(error: Exception) -> str:
    return f"is no Parquet file that can be read ({' '.join(str(error).split())[:200]})"


def _held(values: list[Any], kind: pa.DataType | None) -> pa.Array:
    if kind is None:
        return pa.array([json.dumps(value, ensure_ascii=False) for value in values], pa.string())
    return pa.array(values, kind)


def _released(values: list[Any], kind: str) -> list[Any]:
    return values if kind in _TYPES else [json.loads(value) for value in values]


def texts_to_bytes(rows: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Examples' raw columns by id, as Parquet with the columns `example` and `row` (JSON)."""
    table = pa.table(
        {
            "example": pa.array(list(rows), pa.string()),
            "row": pa.array([json.dumps(dict(row), ensure_ascii=False, default=str) for row in rows.values()]),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def texts_from_bytes(data: bytes) -> dict[str, dict[str, Any]]:
    """Raises UnusablePredictions."""
    table = _table(data)
    try:
        rows = {i: json.loads(row) for i, row in zip(*(table[n].to_pylist() for n in ("example", "row")), strict=True)}
    except (KeyError, ValueError, TypeError) as error:
        raise UnusablePredictions(f"holds no examples ({error})") from None
    if not all(isinstance(row, dict) for row in rows.values()):
        raise UnusablePredictions("holds an example that is no mapping from columns to values")
    return rows

"""What each configuration answered to each test example, from the predictions that cells have kept: as arrays with a
row per cell and a column per example.

Folders without predictions have none of this, and report all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from records import predictions
from records.store import RecordStore, ResultsError
from reports.results import Results, select


@dataclass(frozen=True)
class Answers:
    """On one task, for one backbone. `ids`, `labels` and `seeds` are those of the cells that kept predictions, in the
    order of the results' labels; `examples` are in the order of their ids.

    `predicted` (cells, examples) and `expected` (examples,) are indices into the labels, or the row's choices; None
    where the kind of task has neither. `scores` (cells, examples) are the primary metric's values as the metric has
    them, None where it is no mean over examples. `tokens` (examples,) is the least that any cell read of an example,
    since some put other examples before it. `confidence` (cells, examples) is the probability of the likeliest label,
    NaN in rows of cells without probabilities; None where no cell has any.
    """

    backbone: str
    task: str
    kind: str
    examples: tuple[str, ...]
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    predicted: np.ndarray | None = None
    expected: np.ndarray | None = None
    scores: np.ndarray | None = None
    tokens: np.ndarray | None = None
    confidence: np.ndarray | None = None

    @cached_property
    def right(self) -> np.ndarray | None:
        """Whether each answer is right (cells, examples): it is the expected label, or, where there are no labels, its
        score is 1 and every score is either 0 or 1. None where answers are more or less good."""
        if self.predicted is not None and self.expected is not None:
            found: np.ndarray = self.predicted == self.expected
            return found
        if self.scores is not None and bool(np.isin(self.scores, (0, 1)).all()):
            perfect: np.ndarray = self.scores == 1
            return perfect
        return None

    @cached_property
    def values(self) -> np.ndarray | None:
        """What is averaged over examples (cells, examples): 1 for a right answer, else the score."""
        return self.scores if self.right is None else self.right.astype(float)

    def rows(self, label: str) -> list[int]:
        """The cells of a configuration."""
        return [row for row, own in enumerate(self.labels) if own == label]


class _Order(NamedTuple):
    """What sorts the ids of a file."""

    places: np.ndarray
    examples: tuple[str, ...]


def read_answers(results: Results, backbone: str, task: str) -> Answers | None:
    """Of all cells that kept predictions of the examples that most of them have; None where none did. Cells whose files
    are broken are left out."""
    own = select(results.scored, backbone=backbone, task=task)["label"]
    cells = sorted((str(cell) for cell in own.index), key=lambda cell: results.labels.index(own[cell]))
    found = list(_found(results, cells, task))
    if not found:
        return None
    # Of other examples, from another version of the data, say, nothing can be compared; nor of another kind.
    [(usual, _)] = Counter((order.examples, answers.kind) for _, order, answers in found).most_common(1)
    found = [one for one in found if (one[1].examples, one[2].kind) == usual]
    places = [order.places for _, order, _ in found]
    columns = [answers for _, _, answers in found]
    confidence = _stacked([one.confidence for one in columns], places, some=True)
    tokens = _stacked([one.tokens for one in columns], places, some=True)
    first = columns[0].expected
    return Answers(
        backbone=backbone,
        task=task,
        kind=usual[1],
        examples=usual[0],
        ids=tuple(cell for cell, _, _ in found),
        labels=tuple(str(own[cell]) for cell, _, _ in found),
        seeds=tuple(results.records[cell].cell.seed for cell, _, _ in found),
        predicted=_stacked([one.predicted for one in columns], places),
        expected=None if first is None else first[places[0]],
        scores=_stacked([one.scores for one in columns], places),
        tokens=None if tokens is None else np.nanmin(tokens, axis=0),
        confidence=confidence,
    )


def _found(results: Results, cells: Iterable[str], task: str) -> Iterator[tuple[str, _Order, predictions.Answers]]:
    store, metric = RecordStore(results.root), results.metric_key(task)
    before: tuple[pa.Array, _Order] | None = None
    for cell in cells:
        try:
            data = store.kept(results.records[cell], "predictions.parquet")
            answers = None if data is None else predictions.answers(data, metric)
        except (ResultsError, predictions.UnusablePredictions):
            continue
        if answers is None:
            continue
        # All cells of a task are asked the same examples, mostly in one order: sorted once.
        if before is None or not answers.examples.equals(before[0]):
            ids = answers.examples.to_numpy(zero_copy_only=False)
            places = np.argsort(ids)
            before = answers.examples, _Order(places, tuple(map(str, ids[places])))
        if len(set(before[1].examples)) == len(before[1].examples) > 0:
            yield cell, before[1], answers


def _stacked(
    columns: Sequence[np.ndarray | None], places: Sequence[np.ndarray], some: bool = False
) -> np.ndarray | None:
    """A row per cell, each in the order of the examples. None where a cell has no such column, or with `some` where
    none has; the rows of those without are then NaN."""
    there = [column for column in columns if column is not None]
    if not there or (len(there) < len(columns) and not some):
        return None
    made = (
        np.full((len(columns), len(places[0])), np.nan)
        if some
        else np.empty((len(columns), len(places[0])), there[0].dtype)
    )
    for row, (column, place) in enumerate(zip(columns, places, strict=True)):
        if column is not None:
            made[row] = column[place]
    return made

"""Predictions beside the records of a made-up results folder, as its cells would have kept them."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from records.predictions import Predictions, to_bytes
from records.record import Record
from records.store import RecordStore
from reports.results import read


def put(store: RecordStore, record: Record, found: Predictions) -> Record:
    """Keeps one cell's predictions, and says so in its record."""
    digest = store.keep(record.id, "predictions.parquet", to_bytes(found))
    kept = record.model_copy(update={"kept": {"predictions.parquet": digest}})
    store.write(kept)
    return kept


def classified(
    predicted: list[int], expected: list[int], probabilities: list[list[float]] | None = None, **more: Any
) -> Predictions:
    """Of a classification, with examples named by their places."""
    fields: dict[str, Any] = {"examples": [f"{i:064x}" for i in range(len(expected))]} | more
    return Predictions(
        kind="classification",
        predictions=predicted,
        references=expected,
        scores={"accuracy": [float(p == e) for p, e in zip(predicted, expected, strict=True)]},
        probabilities=probabilities or [],
        **fields,
    )


def keep_all(root: Path, n: int = 60, texts: Mapping[str, str] | None = None, tasks: Sequence[str] = ()) -> Path:
    """Predictions of `n` examples by every scored cell of a folder of classifications: harder and easier examples, and
    what a family gets wrong its configurations mostly share. `texts` are put in front of the examples' own; `tasks`
    are those of which predictions are kept, by default all."""
    results, store = read(root), RecordStore(root)
    texts = list((texts or {}).values())
    for task in tasks or results.tasks:
        classes = max(2, len(results.task_card(task).labels))
        examples = [hashlib.sha256(f"{task} {i}".encode()).hexdigest() for i in range(n)]
        rng = np.random.default_rng(zlib.crc32(task.encode()))
        expected, hard = rng.integers(classes, size=n), rng.normal(size=n)
        tokens = rng.integers(5, 60, size=n)
        leaning = {family: rng.normal(size=n) for family in sorted(set(results.cells["family"]))}
        store.write_texts(
            task,
            {
                example: {
                    "text": f"{texts[i] if i < len(texts) else ''} Example {i} of {task}.",
                    "label": int(expected[i]),
                }
                for i, example in enumerate(examples)
            },
        )
        for cell, row in results.cells[results.cells["task"] == task].iterrows():
            record = results.records.get(str(cell))
            if record is None or not record.test:
                continue
            own = np.random.default_rng(random.Random(str(cell)).getrandbits(32))
            pull = 1.4 + hard + 0.8 * leaning[row["family"]] + 0.7 * own.normal(size=n)
            logits = 0.3 * own.normal(size=(n, classes))
            logits[np.arange(n), expected] += pull
            chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            predicted = chances.argmax(axis=1)
            put(
                store,
                record,
                classified(
                    predicted.tolist(), expected.tolist(), chances.tolist(), examples=examples, tokens=tokens.tolist()
                ),
            )
    return root


if __name__ == "__main__":
    import sys

    keep_all(Path(sys.argv[1]))

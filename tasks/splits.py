"""Splits for data that comes without: by a hash of the text, so that neither order nor seed matters."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from records.text import composed

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

# Why rows of a raw table are in no split.
DUPLICATES = "duplicates"
CONTRADICTING = "contradicting labels"

# Upper ends of the intervals of [0, 1) that the hash is mapped to.
SHARES = {"train": 0.7, "validation": 0.8, "test": 1.0}
# What of a training split becomes validation where a data set has none to spare.
CARVED = 0.1


def text_key(text: str) -> bytes:
    """Equal for texts that differ only in case or white space."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).digest()


def row_key(values: Iterable[Any]) -> bytes:
    """Equal for rows whose values (texts, numbers, lists of either) differ only in case, in white space, or in whether
    an accent is part of its letter."""
    parts = (" ".join(str(value).split()) for value in values)
    return text_key(composed("\0".join(parts)))


def position(key: bytes) -> float:
    """Where in [0, 1) a key lies. Rows are ordered by a key's leading bytes; these are others, so that the two are
    independent."""
    return int.from_bytes(key[8:16], "big") / 2**64


def share(key: bytes) -> str:
    """The split to which a key belongs."""
    return next(name for name, end in SHARES.items() if position(key) < end)


def is_carved(key: bytes) -> bool:
    """Whether a training row goes to validation, where a data set has none."""
    return position(key) < CARVED


def without_duplicates(keys: Sequence[bytes], labels: Sequence[Hashable]) -> tuple[list[int], dict[str, int]]:
    """The rows to keep, in their order, and how many are left out by reason: of rows with one key the first is kept,
    and none of them where their labels differ, since no label of theirs can be trusted."""
    first: dict[bytes, int] = {}
    contradicted = set()
    for index, key in enumerate(keys):
        if labels[first.setdefault(key, index)] != labels[index]:
            contradicted.add(key)
    kept = [index for key, index in first.items() if key not in contradicted]
    contradicting = sum(key in contradicted for key in keys)
    counts = {DUPLICATES: len(keys) - contradicting - len(kept), CONTRADICTING: contradicting}
    return kept, {reason: count for reason, count in counts.items() if count}


def apart(keys: Mapping[str, Sequence[bytes]]) -> dict[str, list[int]]:
    """The rows of every split that no later one holds too, later being test, then validation, then train."""
    seen: set[bytes] = set()
    kept = {}
    for split in ("test", "validation", "train"):
        kept[split] = [index for index, key in enumerate(keys[split]) if key not in seen]
        seen.update(keys[split])
    return kept


def split_by_hash(rows: Iterable[tuple[str, int]]) -> tuple[DatasetDict, dict[str, int]]:
    """70 / 10 / 20 % splits of (text, label) rows, and how many were left out by reason: duplicates, and texts with
    labels that contradict each other. Within a split, rows are ordered by their hash."""
    from datasets import Dataset, DatasetDict

    given = list(rows)
    keys = [text_key(text) for text, _ in given]
    kept, dropped = without_duplicates(keys, [label for _, label in given])
    splits: dict[str, dict[str, list[Any]]] = {name: {"text": [], "label": []} for name in SHARES}
    for index in sorted(kept, key=keys.__getitem__):
        columns = splits[share(keys[index])]
        columns["text"].append(given[index][0])
        columns["label"].append(given[index][1])
    return DatasetDict({name: Dataset.from_dict(columns) for name, columns in splits.items()}), dropped


def carve(train: Dataset, group: str | None = None) -> tuple[Dataset, Dataset]:
    """A tenth of a training split as validation, drawn by a hash of its text (or words), or of the column `group`:
    rows with the same are never divided. Returns (train, validation) in their order."""
    columns = [group] if group else [name for name in ("text", "text_pair", "words") if name in train.column_names]
    held: list[int] = []
    kept: list[int] = []
    for index, values in enumerate(zip(*(train[name] for name in columns), strict=True)):
        (held if is_carved(text_key("\0".join(map(str, values)))) else kept).append(index)
    return train.select(kept), train.select(held)

"""Splits for data that comes without: by a hash of the text, so that neither order nor seed matters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

# Upper ends of the intervals of [0, 1) that the hash is mapped to.
SHARES = {"train": 0.7, "validation": 0.8, "test": 1.0}
# What of a training split becomes validation where a data set has none to spare.
CARVED = 0.1


def text_key(text: str) -> bytes:
    """Equal for texts that differ only in case or white space."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).digest()


def position(key: bytes) -> float:
    """Where in [0, 1) a key lies. Rows are ordered by a key's leading bytes; these are others, so that the two are
    independent."""
    return int.from_bytes(key[8:16], "big") / 2**64


def share(key: bytes) -> str:
    """The split to which a key belongs."""
    return next(name for name, end in SHARES.items() if position(key) < end)


def split_by_hash(rows: Iterable[tuple[str, int]]) -> DatasetDict:
    """70 / 10 / 20 % splits of (text, label) rows, without duplicates.

    Of texts that occur more than once one is kept; a text that occurs with different labels is dropped
    altogether, since no label of it can be trusted. Within a split, rows are ordered by their hash.
    """
    from datasets import Dataset, DatasetDict

    unique: dict[bytes, tuple[str, int] | None] = {}
    for text, label in rows:
        key = text_key(text)
        known = unique.setdefault(key, (text, label))
        if known is not None and known[1] != label:
            unique[key] = None
    splits: dict[str, dict[str, list]] = {name: {"text": [], "label": []} for name in SHARES}
    for key in sorted(unique):
        row = unique[key]
        if row is None:
            continue
        name = share(key)
        splits[name]["text"].append(row[0])
        splits[name]["label"].append(row[1])
    return DatasetDict({name: Dataset.from_dict(columns) for name, columns in splits.items()})


def carve(train: Dataset, group: str | None = None) -> tuple[Dataset, Dataset]:
    """A tenth of a training split as validation, drawn by a hash of its text (or words), or of the column `group`:
    rows with the same are never divided. Returns (train, validation) in their order."""
    columns = [group] if group else [name for name in ("text", "text_pair", "words") if name in train.column_names]
    held: list[int] = []
    kept: list[int] = []
    for index, values in enumerate(zip(*(train[name] for name in columns), strict=True)):
        drawn = position(text_key("\0".join(map(str, values)))) < CARVED
        (held if drawn else kept).append(index)
    return train.select(kept), train.select(held)

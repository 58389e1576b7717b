"""What a task and a form make before anything is drawn by a seed: rows, checked, and their features. Both are made
once and kept under BENCH_CACHE, as memory maps: rows for every tokenizer, features for every method and seed."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from bench import forms
from bench.caches import CacheError, cache_folder, kept
from bench.contract import DataError, check, plain
from bench.forms.base import Form, encoded
from tasks.base import Task
from tasks.splits import apart, row_key

# The file in a kept task's folder that tells where its rows came from, and how many each split has.
ORIGIN = "origin.json"

# Hexadecimal digits of an example's id: among a million examples two share one with a chance of 3 in 100 million.
ID_DIGITS = 16

# The columns by which two examples count as the same.
IDENTITY = ("task", "text", "text_pair", "words", "choices")


@dataclass(frozen=True)
class TaskRows:
    """A task's rows as they are kept: `lengths` by split, `origin` what is to be told of them, `key` all that they
    depend on. A split is looked at only where its rows are asked for."""

    task: Task
    key: str
    lengths: dict[str, int]
    origin: dict[str, Any]

    @classmethod
    def of(cls, task: Task, revision: str) -> TaskRows:
        """Of a task of this revision. Raises DataError and TaskUnavailable."""
        key = _key_of_rows(task, revision)

        def make() -> Callable[[Path], None]:
            raw, duplicates = _checked(task)
            for split in raw:
                _loaded("rows", task, f"{split}-{key}", partial(raw.__getitem__, split))
            lengths = {split: len(rows) for split, rows in raw.items()}
            origin = {"duplicates_removed": duplicates, "commits": task.commits(), "dropped": task.dropped()}

            def write(folder: Path) -> None:
                (folder / ORIGIN).write_text(json.dumps({"lengths": lengths, "origin": origin}), encoding="utf-8")

            return write

        told = json.loads((_kept("rows", task, key, make) / ORIGIN).read_text(encoding="utf-8"))
        return cls(task, key, told["lengths"], told["origin"])

    def split(self, name: str) -> Dataset:
        """The rows of a split, each with its id in the column `example`. Raises DataError and TaskUnavailable."""
        return _loaded("rows", self.task, f"{name}-{self.key}", lambda: _checked(self.task)[0][name])


@dataclass(frozen=True)
class Features:
    """What a form makes of a task's rows; `key` is all that it depends on."""

    form: Form
    rows: TaskRows
    key: str

    @classmethod
    def of(cls, form: Form, revision: str) -> Features:
        """Of the form's task, of this revision. Raises DataError and TaskUnavailable."""
        rows = TaskRows.of(form.task, revision)
        return cls(form, rows, _key_of_features(form, rows.key))

    def split(self, name: str, chosen: np.ndarray | None = None) -> Dataset:
        """Of a split, or of the rows `chosen` of it, by their numbers. Raises DataError."""
        digest = hashlib.sha256(f"{self.key} {name}".encode())
        if chosen is not None:
            digest.update(chosen.astype("<i8").tobytes())
        key = digest.hexdigest()[:16]

        def make() -> Dataset:
            rows = self.rows.split(name)
            # Nothing of the raw columns is kept but what the form returns: it may make several rows of one. It stays in
            # memory, since the library's own cache of what `map` made has no checksums.
            return (rows if chosen is None else rows.select(chosen)).map(
                partial(encoded, self.form),
                batched=True,
                remove_columns=rows.column_names,
                keep_in_memory=True,
                desc=f"tokenising {self.form.task.name}",
                # Or the tokenizer is written out whole, to be told from others.
                new_fingerprint=key,
            )

        return _loaded("tokenised", self.form.task, f"{name}-{key}", make)


def _loaded(kind: str, task: Task, key: str, make: Callable[[], Dataset]) -> Dataset:
    """A split, as a memory map of what is kept."""

    def made() -> Callable[[Path], None]:
        split = make()
        return lambda folder: split.save_to_disk(str(folder))

    return Dataset.load_from_disk(str(_kept(kind, task, key, made)))


def _kept(kind: str, task: Task, key: str, make: Callable[[], Callable[[Path], None]]) -> Path:
    readable = "".join(c if c.isalnum() or c in "_-" else "_" for c in task.name)[:60]
    try:
        return kept(cache_folder() / kind / f"{readable}-{key}", make)
    except CacheError as error:
        raise DataError(str(error)) from error


def _key_of_rows(task: Task, revision: str) -> str:
    """Everything that the rows depend on. The sources of the task's class and of those that it is derived from, of a
    mixture's members, and of what checks them are part of it, so that what is under development never meets its own
    stale cache."""
    digest = hashlib.sha256(f"{ORIGIN} {task.name} {revision} {task.options.model_dump_json()}".encode())
    classes = [cls for each in (task, *getattr(task, "tasks", ())) for cls in type(each).__mro__]
    sources: dict[str, Any] = {each.__module__: each for each in (row_key, check, _checked, *classes)}
    for module, each in sorted(sources.items()):
        if module.partition(".")[0] not in sys.stdlib_module_names:
            digest.update(inspect.getsource(inspect.getmodule(each) or each).encode())
    return digest.hexdigest()[:16]


def _key_of_features(form: Form, rows: str) -> str:
    """Everything that features depend on; the source of the forms is part of it, too."""
    digest = hashlib.sha256(f"{rows} {form.max_length} {form.key}".encode())
    # Which token ends a text, say, is no part of what follows.
    digest.update(json.dumps(form.tokenizer.special_tokens_map, sort_keys=True, default=str).encode())
    for file in sorted(Path(forms.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    backend = form.tokenizer.backend_tokenizer.to_str()
    # Before these stands what the last call asked for, not what the tokenizer is.
    digest.update(backend[max(backend.find('"added_tokens"'), 0) :].encode())
    return digest.hexdigest()[:16]


def _checked(task: Task) -> tuple[DatasetDict, int]:
    """The task's raw data, without any example that a later split holds too, and how many were left out."""
    process = os.getpid()
    raw = task.load()
    if os.getpid() != process:  # a fork of the task's own, which must not go on as this worker
        os._exit(0)
    check(task, raw)
    raw = plain(raw)
    keys = {}
    for split, rows in raw.items():
        columns = [rows[name] for name in IDENTITY if name in rows.column_names]
        keys[split] = [row_key(values) for values in zip(*columns, strict=True)]
    left = apart(keys)
    for split, rows in left.items():
        if not rows:
            raise DataError(f"task {task.name}: every example of {split!r} stands in a later split too; none is left")
    removed = sum(len(keys[split]) - len(rows) for split, rows in left.items())
    found = {}
    for split, rows in left.items():
        ids = _told_apart(keys[split][row].hex()[:ID_DIGITS] for row in rows)
        found[split] = raw[split].select(rows).add_column("example", ids)
    return DatasetDict(found), removed


def _told_apart(ids: Iterable[str]) -> list[str]:
    """The ids, of which the second and later of equal ones get their number."""
    seen: Counter[str] = Counter()
    found = []
    for each in ids:
        seen[each] += 1
        found.append(each if seen[each] == 1 else f"{each}-{seen[each]}")
    return found

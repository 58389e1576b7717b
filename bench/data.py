"""From a task's texts to batches: tokenised once and cached, drawn by seed, bucketed by length."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, load_from_disk
from torch.utils.data import DataLoader, Sampler

from bench.cell import Budget
from bench.contract import DataError, check, plain
from bench.forms.base import Form
from tasks.base import Task
from tasks.splits import apart, row_key

# A bucket of this many batches is sorted by length: wide enough to save most padding, narrow enough that
# the order of examples stays close to random.
BATCHES_PER_BUCKET = 20

# The file in a cached task's folder that tells where its raw data came from.
ORIGIN = "origin.json"


@dataclass(frozen=True)
class Splits:
    """Features as the form makes them, `input_ids` among them; the same for every method of a given seed."""

    train: Dataset
    validation: Dataset
    test: Dataset
    duplicates_removed: int
    commits: dict[str, str]
    dropped: dict[str, int] = field(default_factory=dict)


def prepare(form: Form, budget: Budget, seed: int) -> Splits:
    """Training examples are drawn by seed; validation and test examples are the same for all seeds.

    Raises DataError where the task's data is not as `Task.load` promises.
    """
    data, origin = _tokenised(form)

    def draw(split: str, count: int, generator: np.random.Generator) -> Dataset:
        return data[split].select(generator.permutation(len(data[split]))[:count])

    return Splits(
        train=draw("train", budget.train_examples, _training_order(seed)),
        validation=draw("validation", budget.validation_examples, np.random.default_rng(0)),
        test=draw("test", budget.test_examples, np.random.default_rng(0)),
        **origin,
    )


def demonstrations(task: Task, budget: Budget, seed: int, count: int) -> list[dict[str, Any]]:
    """Raw training rows to show in a prompt: the first of the examples that a trained method would get."""
    if not count:
        return []
    train = _checked(task)[0]["train"]
    order = _training_order(seed).permutation(len(train))[: min(count, budget.train_examples)]
    return [train[int(index)] for index in order]


def _training_order(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 1])


def _tokenised(form: Form) -> tuple[DatasetDict, dict[str, Any]]:
    """The whole task, tokenised, from the cache or into it, and what is to be told of its raw data."""
    task = form.task
    folder = _cache_folder() / _cache_key(form)
    if not folder.is_dir():
        raw, duplicates = _checked(task)
        # Nothing of the raw columns is kept but what the form returns: it may make several rows of one.
        columns = raw["train"].column_names
        data = raw.map(form.encode, batched=True, remove_columns=columns, desc=f"tokenising {task.name}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent))
        data.save_to_disk(str(temporary))
        origin = {"duplicates_removed": duplicates, "commits": task.commits(), "dropped": task.dropped()}
        (temporary / ORIGIN).write_text(json.dumps(origin))
        try:
            temporary.rename(folder)
        except OSError:  # another worker was faster, with the same content
            shutil.rmtree(temporary)
    return DatasetDict(load_from_disk(str(folder))), json.loads((folder / ORIGIN).read_text())


def _cache_folder() -> Path:
    return Path(os.environ.get("BENCH_CACHE", "~/.cache/adaptbench")).expanduser() / "tokenised"


def _cache_key(form: Form) -> str:
    """Everything that the tokens depend on. The source of the task's module is part of it, so that a task
    under development never meets its own stale cache."""
    task = form.task
    options = task.options.model_dump_json()
    digest = hashlib.sha256(f"{ORIGIN} {task.name} {task.revision} {options} {form.max_length} {form.key}".encode())
    for kind in (type(task), type(form)):
        digest.update(inspect.getsource(inspect.getmodule(kind) or kind).encode())
    backend = json.loads(form.tokenizer.backend_tokenizer.to_str())
    # What the last call asked for, not what the tokenizer is.
    backend.pop("truncation")
    backend.pop("padding")
    digest.update(json.dumps(backend, sort_keys=True).encode())
    readable = "".join(c if c.isalnum() or c in "_-" else "_" for c in task.name)[:60]
    return f"{readable}-{digest.hexdigest()[:16]}"


# The columns by which two examples count as the same.
IDENTITY = ("task", "text", "text_pair", "words", "choices")


def _checked(task: Task) -> tuple[DatasetDict, int]:
    """The task's raw data, without any example that a later split holds too, and how many were left out."""
    raw = task.load()
    check(task, raw)
    raw = plain(raw)
    keys = {}
    for split, rows in raw.items():
        columns = [rows[name] for name in IDENTITY if name in rows.column_names]
        keys[split] = [row_key(values) for values in zip(*columns, strict=True)]
    kept = apart(keys)
    for split, rows in kept.items():
        if not rows:
            raise DataError(f"task {task.name}: every example of {split!r} stands in a later split too; none is left")
    removed = sum(len(keys[split]) - len(rows) for split, rows in kept.items())
    return DatasetDict({split: raw[split].select(rows) for split, rows in kept.items()}), removed


class LengthBuckets(Sampler[list[int]]):
    """Batches of indices. Each epoch shuffles anew, from the seed and the epoch's number alone, and puts
    examples of similar length together. Every epoch has `ceil(n / batch_size)` batches."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng([self.seed, 2, self.epoch])
        order = generator.permutation(len(self.lengths))
        bucket = self.batch_size * BATCHES_PER_BUCKET
        batches: list[list[int]] = []
        for start in range(0, len(order), bucket):
            part = order[start : start + bucket]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size].tolist() for i in range(0, len(part), self.batch_size)]
        generator.shuffle(batches)
        yield from batches


def train_loader(split: Dataset, form: Form, batch_size: int, seed: int) -> tuple[DataLoader, LengthBuckets]:
    """Endless use of a split: call `set_epoch` on the sampler before each pass over the loader."""
    sampler = LengthBuckets([len(ids) for ids in split["input_ids"]], batch_size, seed)
    return DataLoader(split, batch_sampler=sampler, collate_fn=form.collate), sampler


def eval_loader(split: Dataset, form: Form, batch_size: int) -> DataLoader:
    """One pass over a split, longest examples first, so that the largest batch comes before any other."""
    order = sorted(range(len(split)), key=lambda index: -len(split[index]["input_ids"]))
    return DataLoader(split.select(order), batch_size=batch_size, collate_fn=form.collate)

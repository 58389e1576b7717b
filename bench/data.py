"""From a task's texts to batches: tokenised once and cached, drawn by seed, bucketed by length."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, DatasetDict, load_from_disk
from torch.utils.data import DataLoader, Sampler

from bench.cell import Budget
from tasks.base import Task
from tasks.splits import text_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A bucket of this many batches is sorted by length: wide enough to save most padding, narrow enough that
# the order of examples stays close to random.
BATCHES_PER_BUCKET = 20


class DataError(Exception):
    """A task's data cannot be used; the message is one line."""


@dataclass(frozen=True)
class Splits:
    """Tokenised examples with the columns `input_ids`, `label` and, where the tokenizer gives it,
    `token_type_ids`; the same for every method of a given seed."""

    train: Dataset
    validation: Dataset
    test: Dataset
    duplicates_removed: int


def prepare(task: Task, tokenizer: PreTrainedTokenizerBase, budget: Budget, seed: int) -> Splits:
    """Training examples are drawn by seed; validation and test examples are the same for all seeds.

    Raises DataError where the task's data is not as `Task.load` promises.
    """
    data, duplicates = _tokenised(task, tokenizer, budget.max_length)

    def draw(split: str, count: int, generator: np.random.Generator) -> Dataset:
        order = generator.permutation(len(data[split]))
        return data[split].select(order[:count])

    return Splits(
        train=draw("train", budget.train_examples, np.random.default_rng([seed, 1])),
        validation=draw("validation", budget.validation_examples, np.random.default_rng(0)),
        test=draw("test", budget.test_examples, np.random.default_rng(0)),
        duplicates_removed=duplicates,
    )


def _tokenised(task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[DatasetDict, int]:
    """The whole task, tokenised, from the cache or into it."""
    folder = _cache_folder() / _cache_key(task, tokenizer, max_length)
    if not folder.is_dir():
        raw, duplicates = _checked(task)
        columns = raw["train"].column_names

        def tokenise(rows: dict[str, list]) -> dict[str, Any]:
            texts = [rows[column] for column in ("text", "text_pair") if column in rows]
            return dict(tokenizer(*texts, truncation=True, max_length=max_length, return_attention_mask=False))

        unused = [column for column in columns if column != "label"]
        data = raw.map(tokenise, batched=True, remove_columns=unused, desc=f"tokenising {task.name}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent))
        data.save_to_disk(str(temporary))
        (temporary / "duplicates.json").write_text(json.dumps(duplicates))
        try:
            temporary.rename(folder)
        except OSError:  # another worker was faster, with the same content
            shutil.rmtree(temporary)
    return DatasetDict(load_from_disk(str(folder))), json.loads((folder / "duplicates.json").read_text())


def _cache_folder() -> Path:
    return Path(os.environ.get("BENCH_CACHE", "~/.cache/adaptbench")).expanduser() / "tokenised"


def _cache_key(task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int) -> str:
    """Everything that the tokens depend on. The source of the task's module is part of it, so that a task
    under development never meets its own stale cache."""
    digest = hashlib.sha256(f"{task.name} {task.revision} {max_length}".encode())
    digest.update(inspect.getsource(inspect.getmodule(type(task)) or type(task)).encode())
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    # What the last call asked for, not what the tokenizer is.
    backend.pop("truncation")
    backend.pop("padding")
    digest.update(json.dumps(backend, sort_keys=True).encode())
    return f"{task.name}-{digest.hexdigest()[:16]}"


def _checked(task: Task) -> tuple[DatasetDict, int]:
    """The task's raw data, without any text that a later split holds too, and how many were left out."""
    raw = task.load()
    where = f"task {task.name}"
    for split in ("train", "validation", "test"):
        if split not in raw or not len(raw[split]):
            raise DataError(f"{where}: the split {split!r} is missing or empty")
        if lacking := {"text", "label"} - set(raw[split].column_names):
            raise DataError(f"{where}: split {split!r} lacks the column {sorted(lacking)[0]!r}")
        if strange := set(raw[split]["label"]) - set(range(len(task.card.labels))):
            raise DataError(
                f"{where}: label {sorted(strange)[0]!r} in split {split!r} is no index into the card's "
                f"{len(task.card.labels)} labels"
            )
    seen: set[bytes] = set()
    kept: dict[str, Dataset] = {}
    removed = 0
    for split in ("test", "validation", "train"):
        pairs = raw[split]["text_pair"] if "text_pair" in raw[split].column_names else [""] * len(raw[split])
        keys = [text_key(f"{text}\0{pair}") for text, pair in zip(raw[split]["text"], pairs, strict=True)]
        keep = [index for index, key in enumerate(keys) if key not in seen]
        removed += len(keys) - len(keep)
        kept[split] = raw[split].select(keep)
        seen.update(keys)
    return DatasetDict(kept), removed


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


def train_loader(
    split: Dataset, tokenizer: PreTrainedTokenizerBase, batch_size: int, seed: int
) -> tuple[DataLoader, LengthBuckets]:
    """Endless use of a split: call `set_epoch` on the sampler before each pass over the loader."""
    sampler = LengthBuckets([len(ids) for ids in split["input_ids"]], batch_size, seed)
    return DataLoader(split, batch_sampler=sampler, collate_fn=_Collate(tokenizer)), sampler


def eval_loader(split: Dataset, tokenizer: PreTrainedTokenizerBase, batch_size: int) -> DataLoader:
    """One pass over a split, longest examples first, so that the largest batch comes before any other."""
    order = sorted(range(len(split)), key=lambda index: -len(split[index]["input_ids"]))
    return DataLoader(split.select(order), batch_size=batch_size, collate_fn=_Collate(tokenizer))


class _Collate:
    """Pads to the longest of the batch, rounded up to a multiple of 4: odd lengths slow matrix products down."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        inputs = [{key: value for key, value in row.items() if key != "label"} for row in rows]
        batch = self.tokenizer.pad(inputs, padding=True, pad_to_multiple_of=4, return_tensors="pt")
        return {**batch, "labels": torch.tensor([row["label"] for row in rows])}

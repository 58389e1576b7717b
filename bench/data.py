"""From a task's texts to batches: drawn by seed, bucketed by length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from torch.utils.data import DataLoader, Sampler

from bench import ranks
from bench.backbones.vocabulary import unknown_share
from bench.contract import DataError
from bench.forms.base import Form
from bench.tokenising import Features, TaskRows
from records.cell import Budget
from tasks.base import Task

if TYPE_CHECKING:
    from torch import Tensor

# A bucket of this many batches is sorted by length: wide enough to save most padding, narrow enough that
# the order of examples stays close to random.
BATCHES_PER_BUCKET = 20

# Of texts in a tokenizer's language a few in a thousand tokens are unknown. Where more than half are, the model would
# read gaps rather than texts: the tokenizer is another model's, or the texts are in a script that it lacks.
MOST_UNKNOWN = 0.5

# Where a batch that is too large to pass the model at once has its parts.
MICRO_BATCHES = "micro_batches"
# Where it has, of each of them, what other ranks pass through the model at that time and this one does not.
IDLE = "idle"

# A split of more than so many times what is drawn of it is not tokenised whole, for all seeds, but as they draw it.
WORTH_SHARING = 8


@dataclass(frozen=True)
class TaskData:
    """A task in its form, ready to be trained and tested on: features as the form makes them, `input_ids` among them,
    the same for every method of a given seed."""

    form: Form
    train: Dataset
    validation: Dataset
    test: Dataset
    unknown_tokens: float | None
    duplicates_removed: int
    commits: dict[str, str]
    dropped: dict[str, int]
    rows: TaskRows

    def test_rows(self) -> dict[str, dict[str, Any]]:
        """The raw rows of the test examples, by id, in the order in which they were drawn."""
        drawn = dict.fromkeys(str(example).partition(":")[0] for example in self.test["example"])
        rows = {row.pop("example"): row for row in self.rows.split("test")}
        return {example: rows[example] for example in drawn}


def prepare(
    form: Form,
    budget: Budget,
    seed: int,
    positions: int | None = None,
    revision: str | None = None,
    validation_from: int | None = None,
) -> TaskData:
    """Training examples are drawn by seed; validation and test examples are the same for all seeds, but for those
    validation examples that come after the first `validation_from`. `revision` is the task's as its cells have it,
    which says more of a plugin than the class knows: what it imports.

    Raises DataError where the task's data is not as `Task.load` promises, where the tokenizer knows less than half of
    the training texts' tokens, and where an example needs more than the backbone's `positions`.
    """
    features = Features.of(form, revision or str(form.task.revision))
    draw = partial(_drawn, features)
    train = draw("train", budget.train_examples, _training_order(seed))
    validation = draw("validation", budget.validation_examples, np.random.default_rng(0), validation_from or 0)
    if not len(validation):
        raise DataError(
            f"task {form.task.name} has {len(features.split('validation')):,} validation examples, of which none"
            f" is left after the first {validation_from:,}, which are the suite's own: lower its validation_examples,"
            " or search without other_examples"
        )
    test = draw("test", budget.test_examples, np.random.default_rng(0))
    unknown = unknown_share(form.tokenizer, train["input_ids"][:])
    if unknown is not None and unknown > MOST_UNKNOWN:
        raise DataError(
            f"{unknown:.0%} of the tokens of the training texts of {form.task.name} are unknown to the tokenizer of"
            f" {form.tokenizer.name_or_path}: it is not the model's own, or does not know the texts' language; put the"
            " right one into the model's folder, or name another backbone"
        )
    if positions is not None and (longest := max(map(_needed_positions(form), (train, validation, test)))) > positions:
        raise DataError(
            f"an example of {form.task.name} takes {longest} tokens with its answer, which is beyond the {positions}"
            f" positions of {form.tokenizer.name_or_path}; lower max_length by {longest - positions} or more"
        )
    return TaskData(
        form.trained_on(train), train, validation, test, unknown, **features.rows.origin, rows=features.rows
    )


def _drawn(features: Features, split: str, count: int, generator: np.random.Generator, first: int = 0) -> Dataset:
    """So many of a split, in an order of the generator's, without the first."""
    if not features.form.row_by_row:
        whole = features.split(split)
        return whole.select(generator.permutation(len(whole))[first : first + count])
    length = features.rows.lengths[split]
    chosen = generator.permutation(length)[first : first + count]
    if 0 < WORTH_SHARING * len(chosen) < length:
        return features.split(split, chosen)
    return features.split(split).select(chosen)


def _needed_positions(form: Form) -> Callable[[Dataset], int]:
    """How many the longest of a split's examples needs. A decoder reads an answer after its prompt, as long as it may
    become; what a head or an encoder reads was cut to length."""
    members = getattr(form, "members", [form])
    decodes = not form.encoder_decoder
    spoken = max(getattr(member, "max_target_length", 0) * (member.task.kind == "generation") for member in members)

    def longest(split: Dataset) -> int:
        if not decodes or "context" not in split.column_names:
            return 0
        columns = {name: split[name] for name in ("context", "target", "choices") if name in split.column_names}
        found = 0
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            if row["context"] is not None:  # as of a mixture's rows that are asked otherwise
                answers = row.get("choices") or [row["target"]]
                found = max(found, len(row["context"]) + max(spoken, *map(len, answers)))
        return found

    return longest


def demonstrations(task: Task, revision: str, budget: Budget, seed: int, count: int) -> list[dict[str, Any]]:
    """Raw training rows to show in a prompt: the first of the examples that a trained method would get."""
    if not count:
        return []
    train = TaskRows.of(task, revision).split("train").remove_columns("example")
    order = _training_order(seed).permutation(len(train))[: min(count, budget.train_examples)]
    return [train[int(index)] for index in order]


def _training_order(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 1])


class LengthBuckets(Sampler[list[int]]):
    """Batches of indices. Each epoch shuffles anew, from the seed and the epoch's number alone, and puts
    examples of similar length together. Every epoch has `ceil(n / batch_size)` batches."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order: called before each pass."""
        self.epoch = epoch

    def skip(self, batches: int) -> None:
        """The next pass begins after so many batches."""
        self.skipped = batches

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
        skipped, self.skipped = self.skipped, 0
        yield from batches[skipped:]


def lengths(split: Dataset) -> list[int]:
    """How many tokens each example has, without a Python list of them: there may be 100,000."""
    tokens = split.with_format("arrow")["input_ids"][:]
    return list(pc.list_value_length(tokens).to_pylist())


def train_loader(
    split: Dataset, form: Form, batch_size: int, seed: int, micro_batch: int | None = None
) -> tuple[DataLoader[dict[str, Any]], LengthBuckets]:
    """Endless use of a split: call `set_epoch` on the sampler before each pass over the loader. Batches of more than
    `micro_batch` examples have micro-batches beside them, and of several ranks each has those of its part."""
    sampler = LengthBuckets(lengths(split), batch_size, seed)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return in_micro_batches(form.collate, rows, micro_batch or len(rows))

    return DataLoader(split, batch_sampler=sampler, collate_fn=collate), sampler


def in_micro_batches(make: Callable[[Any], dict[str, Any]], rows: Sequence[Any] | Tensor, size: int) -> dict[str, Any]:
    """The batch that is made of the rows and, where this rank's are not all of them or more than `size`, those made of
    so many at a time; none where there are fewer rows than ranks. Of several ranks, beside them what lacks in them."""
    batch = make(rows)
    if ranks.count() == 1 and len(rows) <= size:
        return batch
    own = rows[ranks.own() :: ranks.count()]
    parts = [own[start : start + size] for start in range(0, len(own), size)]
    batch[MICRO_BATCHES] = [make(part) for part in parts]
    if ranks.count() > 1:
        batch[IDLE] = [make(lacking) if lacking else None for lacking in _idle(rows, parts, size)]
    return batch


def _idle(rows: Any, parts: list[Any], size: int) -> list[list[Any]]:
    """For as many parts as the first rank has, which has most: a row of the batch for every pass through the model that
    this rank's part does not take. A part takes one, or, of a mixture, one for each of its tasks."""
    first: dict[Any, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row.get("task"), row)
    most = -(-len(rows[:: ranks.count()]) // size)
    return [
        [row for task, row in first.items() if task not in {own.get("task") for own in part}]
        for part, _ in zip_longest(parts, range(most), fillvalue=())
    ]


def eval_loader(split: Dataset, form: Form, batch_size: int) -> DataLoader[dict[str, Any]]:
    """One pass over a split, longest examples first, so that the largest batch comes before any other."""
    found = lengths(split)
    order = sorted(range(len(split)), key=lambda index: -found[index])
    return DataLoader(split.select(order), batch_size=batch_size, collate_fn=form.collate)

"""Data: splits that do not overlap, draws that depend on the seed alone, batches that waste little padding."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, load_from_disk
from transformers import AutoTokenizer

from bench import data
from bench.contract import DataError
from bench.data import LengthBuckets, demonstrations, eval_loader, prepare, train_loader
from bench.forms.mixture import Mixture
from bench.forms.sequence import Classification
from bench.forms.text import LanguageModelling
from records.cell import Budget
from tasks.base import Card, Task
from tasks.splits import split_by_hash
from tests.bench.test_micro_batches import CASES

SPLITS = ("train", "validation", "test")


class Given(Task):
    """A task with the data that a test gives it."""

    def __init__(self, splits: dict[str, list[tuple[str, int]]]) -> None:
        super().__init__()
        self.splits = splits
        # Data is cached by the task's name: every test's data gets one of its own.
        name = f"given-{abs(hash(repr(splits)))}"
        self.card = Card(name, name, "classification", ("accuracy",), "", "", "", "", "", labels=("no", "yes"))

    def load(self) -> DatasetDict:
        return DatasetDict(
            {
                name: Dataset.from_dict({"text": [t for t, _ in rows], "label": [y for _, y in rows]})
                for name, rows in self.splits.items()
            }
        )

    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {"accuracy": 0.0}


@pytest.fixture
def form(tokenizer):
    """A task in the form in which an encoder gets it."""
    return lambda task, max_length=128: Classification(task, tokenizer, max_length)


@pytest.fixture
def tokenizer(tiny_backbone, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return AutoTokenizer.from_pretrained(tiny_backbone)


def rows(count: int, start: int = 0) -> list[tuple[str, int]]:
    """Distinct texts of one to nine words each."""
    words = ["red", "blue", "green", "tree", "bird", "road", "sky", "stone", "river"]
    generator = np.random.default_rng(start)
    texts: dict[str, int] = {}
    while len(texts) < count:
        texts[f"{' '.join(generator.choice(words, generator.integers(1, 9)))} {start}-{len(texts)}"] = len(texts) % 2
    return list(texts.items())


def test_texts_of_a_later_split_leave_the_earlier_ones(form):
    shared = rows(5, start=9)
    task = Given(
        {"train": rows(20) + shared[:3], "validation": rows(10, 1) + shared[3:4], "test": rows(10, 2) + shared}
    )
    splits = prepare(form(task), Budget(train_examples=100), seed=0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (20, 10, 15)
    assert splits.duplicates_removed == 4


def test_equal_texts_up_to_case_and_space_count_as_one(form):
    task = Given(
        {"train": [("A  Red house", 1), ("blue", 0)], "validation": [("sky", 0)], "test": [("a red HOUSE", 1)]}
    )
    assert len(prepare(form(task), Budget(), seed=0).train) == 1


def test_training_examples_depend_on_the_seed_and_test_examples_do_not(form):
    task = Given({"train": rows(200), "validation": rows(50, 1), "test": rows(50, 2)})
    budget = Budget(train_examples=30, validation_examples=20, test_examples=20)
    first, again, other = (prepare(form(task), budget, seed) for seed in (0, 0, 1))
    assert first.train["input_ids"] == again.train["input_ids"]
    assert first.train["input_ids"] != other.train["input_ids"]
    assert first.test["input_ids"] == other.test["input_ids"]
    assert len(first.train) == 30


def test_tokens_are_those_of_the_tokenizer_cut_to_length(form, tokenizer):
    text = "red house blue sky " * 20
    task = Given({"train": [(text, 1)], "validation": [("sky", 0)], "test": [("tree", 0)]})
    (ids,) = prepare(form(task, 16), Budget(), seed=0).train["input_ids"]
    assert ids == tokenizer(text, truncation=True, max_length=16)["input_ids"]
    assert len(ids) == 16


def test_the_second_use_comes_from_the_cache(form, monkeypatch):
    task = Given({"train": rows(20), "validation": rows(5, 1), "test": rows(5, 2)})
    first = prepare(form(task), Budget(), seed=0)
    monkeypatch.setattr(task, "load", lambda: pytest.fail("loaded again"))
    assert prepare(form(task), Budget(), seed=0).train["input_ids"] == first.train["input_ids"]


def test_tokens_of_another_revision_or_of_other_special_tokens_are_made_anew(form, tokenizer, monkeypatch):
    """What a plugin imports is in its revision alone; which token ends a text, in no part of the tokenizer's
    backend."""
    task = Given({"train": rows(20), "validation": rows(5, 1), "test": rows(5, 2)})
    done = Counter()
    monkeypatch.setattr(task, "load", lambda load=task.load: done.update(["loaded"]) or load())
    encode = Classification.encode
    monkeypatch.setattr(Classification, "encode", lambda *given: done.update(["tokenised"]) or encode(*given))

    def of(revision: str) -> tuple[int, int]:
        prepare(form(task), Budget(), 0, revision=revision)
        return done["loaded"], done["tokenised"] // 3  # of three splits

    assert of("1+a") == of("1+a") == (1, 1)
    assert of("1+b") == (2, 2)
    tokenizer.eos_token = tokenizer.unk_token
    assert of("1+b") == (2, 3)
    # How a tokenizer was last asked to cut and pad is not what it is; which words it knows is.
    tokenizer(["some text"], truncation=True, max_length=3, padding="max_length")
    assert of("1+b") == (2, 3)
    tokenizer.add_tokens("river")
    assert of("1+b") == (2, 4)


def test_of_a_large_task_only_what_is_drawn_is_tokenised(form, tokenizer, monkeypatch):
    """The examples are those that a draw from the whole task gives, by each seed; what is drawn again is cached."""
    texts = rows(500)
    task = Given({"train": texts, "validation": rows(30, 1), "test": rows(300, 2)})
    read: list[str] = []
    encode = Classification.encode
    monkeypatch.setattr(Classification, "encode", lambda self, given: read.extend(given["text"]) or encode(self, given))
    budget = Budget(train_examples=20, validation_examples=10, test_examples=30)
    for seed in (0, 1, 0):
        found = prepare(form(task), budget, seed)
        drawn = [texts[index] for index in np.random.default_rng([seed, 1]).permutation(500)[:20]]
        assert found.train["input_ids"] == [tokenizer(text)["input_ids"] for text, _ in drawn]
        assert found.train["label"] == [label for _, label in drawn]
    drawn = [rows(300, 2)[index] for index in np.random.default_rng(0).permutation(300)[:30]]
    assert [row["text"] for row in found.test_rows().values()] == [text for text, _ in drawn]
    assert len(read) == 20 + 20 + 30 + 30  # of training by either seed, of validation, which is small, and of test
    assert len(prepare(form(task), Budget(train_examples=100), 0).train) == 100
    assert len(read) == 100 + 500 + 300


@pytest.mark.parametrize("after", [None, 3])
@pytest.mark.parametrize("case", CASES)
def test_in_every_form_what_is_drawn_is_what_a_draw_from_the_whole_gives(case, after, tmp_path, monkeypatch):
    form, _, raw = case()

    def marked(row: dict[str, Any], mark: str) -> dict[str, Any]:
        if "words" in row:
            return {"words": [*row["words"], mark], "label": [*row["label"], 0]}
        column = "text_pair" if "text_pair" in row else "text"
        return row | {column: f"{row[column]} {mark}"}

    def many(split: str) -> Dataset:
        """The rows again and again, each time with another end."""
        rows = [marked(row, f"{split}{turn}") for turn in range(9) for row in raw]
        if "answers" in raw[0]:
            rows = [row | {"answers": [], "starts": []} if index % 2 else row for index, row in enumerate(rows)]
        return Dataset.from_list(rows)

    if isinstance(form, LanguageModelling):
        form.max_length = 4  # or each text would be one window
    if isinstance(form, Mixture):
        monkeypatch.setattr(form.task, "tasks", [member.task for member in form.members], raising=False)
    monkeypatch.setattr(form.task, "load", lambda: DatasetDict({each: many(each) for each in SPLITS}))
    budget = Budget(train_examples=4, validation_examples=3, test_examples=4)
    found = []
    for sharing in (1, 10**9):
        monkeypatch.setenv("BENCH_CACHE", str(tmp_path / str(sharing)))
        monkeypatch.setattr(data, "WORTH_SHARING", sharing)
        drawn = prepare(form, budget, 5, validation_from=after)
        found.append([getattr(drawn, each).to_list() for each in SPLITS])
        kept = [load_from_disk(str(path.parent)) for path in tmp_path.glob(f"{sharing}/tokenised/*/SHA256SUMS")]
        assert any(len(each) == 4 for each in kept) is (sharing == 1 and form.row_by_row)
    assert found[0] == found[1] and len({row["example"] for split in found[0] for row in split}) == 11


@pytest.mark.parametrize("case", CASES)
def test_a_form_that_reads_row_by_row_makes_of_rows_what_it_makes_of_each(case):
    form, _, raw = case()
    columns = {name: [row[name] for row in raw] for name in raw[0]}
    if form.row_by_row:
        together = form.encode(columns)
        alone = [form.encode({name: [values[index]] for name, values in columns.items()}) for index in range(len(raw))]
        for name, values in together.items():
            assert values == [value for each in alone for value in each[name]], name
    else:
        assert type(form) in (LanguageModelling, Mixture)


def test_a_fork_of_a_tasks_own_goes_no_further(form, monkeypatch):
    task = Given({"train": rows(20), "validation": rows(5, 1), "test": rows(5, 2)})
    monkeypatch.setattr(task, "load", lambda load=task.load: (os.fork(), load())[1])
    here = os.getpid()
    prepare(form(task), Budget(), 0)
    if os.getpid() != here:
        os._exit(1)
    assert os.wait()[1] == 0


def test_what_a_task_left_out_is_told_from_the_cache_too(form, monkeypatch):
    task = Given({"train": rows(20), "validation": rows(5, 1), "test": rows(5, 2)})
    monkeypatch.setattr(task, "dropped", lambda: {"duplicates": 3})
    assert prepare(form(task), Budget(), seed=0).dropped == {"duplicates": 3}
    monkeypatch.setattr(task, "dropped", lambda: pytest.fail("it has not loaded"))
    assert prepare(form(task), Budget(), seed=0).dropped == {"duplicates": 3}


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [("a", 0)], "test": [("b", 0)]}, "'validation' is missing or empty"),
        ({"train": [], "validation": [("a", 0)], "test": [("b", 0)]}, "'train' is missing or empty"),
        (
            {"train": [("c", 5)], "validation": [("a", 0)], "test": [("b", 0)]},
            r"load\(\)\['train'\]\[0\]\['label'\] is 5; the card has 2 labels",
        ),
    ],
)
def test_data_that_breaks_the_contract_is_named(form, splits, message):
    with pytest.raises(DataError, match=message):
        prepare(form(Given(splits)), Budget(), seed=0)


def test_an_epoch_has_every_example_once_and_the_next_has_another_order():
    lengths = np.random.default_rng(0).integers(3, 60, 205).tolist()
    sampler = LengthBuckets(lengths, batch_size=16, seed=3)
    first = list(sampler)
    assert sorted(index for batch in first for index in batch) == list(range(205))
    assert len(first) == len(sampler) == 13
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_bucketing_pads_far_less_than_chance():
    lengths = np.random.default_rng(0).integers(3, 60, 640)

    def padding(batches):
        return sum(len(b) * max(lengths[b]) - sum(lengths[b]) for b in batches)

    shuffled = np.random.default_rng(1).permutation(640).reshape(-1, 16)
    assert padding(list(LengthBuckets(lengths.tolist(), 16, seed=0))) < 0.3 * padding(shuffled)


def test_batches_are_padded_and_masked(form, tokenizer):
    task = Given({"train": [("red", 1), ("red house blue sky", 0)], "validation": [("a", 0)], "test": [("b", 0)]})
    split = prepare(form(task), Budget(), seed=0).train
    loader, _ = train_loader(split, form(task), batch_size=2, seed=0)
    (batch,) = loader
    assert batch["input_ids"].shape == (2, 6)
    assert sorted(batch["attention_mask"].sum(1).tolist()) == [3, 6]
    assert torch.equal(batch["input_ids"] == tokenizer.pad_token_id, batch["attention_mask"] == 0)


def test_evaluation_sees_every_example_once_longest_first(form):
    task = Given({"train": rows(50), "validation": rows(5, 1), "test": rows(5, 2)})
    split = prepare(form(task), Budget(), seed=0).train
    lengths = [n for batch in eval_loader(split, form(task), 8) for n in batch["attention_mask"].sum(1).tolist()]
    assert lengths == sorted((len(ids) for ids in split["input_ids"]), reverse=True)


def test_hash_splits_depend_on_neither_order_nor_duplicates():
    given = rows(500)
    splits, none = split_by_hash(given)
    shuffled, dropped = split_by_hash([*reversed(given), *given[:50]])
    assert (none, dropped) == ({}, {"duplicates": 50})
    assert {name: set(split["text"]) for name, split in splits.items()} == {
        name: set(split["text"]) for name, split in shuffled.items()
    }
    assert sum(len(split) for split in shuffled.values()) == 500
    for name, share in {"train": 0.7, "validation": 0.1, "test": 0.2}.items():
        assert len(splits[name]) / 500 == pytest.approx(share, abs=0.05)


def test_a_text_with_contradicting_labels_is_left_out():
    splits, dropped = split_by_hash([("red", 0), ("RED ", 1), ("red", 0), ("blue", 0), ("Blue", 0)])
    assert dropped == {"duplicates": 1, "contradicting labels": 3}
    assert [text for split in splits.values() for text in split["text"]] == ["blue"]


def test_demonstrations_are_the_first_of_the_training_examples(form, tokenizer):
    task = Given({"train": rows(30), "validation": rows(5, 1), "test": rows(5, 2)})
    budget = Budget(train_examples=10)
    shown = demonstrations(task, "1", budget, seed=3, count=4)
    trained = prepare(form(task), budget, seed=3).train["input_ids"]
    assert [tokenizer(row["text"])["input_ids"] for row in shown] == trained[:4]
    assert len(demonstrations(task, "1", budget, seed=3, count=20)) == 10
    assert demonstrations(task, "1", budget, seed=3, count=0) == []

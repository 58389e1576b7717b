"""`bench check` of tasks: what is right passes, and each fault is found by the check that is for it."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from bench.checks import checks
from bench.checks.base import source_of
from bench.registry import Registry
from tasks import metrics
from tasks.base import Card, Metric, Task, TaskUnavailable

CARD = Card(
    "mine", "Mine", "classification", ("accuracy",), "Odd or even.", "By number.", "CC0", "me2026",
    "@misc{me2026, author = {Me}, title = {Mine}, year = {2026}}", ("even", "odd"),
)  # fmt: skip


class Mine(Task):
    """As it should be; what is broken below is derived from it."""

    card = CARD

    def rows(self, split: str) -> list[tuple[str, int]]:
        first = {"train": 0, "validation": 20, "test": 30}[split]
        return [(f"number {number}", number % 2) for number in range(first, first + 10)]

    def load(self):
        splits = {split: self.rows(split) for split in ("train", "validation", "test")}
        return DatasetDict({
            split: Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
            for split, rows in splits.items()
        })  # fmt: skip

    def score(self, predictions, references):
        return {"accuracy": metrics.classification(predictions, references)["accuracy"]}


class Overlaps(Mine):
    def rows(self, split):
        return [("Number  30", 0), *super().rows(split)]


class Wavers(Mine):
    def rows(self, split):
        return random.sample(super().rows(split), 10)


class Empty(Mine):
    def rows(self, split):
        return [*super().rows(split), *([(" ", 0)] if split == "test" else [])]


class Contradicts(Mine):
    def rows(self, split):
        return [*super().rows(split), *([("NUMBER 3", 0)] if split == "train" else [])]


class NeverOdd(Mine):
    def rows(self, split):
        return [(text, 0) for text, _ in super().rows(split)]


class BeyondTheCard(Mine):
    def rows(self, split):
        return [(text, 2 * label) for text, label in super().rows(split)]


class OtherMetrics(Mine):
    card = dataclasses.replace(CARD, metrics=("accuracy", "f1"))


class InPercent(Mine):
    def score(self, predictions, references):
        return {"accuracy": 100 * super().score(predictions, references)["accuracy"]}


class Errors(Mine):
    """A rate of errors, taken for a fraction of which more is better."""

    card = dataclasses.replace(CARD, metrics=(Metric("slips"),))

    def score(self, predictions, references):
        return {"slips": 1 - super().score(predictions, references)["accuracy"]}


class Unread(Mine):
    card = dataclasses.replace(CARD, metrics=("slips",))

    def score(self, predictions, references):
        return {"slips": super().score(predictions, references)["accuracy"]}


class OtherMean(Mine):
    def score_each(self, predictions, references):
        return {"accuracy": [1.0] * len(references)}


class Mute(Mine):
    def prompt(self, row):
        return "Which is it?"


class OneWord(Mine):
    def verbalisers(self):
        return ("it", "it")


class WrongSignature(Mine):
    def score(self, predictions):
        return {"accuracy": 1.0}


class NoLicence(Mine):
    card = dataclasses.replace(CARD, licence="")


class OneLabel(Mine):
    card = dataclasses.replace(CARD, labels=("even",))


class Breaks(Mine):
    def load(self):
        raise ValueError("no such\nfile")


BROKEN: dict[type[Task], tuple[set[str], str]] = {
    Overlaps: ({"splits"}, "1 of 11 examples of 'validation' stand in 'test' too"),
    Wavers: ({"the same data"}, "the split 'train' is another when it is loaded again"),
    Empty: ({"texts"}, "1 examples of 'test' are empty, as row 10"),
    Contradicts: ({"texts"}, "row 10 of 'train' stands there before with another label"),
    NeverOdd: ({"labels"}, "no training example is labelled 'odd'"),
    BeyondTheCard: (
        {"data", "the same data", "splits", "texts", "labels"},
        "load()['train'][1]['label'] is 2; the card has 2 labels",
    ),
    OtherMetrics: ({"scores"}, "score gives accuracy; give the card's metrics: accuracy, f1"),
    InPercent: ({"scores", "scores of examples"}, "is said to lie between 0 and 1"),
    Errors: ({"scores"}, "right answers have slips 0, wrong ones"),
    Unread: ({"card"}, "nobody knows how the metric 'slips' is read"),
    OtherMean: ({"scores of examples"}, "the mean of accuracy over examples is 1, and score has 0.333333"),
    Mute: ({"prompts"}, "the prompt holds neither the text nor the pair"),
    OneWord: ({"prompts"}, "the verbalisers are it, it"),
    WrongSignature: ({"signatures"}, "score cannot be called as score(predictions, references)"),
    NoLicence: ({"card"}, "the card has no licence"),
    OneLabel: ({"card", "data", "the same data", "splits", "texts", "labels"}, "the card has 1 labels"),
    Breaks: ({"data", "the same data", "splits", "texts", "labels"}, "ValueError: no such file (line "),
}  # fmt: skip


def failing(cls: Any) -> dict[str, str]:
    found = {}
    for check in checks(cls):
        outcome = check.outcome(source_of(cls))
        if outcome.status == "failed":
            found[str(check)] = f"{outcome.said}; {outcome.mend}"
            if check.first:
                break
    return found


def test_what_is_right_passes():
    assert failing(Mine) == {}


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_a_fault_is_found_by_the_check_that_is_for_it(cls):
    names, words = BROKEN[cls]
    found = failing(cls)
    assert found.keys() == names
    said = next(iter(found.values()))
    assert words in said and "\n" not in said


def test_one_example_in_a_hundred_that_two_splits_share_is_noted():
    class Large(Mine):
        def rows(self, split):
            return [(f"{split} {number}", number % 2) for number in range(100)] + [("train 0", 0)] * (split == "test")

    found = {str(check): check.outcome() for check in checks(Large)}
    assert found["splits"].status == "passed"
    assert found["splits"].said == "1 of 100 examples of 'train' stand in 'test' too, which the engine leaves out"


def test_data_that_cannot_be_had_here_are_no_fault():
    class Away(Mine):
        def load(self):
            raise TaskUnavailable("it is on the hub, which cannot be reached")

    outcomes = {str(check): check.outcome() for check in checks(Away)}
    assert {outcome.status for outcome in outcomes.values()} == {"passed", "skipped"}
    assert outcomes["splits"].said == "it is on the hub, which cannot be reached"


def test_what_is_neither_method_nor_task_is_refused():
    with pytest.raises(TypeError, match="neither"):
        checks(dict)


NAMES = Registry().names("tasks")
# The rest has its data on the hub.
OFFLINE = [name for name in NAMES if Registry().get("tasks", name).cls.card.offline]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in OFFLINE else []) for name in NAMES]
)
def test_every_task_of_ours_passes(name):
    assert failing(Registry().get("tasks", name).cls) == {}

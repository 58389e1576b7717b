"""What is checked of a task: its data, as far as they can be had, and its scores, on answers made up for it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from datasets import DatasetDict

from bench.checks.base import Fault, NotAsked
from bench.contract import DataError, check, plain
from bench.tokenising import IDENTITY
from records.cards import Metric
from tasks.base import Task, TaskUnavailable
from tasks.splits import row_key

SPLITS = ("train", "validation", "test")
# The engine leaves what a later split holds out of an earlier one; a task that shares more is divided wrongly.
MOST_SHARED = 0.01
# What a prompt is made of, for a kind or another.
ROW = {"text": "A text", "text_pair": "a pair", "words": ["A"], "choices": ["x", "y"]}


@dataclass
class Given:
    """A task with its data, which are loaded once for all checks."""

    task: Task
    _raw: DatasetDict | None = None

    def data(self) -> DatasetDict:
        """Raises NotAsked where they cannot be had here, Fault where they are not as promised."""
        if self._raw is None:
            self._raw = self._loaded(self.task)
        return self._raw

    def again(self) -> DatasetDict:
        """Loaded by another one of the same options."""
        return self._loaded(type(self.task)(self.task.options))

    @staticmethod
    def _loaded(task: Task) -> DatasetDict:
        try:
            raw = task.load()
        except TaskUnavailable as reason:
            raise NotAsked(str(reason)) from None
        try:
            check(task, raw)
        except DataError as error:
            raise Fault(str(error), "give what the docstring of Task.load has for this kind of task") from None
        return plain(raw)

    def keys(self, split: str) -> list[bytes]:
        """What tells a split's examples apart; labels are no part of it."""
        rows = self.data()[split]
        columns = [rows[name] for name in IDENTITY if name in rows.column_names]
        return [row_key(values) for values in zip(*columns, strict=True)]


def loads(given: Given) -> None:
    """`load` gives the columns of its kind in three splits, with labels in range."""
    given.data()


def loads_alike(given: Given) -> None:
    """`load` gives the same at every call."""
    first, second = given.data(), given.again()
    for split in SPLITS:
        one, two = (each[split].with_format("arrow")[:] for each in (first, second))
        if not one.equals(two):
            raise Fault(
                f"the split {split!r} is another when it is loaded again", "draw with a seed of your own, or none"
            )


def keeps_apart(given: Given) -> str:
    """Hardly an example of one split stands in another."""
    seen: dict[bytes, str] = {}
    notes = []
    for split in reversed(SPLITS):
        keys = given.keys(split)
        for other, count in Counter(seen[key] for key in keys if key in seen).items():
            said = f"{count:,} of {len(keys):,} examples of {split!r} stand in {other!r} too"
            if count > MOST_SHARED * len(keys):
                raise Fault(said, "leave them out: tasks/splits.py divides by a hash of the text")
            notes.append(f"{said}, which the engine leaves out")
        seen |= dict.fromkeys(keys, split)
    return "; ".join(notes)


def is_filled(given: Given) -> None:
    """No example is empty, and none has two labels."""
    for split in SPLITS:
        rows = given.data()[split]
        texts = rows["words"] if "words" in rows.column_names else rows["text"] if "text" in rows.column_names else []
        empty = [index for index, text in enumerate(texts) if not "".join(text).strip()]
        if empty:
            raise Fault(f"{len(empty):,} examples of {split!r} are empty, as row {empty[0]}", "leave them out")
        if given.task.kind not in ("classification", "multiple choice"):
            continue
        labels: dict[bytes, int] = {}
        for index, (key, label) in enumerate(zip(given.keys(split), rows["label"], strict=True)):
            if labels.setdefault(key, label) != label:
                raise Fault(
                    f"row {index} of {split!r} stands there before with another label",
                    "leave both out: without_duplicates in tasks/splits.py does",
                )


def has_every_label(given: Given) -> None:
    """Every label of the card occurs in training."""
    if given.task.kind not in ("classification", "tagging"):
        raise NotAsked(f"{given.task.kind} has no labels")
    labels = given.data()["train"]["label"]
    found = {each for label in labels for each in (label if isinstance(label, list) else [label])}
    for index, label in enumerate(given.task.card.labels):
        if index not in found:
            raise Fault(
                f"no training example is labelled {label!r}", "take it from the card, or see how labels are read"
            )


def scores(given: Given) -> None:
    """`score` gives the card's metrics, in their range, and right answers score best."""
    task = given.task
    right, wrong, references = answers(task)
    best, worse = task.score(right, references), task.score(wrong, references)
    for values in (best, worse):
        if list(values) != list(task.card.scales):
            raise Fault(f"score gives {', '.join(values)}", f"give the card's metrics: {', '.join(task.card.scales)}")
        for name, value in values.items():
            metric = task.card.scales[name]
            if not isinstance(value, float | int) or not metric.allows(value):
                raise Fault(
                    f"{name} is {value!r}, and is said to lie {_between(metric)}",
                    f"give Metric({name!r}, …) its true range",
                )
    primary = task.card.primary
    one, two = primary.standing(best[primary.name]), primary.standing(worse[primary.name])
    if not one > two:
        raise Fault(
            f"right answers have {primary.name} {best[primary.name]:.3g}, wrong ones {worse[primary.name]:.3g}",
            "see which way it is better: Metric(…, higher_is_better=…)",
        )


def scores_each(given: Given) -> None:
    """The values on examples have the metric as their mean."""
    task = given.task
    _, some, references = answers(task)
    each, whole = task.score_each(some, references), task.score(some, references)
    if not each:
        raise NotAsked("no metric is a mean over examples")
    for name, values in each.items():
        if name not in whole or len(values) != len(references):
            raise Fault(f"score_each gives {len(values)} values of {name!r}", "give one for each example, of a metric")
        if not math.isclose(mean := sum(values) / len(values), whole[name], abs_tol=1e-9):
            raise Fault(
                f"the mean of {name} over examples is {mean:.6g}, and score has {whole[name]:.6g}", "leave it out"
            )


def asks(given: Given) -> None:
    """A prompt holds the text, and labels can be told apart in words."""
    task = given.task
    if task.kind in ("tagging", "mixture"):
        raise NotAsked(f"{task.kind} is put to no model in words")
    if not any(part in task.prompt(ROW) for part in ("A text", "a pair")):
        raise Fault("the prompt holds neither the text nor the pair", "let `prompt` say what is asked about")
    if task.kind == "classification":
        said = task.verbalisers()
        if len(said) != len(task.card.labels) or len(set(said)) < len(said):
            raise Fault(f"the verbalisers are {', '.join(said)}", "give one for each label, each another")


def answers(task: Task) -> tuple[list[Any], list[Any], list[Any]]:
    """Right answers, answers of which one in three is right, and references, of a task's kind."""
    count = max(2, len(task.card.labels))
    kind = task.kind
    if kind == "mixture":
        raise NotAsked("a mixture is scored by its members")
    if kind == "language modelling":
        return [-2.0] * 6, [-4.0 - each for each in range(6)], [(2, 8)] * 6
    if kind == "regression":
        return [float(each) for each in range(6)], [0.0, 4.0, 1.0, 3.0, 5.0, 2.0], [float(each) for each in range(6)]
    if kind in ("extractive QA", "generation"):
        texts = [str(each) for each in range(1, 7)]
        return texts, _third(texts, "7"), [[text] for text in texts]
    labels = [each % count for each in range(6 * count)]
    if kind == "tagging":
        return [[each] for each in labels], _third([[each] for each in labels], [0]), [[each] for each in labels]
    if kind == "multiple choice":
        labels = [each % 2 for each in range(6)]
    return labels, [each if place % 3 == 0 else (each + 1) % count for place, each in enumerate(labels)], labels


def _third(right: list[Any], wrong: Any) -> list[Any]:
    return [each if place % 3 == 0 else wrong for place, each in enumerate(right)]


def _between(metric: Metric) -> str:
    low, high = ("anywhere" if bound is None else f"{bound:g}" for bound in (metric.low, metric.high))
    return f"between {low} and {high}"


CHECKS = {
    "data": loads,
    "the same data": loads_alike,
    "splits": keeps_apart,
    "texts": is_filled,
    "labels": has_every_label,
    "scores": scores,
    "scores of examples": scores_each,
    "prompts": asks,
}

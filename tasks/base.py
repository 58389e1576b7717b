"""What a task is to the rest of the world: a card, its data in canonical columns, and a score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict

from records.cards import Metric
from records.cards import TaskCard as Card
from records.vocabulary import Kind

if TYPE_CHECKING:
    from datasets import DatasetDict


__all__ = ["Card", "Kind", "Metric", "Task", "TaskOptions", "TaskUnavailable"]


class TaskUnavailable(Exception):
    """A task's data cannot be had; the message says in one line why, and what to do."""


class TaskOptions(BaseModel):
    """What a suite may set of a task, beside the budget: nothing, unless the task has options of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Task(ABC):
    """Base class of all tasks. Raise `revision` whenever data, split, prompt or score change: it is part of a
    cell's identity. A task whose card depends on its options sets `card` when it is made."""

    card: Card
    revision: ClassVar[int | str] = 1
    Options: ClassVar[type[TaskOptions]] = TaskOptions

    def __init__(self, options: TaskOptions | None = None) -> None:
        self.options = options or self.Options()

    @property
    def name(self) -> str:
        """The card's."""
        return self.card.name

    @property
    def kind(self) -> Kind:
        """The card's."""
        return cast(Kind, self.card.kind)

    @property
    def members(self) -> tuple[str, ...]:
        """The tasks that this one is a mixture of; itself, where it is none."""
        return (self.name,)

    @abstractmethod
    def load(self) -> DatasetDict:
        """The whole of the data as splits `train`, `validation` and `test`, the same at every call.

        Columns by kind; sampling down to a budget is the engine's work, so that it is done alike for every method.

        - classification: `text` (str), optionally `text_pair` (str), `label` (int, an index into `card.labels`)
        - regression: the same with `label` (float)
        - tagging: `words` (list of str), `label` (list of int, an index into `card.labels` for every word)
        - multiple choice: `text`, `choices` (list of str), `label` (int, an index into the row's choices)
        - extractive QA: `text` (the question), `text_pair` (the passage), `answers` (list of str) and
          `starts` (list of int, the answers' first characters in the passage; the first answer is trained on)
        - generation: `text`, `targets` (list of str; the first is trained on)
        - language modelling: `text`

        Raises TaskUnavailable where the data cannot be had.
        """

    def commits(self) -> dict[str, str]:
        """The commit of every repository that the loaded data came from, by the repository's id."""
        return {}

    def dropped(self) -> dict[str, int]:
        """How many rows of the raw data are not in any split, by reason; known once the task has loaded."""
        return {}

    def notes(self) -> list[str]:
        """What a user should see before the run of how the data was understood, a line each; a line that begins with
        `warning:` may be a mistake of theirs."""
        return []

    @abstractmethod
    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        """Every metric of the card, from predictions and references of equal length, by kind of task.

        - classification and multiple choice: indices; regression: numbers
        - tagging: lists of indices, one for each word
        - extractive QA and generation: a text, and the list of texts that count as right
        - language modelling: each text's log-likelihood in nats, and its (tokens, bytes)
        """

    def score_each(self, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, list[float]]:
        """The value on each example of those metrics that are a mean over examples, by which two models can be compared
        example by example. By default accuracy, of what has classes or choices; empty for what is no such mean."""
        if self.kind not in ("classification", "multiple choice") or "accuracy" not in self.card.metrics:
            return {}
        return {"accuracy": [float(given == right) for given, right in zip(predictions, references, strict=True)]}

    def prompt(self, row: Mapping[str, Any]) -> str:
        """What a generating backbone is asked, from a row's columns (`text` may have been cut to the budget). By
        default the text, the pair after it and, of a classification, the question for one of its verbalisers."""
        parts = [row["text"]] + ([row["text_pair"]] if row.get("text_pair") else [])
        if self.kind == "classification":
            parts.append(f"Which of these fits: {', '.join(self.verbalisers())}?")
        return "\n".join(parts)

    def verbalisers(self) -> tuple[str, ...]:
        """How a generating backbone says each label of a classification: with spaces for underscores, unless two labels
        differ in that alone."""
        said = tuple(label.replace("_", " ") for label in self.card.labels)
        return said if len(set(said)) == len(said) else self.card.labels

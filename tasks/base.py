"""What a task is to the rest of the world: a card, its data in canonical columns, and a score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from datasets import DatasetDict

Kind = Literal["classification"]


class TaskUnavailable(Exception):
    """A task's data cannot be had; the message says in one line why, and what to do."""


@dataclass(frozen=True)
class Card:
    """What a report must know of a task without importing it.

    `metrics` names the keys of `Task.score`, the primary one first; each is a fraction, higher is better.
    `split` says in one sentence how train, validation and test came to be.
    """

    name: str
    title: str
    kind: Kind
    metrics: tuple[str, ...]
    labels: tuple[str, ...]
    summary: str
    split: str
    licence: str
    citation: str
    bibtex: str


class Task(ABC):
    """Base class of all tasks. Raise `revision` whenever data, split or score change: it is part of a
    cell's identity."""

    card: ClassVar[Card]
    revision: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def kind(self) -> Kind:
        return self.card.kind

    @property
    def members(self) -> tuple[str, ...]:
        """The tasks that this one is a mixture of; itself, where it is none."""
        return (self.name,)

    @abstractmethod
    def load(self) -> DatasetDict:
        """The whole of the data as splits `train`, `validation` and `test`, the same at every call.

        Columns for classification: `text` (str), optionally `text_pair` (str), and `label` (int, an index
        into `card.labels`). Sampling down to a budget is the engine's work, so that it is done alike for
        every method.
        """

    @abstractmethod
    def score(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        """Every metric of the card, from predicted and true label indices of equal length."""

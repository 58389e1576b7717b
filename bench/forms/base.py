"""A form: how a task is put to a model. It makes features of rows, batches of features, a loss and predictions.

A classification, for instance, is put to an encoder as a sequence under a fresh head, and to a decoder either so or
as a text whose continuations are the labels' names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from tasks.base import Task


@dataclass(frozen=True)
class Head:
    """What a backbone is loaded with: a fresh head of so many outputs for the whole `sequence` or for every
    `token`, or the pretrained head of its `language` model, which is nothing fresh."""

    kind: Literal["sequence", "token", "language"]
    outputs: int = 0


class NoSuchForm(Exception):
    """A task cannot be put to a model in the form asked for; the message is the reason."""


class Predicted(NamedTuple):
    """What came of a batch: the summed loss, over how many terms (examples, or tokens), and what the task scores."""

    loss: float
    terms: int
    predictions: list[Any]
    references: list[Any]


class Form(ABC):
    """One task in one form, for one tokenizer and length. Importing this needs no torch."""

    head: Head

    def __init__(self, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.task = task
        self.tokenizer = tokenizer
        self.max_length = max_length

    def set_encodes(self, encodes: bool) -> None:  # noqa: B027 - most forms do not care
        """Told before `encode` whether the model is an encoder-decoder, which reads a prompt with its encoder."""

    @property
    def key(self) -> str:
        """What features depend on beside task, tokenizer and length."""
        return type(self).__name__

    @abstractmethod
    def encode(self, rows: dict[str, list]) -> dict[str, list]:
        """Features of raw rows, column by column, `input_ids` among them: one for each row, or, where a row is
        cut into windows, several. Whatever `predict` needs of the row is a column as well."""

    @abstractmethod
    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """A padded batch of features, as tensors."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        """The mean loss of a batch, to be trained on."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        """What the model makes of a batch, in evaluation mode and without gradients."""

    def read(self, model: nn.Module, inputs: dict[str, Tensor]) -> Any:
        """The model's output for bare inputs, to measure latency with."""
        return model(**inputs)

    @abstractmethod
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        """A batch for `loss` from random token ids (batch, length), to measure cost with."""


def input_tensors(tokenizer: PreTrainedTokenizerBase, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """What a tokenizer made of the rows, padded to the longest of them, rounded up to a multiple of 4: odd lengths
    slow matrix products down."""
    inputs = [{key: row[key] for key in ("input_ids", "token_type_ids") if key in row} for row in rows]
    return dict(tokenizer.pad(inputs, padding=True, pad_to_multiple_of=4, return_tensors="pt"))  # type: ignore[arg-type]

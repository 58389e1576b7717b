"""A form: how a task is put to a model. It makes features of rows, batches of features, a loss and predictions.

A classification, for instance, is put to an encoder as a sequence under a fresh head, and to a decoder either so or
as a text whose continuations are the labels' names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from bench.forms import tokens

if TYPE_CHECKING:
    from datasets import Dataset
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
    """What came of a batch, or of a split: the summed loss, over how many terms (examples, or tokens), and, a row each
    and in the rows' order, what the task scores. `probabilities` are a head's softmax over labels or choices,
    `likelihoods` the answers' log-likelihoods in nats; empty where there are none."""

    loss: float
    terms: int
    predictions: list[Any]
    references: list[Any]
    probabilities: Sequence[Sequence[float]] = ()
    likelihoods: Sequence[Sequence[float]] = ()


class Form(ABC):
    """One task in one form, for one tokenizer and length, and for an encoder-decoder, which reads a prompt with its
    encoder, or for any other model. Importing this needs no torch."""

    head: Head
    # Whether features are one for each row, in the rows' order and by themselves: then only rows that are drawn need
    # be read.
    row_by_row: ClassVar[bool] = True

    def __init__(
        self, task: Task, tokenizer: PreTrainedTokenizerBase, max_length: int, encoder_decoder: bool = False
    ) -> None:
        self.task = task
        self.tokenizer = tokens.plain(tokenizer)
        self.max_length = max_length
        self.encoder_decoder = encoder_decoder

    def trained_on(self, train: Dataset) -> Form:
        """The form of a model that learns from these features, where they decide on what it may answer."""
        return self

    @property
    def pad(self) -> int:
        """What batches are padded with: under an encoder-decoder's head never a text's end, since it counts those."""
        found = tokens.padding(self.tokenizer)
        if self.encoder_decoder and found == self.tokenizer.eos_token_id:
            return 0 if found else 1
        return found

    @property
    def key(self) -> str:
        """What features depend on beside task, tokenizer and length."""
        return type(self).__name__

    @abstractmethod
    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Features of raw rows, column by column, `input_ids` among them: one for each row, or, where a row is
        cut into windows, several. Whatever `predict` needs of the row is a column as well, and where features are not
        one for each row in the rows' order, so is `example`, the id of what they were made of."""

    @abstractmethod
    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """A padded batch of features, as tensors."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        """The mean loss of a batch, to be trained on."""

    def terms(self, batch: dict[str, Any]) -> int:
        """Over how many terms a batch's loss is the mean: by default, its examples."""
        return len(batch["attention_mask"])

    def share_of_loss(self, model: nn.Module, part: dict[str, Any], batch: dict[str, Any]) -> Tensor:
        """What a part of a batch adds to the batch's mean loss: those of all its parts add up to it."""
        return self.loss(model, part) * (self.terms(part) / max(self.terms(batch), 1))

    @abstractmethod
    def predict(self, model: nn.Module, batch: dict[str, Any]) -> Predicted:
        """What the model makes of a batch, in evaluation mode and without gradients."""

    def read(self, model: nn.Module, inputs: dict[str, Tensor]) -> Any:
        """The model's output for bare inputs, to measure latency with."""
        return model(**inputs)

    @abstractmethod
    def synthetic(self, ids: Tensor) -> dict[str, Any]:
        """A batch for `loss` from random token ids (batch, length), to measure cost with."""


def encoded(form: Form, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """A form's features, and in the column `example` the ids of the rows, where these have such a column."""
    features = form.encode(rows)
    return features if "example" in features or "example" not in rows else features | {"example": rows["example"]}


def input_tensors(form: Form, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """What a tokenizer made of the rows, padded to the longest of them. Padding is on the right whatever the
    tokenizer's side is: models that count positions themselves count from the left."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)

    def padded(name: str, filling: int) -> Tensor:
        return torch.tensor([[*row[name], *[filling] * (width - len(row[name]))] for row in rows])

    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    batch = {"input_ids": padded("input_ids", form.pad)}
    if "token_type_ids" in rows[0]:
        batch["token_type_ids"] = padded("token_type_ids", form.tokenizer.pad_token_type_id)
    return batch | {"attention_mask": (torch.arange(width) < lengths[:, None]).long()}


def never_empty(tokenizer: PreTrainedTokenizerBase, features: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """A text of which a tokenizer makes nothing is read as the token that begins a text, or as padding."""
    begin = tokens.beginning(tokenizer)
    for index, ids in enumerate(features["input_ids"]):
        if not ids:
            features["input_ids"][index] = [tokens.padding(tokenizer) if begin is None else begin]
            if "token_type_ids" in features:
                features["token_type_ids"][index] = [0]
    return features


def inputs_of(batch: dict[str, Any]) -> dict[str, Tensor]:
    """What of a batch the model reads."""
    return {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}

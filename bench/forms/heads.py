"""What a model has to be told before a form is put to it: what pads, and where its head finds a text's last token.

transformers looks for the last id that is not padding, or, of embeddings, takes the last of all. So a text that ends in
the padding token, as where one token pads, ends and is unknown, would be read too early, and embeddings too late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from bench.forms import tokens
from bench.forms.base import NoSuchForm
from methods.composition.inputs import last_visible

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from bench.forms.base import Form


def fit(model: PreTrainedModel, form: Form) -> None:
    """Has a model take for padding what the form's batches are padded with, and read a text's last token where its head
    does. Raises NoSuchForm where the head would find none."""
    ends = model.config.eos_token_id
    reads_an_end = form.head.kind == "sequence" and form.encoder_decoder
    if reads_an_end and ends not in tokens.encode(form.tokenizer, "a")["input_ids"]:
        raise NoSuchForm("the head of an encoder-decoder reads a text's end, which the tokenizer does not write")
    pad_and_read_last(model, form.pad, form.head.kind)


def pad_and_read_last(model: PreTrainedModel, pad: int, head: str) -> None:
    """As `fit`, for a model with a `head` of that kind, of which it is known that it fits."""
    model.config.get_text_config().pad_token_id = pad
    if head == "sequence" and hasattr(model, "score") and not model.config.is_encoder_decoder:
        _read_last_tokens(model)


def _read_last_tokens(model: PreTrainedModel) -> None:
    """Has a decoder's head `score` read the last token of every example, on whichever side a batch is padded, and
    whatever the ids are."""
    if getattr(model, "reads_last_tokens", False):
        return
    last = _LastToken()
    model.register_forward_pre_hook(last.note, with_kwargs=True)
    model.get_submodule("score").register_forward_pre_hook(last.give)
    model.reads_last_tokens = True  # type: ignore[assignment]


class _LastToken:
    def __init__(self) -> None:
        self.from_end: Tensor | None = None

    def note(self, model: PreTrainedModel, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        """Counted from the end: what a method puts before the inputs changes nothing there."""
        mask = inputs.get("attention_mask")
        self.from_end = None if mask is None else mask.shape[1] - last_visible(mask)

    def give(self, head: torch.nn.Module, args: tuple[Tensor]) -> tuple[Tensor] | None:
        """Every position gets the hidden state of the last token, so that any that is read is the right one."""
        if self.from_end is None:
            return None
        hidden = args[0]  # (batch, length, hidden size)
        rows = torch.arange(len(hidden), device=hidden.device)
        return (hidden[rows, hidden.shape[1] - self.from_end][:, None].expand_as(hidden),)

"""Prompts of huggingface/peft around a model: the library's wrappers, called as the plain model is.

What a decoder answers has the input's length again, without the prompt; it may generate, and may be padded on the left.
"""

from __future__ import annotations

from typing import Any, cast

import peft
import torch
from peft.peft_model import (
    PeftModel,
    PeftModelForCausalLM,
    PeftModelForSeq2SeqLM,
    PeftModelForSequenceClassification,
)
from torch import Tensor, nn
from transformers import PreTrainedModel
from typing_extensions import override

from methods.composition.inputs import last_visible

ADAPTER = "default"
# Prompts that are keys and values, not embeddings in front of the input's.
CACHES = (peft.PeftType.PREFIX_TUNING, peft.PeftType.CARTRIDGE)


class Tasks:
    """Which task each example of the present batch is from, for the types that learn several at once: without
    `task_ids` among the inputs, the first."""

    def __init__(self) -> None:
        self.ids: Tensor | None = None

    def take(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A hook of the model: takes `task_ids` (batch,) off its arguments."""
        ids = (kwargs := dict(kwargs)).pop("task_ids", None)
        if ids is None:
            tokens = args[0] if args else kwargs["input_ids"]
            ids = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        self.ids = ids
        return args, kwargs

    def give(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A hook of peft's layers: gives them the ids."""
        return args, kwargs | {"task_ids": self.ids}


class Prompted(PeftModel):
    """peft's wrapper around a model with a prompt, without the copy that it makes of the task head: by itself for
    nothing, with one of peft's own for what the model gives."""

    cls_layer_name: Any

    def __init__(self, model: PreTrainedModel, config: peft.PeftConfig, head: str | None) -> None:
        PeftModel.__init__(self, model, config, ADAPTER)
        self.cls_layer_name = head
        self.tasks = Tasks()
        self.ends: Tensor | None = None

    @override
    def add_adapter(self, *args: Any, **kwargs: Any) -> None:
        PeftModel.add_adapter(self, *args, **kwargs)

    @property
    def in_front(self) -> int:
        """How many embeddings stand before the input's."""
        config = self.active_peft_config
        return 0 if config.peft_type in CACHES else config.num_virtual_tokens

    def bring_forward(self, backbone: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """A decoder's head reads the last position when it gets embeddings, be it padding or not: what stands at
        each example's last token is put there."""
        if self.ends is None:
            return output
        hidden = output[0]
        last = hidden[torch.arange(len(hidden), device=hidden.device), self.ends][:, None]
        hidden = torch.cat([hidden[:, :-1], last], dim=1)
        if isinstance(output, tuple):
            return (hidden, *output[1:])
        output.last_hidden_state = hidden
        return output

    def go_on(self, kwargs: dict[str, Any]) -> Any:
        """The next token of a decoder that generates: its cache holds the prompt already, which stays visible."""
        mask = kwargs["attention_mask"]
        front = mask.new_ones(len(mask), self.active_peft_config.num_virtual_tokens)
        # Positions are counted anew, from the longer mask.
        return self.base_model(**kwargs | {"attention_mask": torch.cat([front, mask], dim=1), "position_ids": None})


class PromptedClassifier(Prompted, PeftModelForSequenceClassification):
    """Gives logits of a task head."""


class PromptedDecoder(Prompted, PeftModelForCausalLM):
    """Gives logits of the next token."""


class PromptedEncoderDecoder(Prompted, PeftModelForSeq2SeqLM):
    """Gives logits of a decoder's next token."""


# By peft's name for what the model gives.
WRAPPERS: dict[str, type[Prompted]] = {
    "SEQ_CLS": PromptedClassifier,
    "CAUSAL_LM": PromptedDecoder,
    "SEQ_2_SEQ_LM": PromptedEncoderDecoder,
}


def forward_with_prompt(self: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
    """Stands in for the model's own `forward`, with its arguments and its output."""
    prompted = cast("Any", self).peft_handle.tuner
    if args:
        kwargs["input_ids"], *_ = args
    if prompted.active_peft_config.peft_type == peft.PeftType.MULTITASK_PROMPT_TUNING:
        _, kwargs = prompted.tasks.take(self, (), kwargs)
        kwargs["task_ids"] = prompted.tasks.ids
    if isinstance(prompted, PromptedDecoder):
        cache = kwargs.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            return prompted.go_on(kwargs)
        if prompted.in_front:  # positions are counted from the mask
            kwargs.pop("position_ids", None)
        output = prompted(**kwargs)
        if prompted.in_front and not kwargs.get("logits_to_keep"):
            output.logits = output.logits[:, prompted.in_front :]
        return output
    mask = kwargs.get("attention_mask")
    if prompted.in_front and mask is not None:
        prompted.ends = prompted.in_front + last_visible(mask)
    try:
        return prompted(**kwargs)
    finally:
        prompted.ends = None

"""Composition by inputs, [φ; x]: learned vectors that the backbone reads beside the user's tokens.

*Prompts* join the word embeddings at the bottom; *prefixes* join the keys and values of every layer's
attention, through transformers' attention interface, so that encoders and decoders are served alike.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from typing_extensions import override

from methods.anatomy import Anatomy


class Prompt(nn.Module, ABC):
    """`length` vectors of the word embeddings' size, inserted before every input of the backbone.

    A decoder gets them at the front, as does the encoder of an encoder-decoder; an encoder alone after its first
    token ([CLS]), so that a head which reads position 0 still reads that token. The output of the backbone has
    the original length again; a decoder still attends to what its encoder made of the prompt.
    Attention in a sliding window reaches the prompt from nearby only, and counts padding on the left as distance.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.at = 0
        self.max_positions: int | None = None
        self.for_encoder = False
        self.inserted = True

    @abstractmethod
    @override
    def forward(self) -> Tensor:
        """The vectors, (length, embedding size), or (batch, length, embedding size) with some for each example."""

    def insert(
        self, backbone: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The backbone's arguments, with the prompt in them."""
        inputs = by_name(backbone, args, kwargs)
        cache = None if self.for_encoder else inputs.get("past_key_values")
        self.inserted = cache is None or not cache.get_seq_length()
        if not self.inserted:
            return (), self._go_on(inputs)
        ids, embeddings = inputs.pop("input_ids", None), inputs.get("inputs_embeds")
        if embeddings is None:
            embeddings = backbone.get_input_embeddings()(ids)  # type: ignore[operator]
        batch, width = embeddings.shape[:2]  # (batch, width, embedding size)
        if self.max_positions is not None and width + self.length > self.max_positions:
            raise ValueError(
                f"{width} tokens and a prompt of {self.length} exceed the backbone's {self.max_positions} positions;"
                f" lower max_length to {self.max_positions - self.length} or less"
            )
        vectors = self().to(embeddings.dtype).expand(batch, -1, -1)  # (batch, length, embedding size)
        inputs["inputs_embeds"] = self._join(embeddings, vectors)  # (batch, width + length, embedding size)
        mask, types, positions = (inputs.get(key) for key in ("attention_mask", "token_type_ids", "position_ids"))
        # Of the first token after the prompt: a decoder's inputs may be padded on the left.
        first = None if mask is None or self.at else mask.long().argmax(dim=1, keepdim=True)  # (batch, 1)
        if mask is not None:
            mask = self._join(mask, mask.new_ones(batch, self.length))  # (batch, width + length)
            inputs["attention_mask"] = mask
        if types is not None:
            inputs["token_type_ids"] = self._join(types, types.new_zeros(batch, self.length))
        if positions is not None:
            start = positions[:, self.at, None] if first is None else positions.expand(batch, -1).gather(1, first)
            inserted = start + torch.arange(self.length, device=positions.device)  # (batch or 1, length)
            shift = self.length * (torch.arange(width, device=positions.device) >= self.at)  # (width)
            moved = (positions + shift).expand(len(inserted), -1)  # (batch or 1, width)
            inputs["position_ids"] = self._join(moved, inserted)  # (batch or 1, width + length)
        elif mask is not None and self.at == 0 and not self.for_encoder:
            # Inputs that are padded on the left must not drift away from the prompt.
            inputs["position_ids"] = _positions(mask)
        return (), inputs

    def _go_on(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The cache of a decoder that generates holds the prompt already: it stays visible, and counts as read."""
        mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
        if mask is not None:
            inputs["attention_mask"] = self._join(mask, mask.new_ones(len(mask), self.length))
        if positions is not None:
            inputs["position_ids"] = positions + self.length
        return inputs

    def show(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A decoder's arguments, with the prompt visible in what its encoder made of it."""
        inputs = by_name(decoder, args, kwargs)
        if (mask := inputs.get("encoder_attention_mask")) is not None:
            inputs["encoder_attention_mask"] = self._join(mask, mask.new_ones(len(mask), self.length))
        return (), inputs

    def strip(self, backbone: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """The backbone's output, without the prompt's positions."""
        if not self.inserted:
            return output
        hidden = output[0]  # (batch, width + length, hidden)
        hidden = torch.cat([hidden[:, : self.at], hidden[:, self.at + self.length :]], dim=1)  # (batch, width, hidden)
        if isinstance(output, tuple):
            return (hidden, *output[1:])
        output.last_hidden_state = hidden
        return output

    def _join(self, rows: Tensor, inserted: Tensor) -> Tensor:
        """Of (batch, width, …) and (batch, length, …), (batch, width + length, …)."""
        return torch.cat([rows[:, : self.at], inserted, rows[:, self.at :]], dim=1)


def length_out_of_range(length: int, anatomy: Anatomy) -> str | None:
    """A prompt shares the backbone's positions with the input, which needs at least one."""
    limit = anatomy.max_positions
    if limit is None or length < limit:
        return None
    return f"a prompt of {length} leaves no room in the backbone's {limit} positions; it takes 1 to {limit - 1}"


def insert_prompt(anatomy: Anatomy, prompt: Prompt) -> None:
    """From here on the backbone reads the prompt with every input. It is registered as `prompt`."""
    prompt.for_encoder = anatomy.encodes_and_decodes
    prompt.at = 0 if anatomy.causal or prompt.for_encoder else 1
    prompt.max_positions = anatomy.max_positions
    anatomy.backbone.add_module("prompt", prompt.train(anatomy.backbone.training))
    if prompt.for_encoder:
        # Not by way of the backbone: what generates calls the encoder once, and then the decoder alone.
        anatomy.backbone.get_encoder().register_forward_pre_hook(prompt.insert, with_kwargs=True)
        anatomy.backbone.get_decoder().register_forward_pre_hook(prompt.show, with_kwargs=True)
        return
    anatomy.reader.register_forward_pre_hook(prompt.insert, with_kwargs=True)
    anatomy.reader.register_forward_hook(prompt.strip)


class Prefix(nn.Module, ABC):
    """Keys and values that one attention always sees, beside those of the input, or of the encoder's output."""

    @abstractmethod
    @override
    def forward(self) -> tuple[Tensor, Tensor]:
        """Keys and values, each (key/value heads, length, size of a head), or (batch, …) with some for each example."""


def insert_prefixes(anatomy: Anatomy, prefixes: Mapping[nn.Module, Prefix]) -> None:
    """Each for the attention that it is given for, of `anatomy.attentions()`. Prefix keys are what the query meets:
    rotary positions are not applied to them."""
    for attention, prefix in prefixes.items():
        attention.add_module("prefix", prefix.train(attention.training))
    for module in anatomy.model.modules():
        if config := getattr(module, "config", None):
            config._attn_implementation = ATTENTION
    if anatomy.causal:
        anatomy.reader.register_forward_pre_hook(count_positions, with_kwargs=True)


def count_positions(
    backbone: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A prefix stands still: inputs that are padded on the left must not drift away from it."""
    inputs = by_name(backbone, args, kwargs)
    mask = inputs.get("attention_mask")
    if mask is not None and inputs.get("position_ids") is None:
        tokens = inputs.get("input_ids")
        width = (inputs["inputs_embeds"] if tokens is None else tokens).shape[1]
        inputs["position_ids"] = _positions(mask)[:, -width:]
    return (), inputs


def by_name(backbone: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of the backbone, each by its name."""
    names = list(inspect.signature(backbone.forward).parameters)
    return dict(zip(names, args, strict=False)) | kwargs


def last_visible(mask: Tensor) -> Tensor:
    """Of every example the position of the last token that an attention mask (batch, length) shows, (batch,)."""
    return mask.shape[1] - 1 - mask.long().flip(1).argmax(1)


def _positions(mask: Tensor) -> Tensor:
    """Counted from the first token that is not padding."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


def _attention_with_prefix(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """PyTorch's attention over [prefix; input]: query (batch, heads, q, d), key and value (batch, kv heads, k, d)."""
    prefix = getattr(module, "prefix", None)
    if prefix is not None:
        batch, _, queries, _ = query.shape
        prefix_key, prefix_value = (_for_batch(part.to(key.dtype), batch) for part in prefix())
        length = prefix_key.shape[2]  # of (batch, kv heads, length, d)
        if attention_mask is None and queries > 1 and _causal(module, kwargs):
            # No mask stands for "causal" here, which must hold among the inputs only.
            attention_mask = torch.ones(queries, key.shape[2], dtype=torch.bool, device=key.device).tril()[None, None]
        if attention_mask is not None:  # (batch or 1, heads or 1, q, k)
            visible = True if attention_mask.dtype == torch.bool else 0.0
            attention_mask = F.pad(attention_mask, (length, 0), value=visible)  # (…, q, length + k)
        if (bias := kwargs.get("position_bias")) is not None:  # T5 has no distance to a prefix
            kwargs["position_bias"] = F.pad(bias, (length, 0))
        # (batch, kv heads, length + k, d)
        key, value = torch.cat([prefix_key, key], dim=2), torch.cat([prefix_value, value], dim=2)
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


def _for_batch(part: Tensor, batch: int) -> Tensor:
    """Keys or values for a batch in which every example may stand several times in a row, as beams or choices do."""
    if part.dim() == 4 and len(part) < batch:
        part = part.repeat_interleave(batch // len(part), dim=0)
    return part.expand(batch, -1, -1, -1)  # (batch, kv heads, length, d)


def _causal(module: nn.Module, kwargs: dict[str, Any]) -> bool:
    causal = kwargs.get("is_causal")
    return bool(getattr(module, "is_causal", True) if causal is None else causal)


ATTENTION = "adaptbench_prefix"
AttentionInterface.register(ATTENTION, _attention_with_prefix)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)

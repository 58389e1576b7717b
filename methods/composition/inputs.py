"""Input composition: f_θ([φ; x]). Learnt vectors are put before what the backbone reads.

At the bottom, as embeddings beside those of the tokens (`add_prompt`), or in every layer, as keys and values
that each position may attend to (`add_prefixes`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from methods.anatomy import Anatomy

ATTENTION = "bench_prefix"


def add_prompt(anatomy: Anatomy, prompt: nn.Module) -> None:
    """Puts the vectors that `prompt()` returns, of shape (length, hidden size), into every sequence.

    Where the head reads the first token they go behind it, else before everything. What the backbone
    returns is freed of their positions, so that a head sees the sequence that went in.
    """
    backbone = anatomy.backbone
    backbone.add_module("prompt", prompt)
    place = 1 if anatomy.layout.first_token else 0
    embeddings = anatomy.embeddings

    def before(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        if args:
            kwargs, args = kwargs | {"input_ids": args[0]}, args[1:]
        ids = kwargs.pop("input_ids", None)
        tokens = embeddings(ids) if ids is not None else kwargs["inputs_embeds"]
        vectors = prompt().to(tokens.dtype).expand(len(tokens), -1, -1)
        length = vectors.shape[1]

        def widen(values: Tensor, fill: int) -> Tensor:
            new = values.new_full((len(values), length), fill)
            return torch.cat([values[:, :place], new, values[:, place:]], dim=1)

        mask = kwargs.get("attention_mask")
        if mask is None:
            mask = torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
        if kwargs.get("token_type_ids") is not None:
            kwargs["token_type_ids"] = widen(kwargs["token_type_ids"], 0)
        kwargs["attention_mask"] = widen(mask, 1)
        kwargs["inputs_embeds"] = torch.cat([tokens[:, :place], vectors, tokens[:, place:]], dim=1)
        return args, kwargs

    def after(_: nn.Module, args: tuple, output: Any) -> Any:
        states = output[0]
        length = prompt().shape[0]
        output["last_hidden_state"] = torch.cat([states[:, :place], states[:, place + length :]], dim=1)
        return output

    backbone.register_forward_pre_hook(before, with_kwargs=True)
    backbone.register_forward_hook(after)


def add_prefixes(anatomy: Anatomy, prefixes: nn.Module) -> None:
    """Lets every position of layer i attend to the keys and values `prefixes()[i]`, whose whole is of shape
    (layers, 2, key/value heads, length, head size). They are computed once per forward pass."""
    backbone = anatomy.backbone
    backbone.add_module("prefixes", prefixes)
    anatomy.model.set_attn_implementation(ATTENTION)
    attentions = [layer.site("query").parent for layer in anatomy.layers]

    def before(module: Any, args: tuple) -> None:
        for attention, prefix in zip(attentions, module.prefixes(), strict=True):
            attention.prefix = prefix

    backbone.register_forward_pre_hook(before)


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """Scaled dot-product attention over [prefix; sequence]. Shapes: (batch, heads, length, head size); the
    mask is None, or boolean (True: may attend) or additive, of shape (batch, 1, queries, keys)."""
    prefix = module.prefix.to(key.dtype)
    keys, values = prefix[:, None].expand(-1, len(key), -1, -1, -1)
    length = keys.shape[2]
    queries, seen = query.shape[2], key.shape[2]
    causal = options.pop("is_causal", None)
    if causal is None:
        causal = getattr(module, "is_causal", True)
    if attention_mask is None and causal and queries > 1:
        everything = torch.ones(queries, seen, dtype=torch.bool, device=query.device)
        attention_mask = everything.tril(seen - queries)[None, None]
    if attention_mask is not None:
        attention_mask = F.pad(attention_mask, (length, 0), value=attention_mask.dtype == torch.bool)
    key, value = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
    return sdpa_attention_forward(module, query, key, value, attention_mask, is_causal=False, **options)


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)

"""Tiny models with random weights for every architecture, on which methods are tried out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

VOCABULARY = 99
PAD = 1

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "num_labels": 3,
}
_GENERATOR = _SHAPE | {"bos_token_id": 0, "eos_token_id": 2}
_GROUPED = _GENERATOR | {"num_key_value_heads": 2, "head_dim": 8}
_T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "num_layers": 2,
    "num_heads": 4,
    "d_kv": 6,
    "d_ff": 48,
    "feed_forward_proj": "gated-gelu",
    "pad_token_id": PAD,
    "eos_token_id": 2,
    "decoder_start_token_id": PAD,
    "num_labels": 3,
}

# What differs from one to the next is chosen to catch what is taken for granted: embeddings smaller than the
# hidden states, layers that share weights, fewer key/value heads than heads, heads that do not add up to the
# hidden size, a window of attention shorter than the input, fused projections, weights that are kept transposed.
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": _SHAPE,
    "roberta": _SHAPE,
    "xlm-roberta": _SHAPE,
    "electra": _SHAPE | {"embedding_size": 16},
    "distilbert": {
        "vocab_size": VOCABULARY,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 4,
        "hidden_dim": 48,
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
        "num_labels": 3,
    },
    "albert": _SHAPE | {"embedding_size": 16, "num_hidden_layers": 3, "bos_token_id": 0, "eos_token_id": 2},
    "deberta-v2": _SHAPE
    | {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "position_buckets": 8,
        "position_biased_input": False,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "type_vocab_size": 0,
    },
    "modernbert": _SHAPE
    | {
        "bos_token_id": 0,
        "eos_token_id": 2,
        "cls_token_id": 0,
        "sep_token_id": 2,
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
    },
    "gpt2": {
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_inner": 48,
        "n_positions": 64,
        "pad_token_id": PAD,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "num_labels": 3,
    },
    "opt": _GENERATOR | {"ffn_dim": 48, "word_embed_proj_dim": 16},
    "llama": _GENERATOR | {"num_key_value_heads": 2},
    "mistral": _GENERATOR | {"num_key_value_heads": 2, "sliding_window": 8},
    "qwen2": _GENERATOR | {"num_key_value_heads": 2},
    "qwen3": _GROUPED,
    "gemma": _GROUPED | {"head_dim": 16},
    "t5": _T5,
    "bart": {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
        "num_labels": 3,
    },
}
ARCHITECTURES = tuple(CONFIGS)
DECODERS = ("gpt2", "opt", "llama", "mistral", "qwen2", "qwen3", "gemma")
ENCODER_DECODERS = ("t5", "bart")
ENCODERS = tuple(name for name in CONFIGS if name not in DECODERS + ENCODER_DECODERS)
TYPED = ("bert", "electra", "albert")  # have two token types


@dataclass(frozen=True)
class Task:
    """What a method may know of the task that it is tried on."""

    name: str = "toy"
    kind: str = "classification"
    members: tuple[str, ...] = ("toy",)


TASK = Task()


def head_of(model: PreTrainedModel) -> frozenset[str]:
    """The names of the parameters of its fresh head."""
    prefix = model.base_model_prefix + "."
    return frozenset(name for name, _ in model.named_parameters() if not name.startswith(prefix))


def tiny(architecture: str, seed: int = 0, **options: Any) -> PreTrainedModel:
    """A classifier of three classes. The same weights for the same seed; larger than a fresh model's, so that no part
    goes unnoticed."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(architecture, **CONFIGS[architecture] | options)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config).eval()
    perturb(model.named_parameters(), 0.1)
    return model


@torch.no_grad()
def perturb(parameters: Iterable[tuple[str, Tensor]], scale: float = 0.1) -> None:
    """Adds noise to them, in place."""
    for _, parameter in parameters:
        parameter += scale * torch.randn_like(parameter)


def batch(architecture: str = "bert", size: int = 3, length: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """Random inputs (size, length), none of them padded."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (size, length), generator=generator)  # (size, length)
    if architecture in ENCODER_DECODERS:
        ids[:, -1] = 2  # their heads read the end of the text
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if architecture in TYPED:
        inputs["token_type_ids"] = torch.randint(0, 2, ids.shape, generator=generator)
    return inputs


def logits(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Of shape (size, 3)."""
    with torch.no_grad():
        found: Tensor = model(**inputs).logits
        return found


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require gradients, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}

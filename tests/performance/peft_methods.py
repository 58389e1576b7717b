"""What peft is told so that it has the same methods as ours with their defaults. Imports nothing of ours, so that a
script with peft alone can do so too."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import peft

# By its own defaults for BERT, (IA)³ rescales the attention's output as well.
_INNER = r".*\.layer\.\d+\.output\.dense"
_PROJECTIONS: dict[str, Any] = {"target_modules": ["query", "value"]}
_ENCODER: dict[str, Any] = {"encoder_hidden_size": 64, "encoder_reparameterization_type": "LSTM"}


def _adalora(steps: int) -> peft.PeftConfig:
    allocation = {"total_step": steps, "tinit": steps // 10, "tfinal": 3 * steps // 10, "deltaT": 5}
    return peft.AdaLoraConfig(init_r=12, target_r=8, lora_alpha=16, orth_reg_weight=0.1, **allocation, **_PROJECTIONS)


# From the number of steps. For QLoRA peft wants a model that bitsandbytes has read from files.
PEFT: Mapping[str, Callable[[int], peft.PeftConfig]] = {
    "lora": lambda steps: peft.LoraConfig(r=8, lora_alpha=16, **_PROJECTIONS),
    "dora": lambda steps: peft.LoraConfig(r=8, lora_alpha=16, use_dora=True, **_PROJECTIONS),
    "pissa": lambda steps: peft.LoraConfig(r=8, lora_alpha=8, init_lora_weights="pissa", **_PROJECTIONS),
    "adalora": _adalora,
    "vera": lambda steps: peft.VeraConfig(r=256, d_initial=0.1, **_PROJECTIONS),
    "ia3": lambda steps: peft.IA3Config(target_modules=rf".*\.(key|value)|{_INNER}", feedforward_modules=_INNER),
    "layernorm": lambda steps: peft.LNTuningConfig(target_modules=["LayerNorm"]),
    "prompt_tuning": lambda steps: peft.PromptTuningConfig(num_virtual_tokens=20),
    "p_tuning": lambda steps: peft.PromptEncoderConfig(num_virtual_tokens=20, encoder_num_layers=2, **_ENCODER),
    "prefix_tuning": lambda steps: peft.PrefixTuningConfig(num_virtual_tokens=20),
}


def adapted(model: Any, name: str, steps: int) -> Any:
    """The model with peft's method of that name, its head trained too."""
    config = PEFT[name](steps)
    config.task_type = peft.TaskType.SEQ_CLS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(model, config)

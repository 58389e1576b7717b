"""Tiny models with random weights, one for every architecture that the anatomy describes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from bench.registry import Registry
from methods.anatomy import LAYOUTS, Anatomy

METHODS = Registry().names("methods")
VOCABULARY, LABELS = 60, 3
COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 64, "num_labels": LABELS, "pad_token_id": 1,
}  # fmt: skip
OWN = {
    "electra": {"embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2, "sliding_window": None, "head_dim": 8},
    "qwen2": {"num_key_value_heads": 2},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
}
HEADS = ("classifier", "score", "pre_classifier")


@dataclass
class Tiny:
    """Makes the same model again and again: by seed, in evaluation mode."""

    architecture: str

    def model(self) -> PreTrainedModel:
        torch.manual_seed(0)
        config = AutoConfig.for_model(self.architecture, **(COMMON | OWN.get(self.architecture, {})))
        model = AutoModelForSequenceClassification.from_config(config)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # zeros would hide mistakes
                torch.nn.init.normal_(parameter, std=0.1)
        return model.eval()

    def anatomy(self) -> Anatomy:
        model = self.model()
        prefix = model.base_model_prefix + "."
        return Anatomy(model, {name for name, _ in model.named_parameters() if not name.startswith(prefix)})

    def adapted(self, method) -> Anatomy:
        anatomy = self.anatomy()
        torch.manual_seed(1)
        method.adapt(anatomy, None)
        return anatomy

    def batch(self, padding: int = 3) -> dict[str, torch.Tensor]:
        """Four sequences of 9 tokens, all but the first of them with padding on the right."""
        generator = torch.Generator().manual_seed(2)
        ids = torch.randint(5, VOCABULARY, (4, 9), generator=generator)
        mask = torch.ones_like(ids)
        if padding:
            mask[1:, -padding:] = 0
            ids[mask == 0] = 1
        return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(params=list(LAYOUTS))
def tiny(request) -> Tiny:
    return Tiny(request.param)


@pytest.fixture
def tiny_bert() -> Tiny:
    return Tiny("bert")


def method_named(name: str, **hyperparameters):
    return Registry().get("methods", name).cls(**hyperparameters)


def logits(anatomy: Anatomy, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return anatomy.model(**batch).logits


def train(method, anatomy: Anatomy, batch: dict[str, torch.Tensor], steps: int = 3) -> None:
    """Runs a method's phases with a large learning rate, so that every part of it moves."""
    labels = torch.arange(len(batch["input_ids"])) % LABELS
    for phase in method.phases():
        method.on_phase(anatomy, phase)
        optimizer = torch.optim.SGD([p for p in anatomy.model.parameters() if p.requires_grad], lr=0.5)
        for step in range(steps):
            torch.nn.functional.cross_entropy(logits(anatomy, batch), labels).backward()
            method.after_backward(anatomy)
            optimizer.step()
            optimizer.zero_grad()
            method.after_step(anatomy, step + 1)

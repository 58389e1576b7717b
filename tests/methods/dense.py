"""What tests of sparse methods share: training as the engine does it, and the same by dense arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from methods.anatomy import Anatomy
from methods.base import Method
from tests.methods.tiny import (
    batch,
    head_of,
    tiny,
)

LABELS = torch.tensor([0, 1, 2])
# Layers that share weights, an embedding that two stacks share, weights that are kept transposed.
SHARED = ("bert", "albert", "gpt2", "t5", "bart")


def loss_of(model: nn.Module, architecture: str, seed: int) -> Tensor:
    return model(**batch(architecture, seed=seed), labels=LABELS).loss


def run_phase(
    method: Method,
    anatomy: Anatomy,
    index: int,
    steps: int,
    lr: float = 1e-2,
    watch: Callable[[int], None] = lambda number: None,
) -> AdamW:
    """A phase as the engine goes through it, without dropout; step t sees the batch of seed t. `watch` is called
    with t before the step."""
    model, phase = anatomy.model, method.phases()[index]
    method.on_phase(anatomy, phase, steps)
    groups = [{"lr": lr} | group for group in method.parameter_groups(anatomy) if group["params"]]
    optimizer = AdamW([group | {"lr": group["lr"] * phase.lr_scale} for group in groups], fused=True)
    for number in range(1, steps + 1):
        watch(number)
        loss_of(model, model.config.model_type, number).backward()
        method.after_backward(anatomy, number)
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(anatomy, number, optimizer)
    return optimizer


def values_of(model: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """What the model computes with, by plain name, whatever has been put on its parameters."""
    found = {}
    with torch.no_grad():
        for name in names:
            module, _, attribute = name.rpartition(".")
            found[name] = getattr(model.get_submodule(module), attribute).detach().clone()
    return found


def dense_gradients(architecture: str, seed: int, weights: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """By plain autograd on a plain model, with other weights if they are given."""
    model = tiny(architecture)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in (weights or {}).items():
            parameters[name].copy_(value)
    loss_of(model, architecture, seed).backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in parameters.items()}


def candidates(architecture: str) -> dict[str, Tensor]:
    model = tiny(architecture)
    return {
        name: p.detach()
        for name, p in model.named_parameters()
        if name not in head_of(model) and "norm" not in name.lower() and ".ln_" not in name
    }


def top_mask(scores: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    threshold = torch.cat([score.flatten() for score in scores.values()]).sort(descending=True).values[count - 1]
    return {name: score >= threshold for name, score in scores.items()}

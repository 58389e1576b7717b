"""Diff pruning: a difference to the pretrained weights, kept sparse by gates that are trained along with it.

    θ' = θ + z ⊙ w,   w, α of the shape of θ
    s = σ(log u − log(1 − u) + α),  u ~ U(0, 1),   z = min(1, max(0, s (r − l) + l))       (hard-concrete gates)
    loss + λ Σᵢ P(zᵢ ≠ 0),   P(zᵢ ≠ 0) = σ(αᵢ − log(−l / r))                               (expected L0 norm)

1. *search*: train w and α of all weights; without noise (s = σ(α)) where the model is evaluated.
2. Keep the k = ⌊density · n⌋ entries of z ⊙ w that are largest in magnitude, z without noise.
3. *tune*: train those k entries, from their values so far. The head goes on from where it is.

Guo, Rush, Kim. Parameter-Efficient Transfer Learning with Diff Pruning. ACL 2021. Deviations: only the unstructured
variant (the paper also has a gate for every matrix); α learns at a rate of its own, as in the authors' code, since at
that of w it would not move far enough within the budget; the noise is drawn for every use of a weight, which for
weights that layers share is several times per pass; as for LT-SFT, normalisation is not among the n entries. Both
phases are paid from the one budget of optimiser steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Phase, Range, TaskInfo
from methods.composition.parameters import mask_candidates, reparametrisations, reparametrise, restore
from methods.sparse.masked import MaskedMethod

# l and r, between which a gate is stretched before it is cut off at 0 and 1; α at the start. As in the authors' code.
LOWER, UPPER, START = -1.5, 1.5, 5.0


class _Gating(torch.autograd.Function):
    """θ + z ⊙ w for s. Keeps s alone beside the parameters, where autograd would keep every step from s to the sum."""

    @staticmethod
    @override
    def forward(ctx: Any, weight: Tensor, change: Tensor, alpha: Tensor, s: Tensor) -> Tensor:
        ctx.save_for_backward(change, s)
        return weight + _gate(s) * change

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, None]:
        change, s = ctx.saved_tensors
        z = _gate(s)
        slope = (UPPER - LOWER) * s * (1 - s)
        alpha = torch.where((z > 0) & (z < 1), gradients[0] * change * slope, 0.0)
        return None, gradients[0] * z, alpha, None


_gated_sum: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = _Gating.apply


def _gate(s: Tensor) -> Tensor:
    return (s * (UPPER - LOWER) + LOWER).clamp_(0, 1)


class GatedChange(nn.Module):
    """θ + z ⊙ w of one weight, with w zero at the start."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.change = nn.Parameter(torch.zeros_like(weight))
        self.alpha = nn.Parameter(torch.full_like(weight, START))

    @override
    def forward(self, weight: Tensor) -> Tensor:
        logits = self.alpha.detach()
        if self.training:
            logits = logits + torch.rand_like(logits).logit_(eps=1e-6)
        return _gated_sum(weight, self.change, self.alpha, logits.sigmoid())

    @torch.no_grad()
    def add_penalty_gradient(self, strength: float) -> None:
        """Adds ∂/∂α of strength · Σ P(z ≠ 0) to the gradient of α."""
        likely = torch.sigmoid(self.alpha - math.log(-LOWER / UPPER))
        slope = strength * likely * (1 - likely)
        self.alpha.grad = slope if self.alpha.grad is None else self.alpha.grad.add_(slope)

    @torch.no_grad()
    def difference(self) -> Tensor:
        """z ⊙ w, without noise."""
        return _gate(self.alpha.sigmoid()) * self.change


class DiffPruning(MaskedMethod):
    """Guo et al., ACL 2021: a difference with trained gates, of which the largest entries are kept."""

    lr: LearningRate = 5e-5
    density: float = Field(
        0.005, gt=0, le=1, examples=[0.1], description="share of the backbone's entries that are kept"
    )
    search_share: float = Field(0.5, gt=0, lt=1, description="share of the budget that the search takes")
    gate_lr: float = Field(0.1, gt=0, le=10, description="learning rate of the gates' logits")
    penalty: float = Field(1.25e-7, ge=0, le=1, description="weight of the expected number of open gates")

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        for name, parameter in mask_candidates(anatomy).items():
            reparametrise(anatomy.model, name, GatedChange(parameter))

    @override
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("search", self.search_share), Phase("tune", 1 - self.search_share))

    @override
    def on_phase(self, anatomy: Anatomy, phase: Phase, steps: int) -> None:
        if phase.name != "tune":
            return
        gated = _gated(anatomy.model)
        differences = {name: change.difference() for name, change in gated.items()}
        for change in gated.values():
            restore(anatomy.model, change)
        self.tune_highest(anatomy, {name: each.abs() for name, each in differences.items()}, differences)

    @override
    def parameter_groups(self, anatomy: Anatomy) -> list[dict[str, Any]]:
        """The gates' logits learn at a rate of their own and do not decay."""
        gates = {id(change.alpha) for change in _gated(anatomy.model).values()}
        trainable = [p for p in anatomy.model.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trainable if id(p) not in gates]},
            {"params": [p for p in trainable if id(p) in gates], "lr": self.gate_lr, "weight_decay": 0.0},
        ]

    @override
    def after_backward(self, anatomy: Anatomy, step: int) -> None:
        for change in _gated(anatomy.model).values():
            change.add_penalty_gradient(self.penalty)

    card = Card(
        name="diff_pruning",
        title="Diff pruning",
        family="sparse",
        composition="parameter",
        formula=r"\theta' = \theta + z \odot w, \quad \min\, \mathcal{L} + \lambda\, \mathbb{E} \Vert z \Vert_0",
        summary=(
            "A difference to the pretrained weights is trained for the whole backbone, and with it a gate for every"
            " entry, which a penalty pulls towards zero. Half-way the largest entries are kept, and only they are"
            " trained on. The first half takes more memory than full fine-tuning, for two trained numbers per"
            " entry; afterwards optimiser state is proportional to the number of kept entries. Stored are their"
            " positions and values. They are added to the weights, so inference costs what the backbone costs."
        ),
        citation="guo2021diffpruning",
        search=(Range("lr", 5e-6, 5e-4, "two decades around the default"),),
        claims=(
            Claim(
                text="Matches full fine-tuning while changing 0.5 % of the parameters.",
                source="guo2021diffpruning",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="BERT-large on GLUE",
            ),
            Claim(
                text="Training takes no less memory than full fine-tuning.",
                source="guo2021diffpruning",
                measure="training_memory_bytes",
                comparator="full",
                relation="at least",
            ),
            Claim(
                text="It changes half a percent of the parameters.",
                source="guo2021diffpruning",
                measure="adapter_parameters",
                comparator="backbone",
                relation="at most",
                factor=0.005,
                margin=0.05,
                scope="BERT-large on GLUE",
            ),
        ),
    )


def _gated(model: nn.Module) -> dict[str, GatedChange]:
    """Every gated weight, by the plain name of the parameter; none once the search is over."""
    return {name: each for name, (each, _) in reparametrisations(model).items() if isinstance(each, GatedChange)}

"""FISH Mask: the entries with the largest Fisher information are trained, all others are frozen.

    F̂ᵢ = Σ_t gᵢ(t)²,   g(t) = ∂ℓ(batch t)/∂θ
    θ' = θ + δ,   supp δ = the k = ⌊density · n⌋ entries of largest F̂

1. *select*: go over training data and add up squared gradients; nothing is changed, the head neither.
2. *tune*: train those k entries.

Sung, Nair, Raffel. Training Neural Networks with Fixed Sparse Masks. NeurIPS 2021. The paper squares the gradient of
every example; here it is that of every batch (of every micro-batch, where a batch has them), which the engine has at
hand, at one backward pass for all of its examples. The labels are those of the data (the empirical Fisher information).
Both phases are paid from the one budget of optimiser steps. As for LT-SFT, normalisation is not among the n entries, so
that the masks are of the same things.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Phase, Range, TaskInfo
from methods.composition.parameters import mask_candidates
from methods.sparse.masked import SelectingMethod


class SquaredGradients(nn.Module):
    """Σ g² of every entry of the `parameters`.

    A gradient is given up as soon as it has been added: it exists for one parameter at a time, the optimiser never
    meets it, and so keeps no state for it.
    """

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        super().__init__()
        self._summed = parameters
        self.sums: dict[str, Tensor] = {}
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(partial(self._take, name))
            for name, parameter in parameters.items()
        ]

    def _take(self, name: str, parameter: Tensor) -> None:
        assert parameter.grad is not None
        square = parameter.grad.float().square()
        self.sums[name] = self.sums[name].add_(square) if name in self.sums else square
        parameter.grad = None

    def finish(self) -> dict[str, Tensor]:
        """The sums, zero for what never had a gradient. From here on gradients stay."""
        for hook in self._hooks:
            hook.remove()
        for name, parameter in self._summed.items():
            self.sums.setdefault(name, torch.zeros_like(parameter, dtype=torch.float32))
        return {name: self.sums[name] for name in self._summed}


class FishMask(SelectingMethod):
    """Sung et al., NeurIPS 2021: the entries of largest Fisher information are trained."""

    lr: LearningRate = 5e-4
    select_share: float = Field(0.1, gt=0, lt=1, description="share of the budget that selection takes")

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        for parameter in mask_candidates(anatomy).values():
            parameter.requires_grad_(True)

    @override
    def phases(self) -> tuple[Phase, ...]:
        """Nothing is changed while gradients are looked at."""
        select, tune = super().phases()
        return (replace(select, lr_scale=0.0), tune)

    @override
    def on_phase(self, anatomy: Anatomy, phase: Phase, steps: int) -> None:
        if phase.name == "select":
            anatomy.model.add_module("fisher", SquaredGradients(mask_candidates(anatomy)))
        super().on_phase(anatomy, phase, steps)

    @override
    def progress(self, anatomy: Anatomy) -> dict[str, Any] | None:
        """While it selects, the sums so far."""
        fisher = getattr(anatomy.model, "fisher", None)
        return {**(super().progress(anatomy) or {}), "sums": fisher.sums if fisher is not None else {}}

    @override
    def load_progress(self, anatomy: Anatomy, progress: dict[str, Any]) -> None:
        super().load_progress(anatomy, progress)
        if progress["sums"]:
            fisher = anatomy.model.get_submodule("fisher")
            assert isinstance(fisher, SquaredGradients)
            fisher.sums = dict(progress["sums"])

    @override
    def end_selection(self, anatomy: Anatomy) -> dict[str, Tensor]:
        """The Fisher information of every entry, as estimated."""
        fisher = anatomy.model.get_submodule("fisher")
        assert isinstance(fisher, SquaredGradients)
        del anatomy.model.fisher
        return fisher.finish()

    card = Card(
        name="fish_mask",
        title="FISH Mask",
        family="sparse",
        composition="parameter",
        formula=(
            r"\theta' = \theta + \delta, \quad"
            r" \mathrm{supp}\,\delta = \mathrm{top}_k \textstyle\sum_t (\partial \ell_t / \partial \theta)^2"
        ),
        summary=(
            "A small part of the budget goes into measuring how large the squared gradient of every entry of the"
            " weights is, an estimate of its Fisher information, while nothing is changed. The entries where it is"
            " largest are then trained. Measuring takes one number per entry of the backbone and no optimiser state;"
            " afterwards optimiser state is proportional to the number of chosen entries. Stored are their positions"
            " and values. They are added to the weights, so inference costs what the backbone costs."
        ),
        citation="sung2021fish",
        search=(Range("lr", 5e-5, 5e-3, "two decades around the default"),),
        claims=(
            Claim(
                text="The entries of largest Fisher information are a better choice than random ones.",
                source="sung2021fish",
                measure="score",
                comparator="random_mask",
                relation="higher",
                scope="BERT-large on GLUE",
                matched=("adapter_parameters",),
            ),
            Claim(
                text="A fixed mask of a small part of the parameters reaches full fine-tuning.",
                source="sung2021fish",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="BERT-large on GLUE, with a mask of 0.5 % of the parameters",
            ),
        ),
    )

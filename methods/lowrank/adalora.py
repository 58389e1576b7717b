"""AdaLoRA: a rank for every projection, found while training.

    h = W₀ x + s · P Λ Q x,   P (out × r), Λ diagonal with entries λ (r), Q (r × in)

P and Q are kept near orthogonal by the penalty γ (‖Pᵀ P − I‖ + ‖Q Qᵀ − I‖), and of each triplet (a column of P, an
entry of λ, a row of Q) an importance is kept: the sensitivity |w ∂L/∂w|, smoothed over steps, times its smoothed
variation, for λ's entry plus the means over the column's and the row's. Training starts with `excess` times as many
triplets as the target; between `warm_up` and 1 − `settle` of the steps, the number falls along a cubic curve to
`rank` per projection on average: every `every` steps, λ's entries of all but the most important are set to zero.
λ starts at zero, so that training starts from the backbone.

Zhang, Chen, Bukharin, Karampatziakis, He, Cheng, Chen, Zhao. AdaLoRA: Adaptive Budget Allocation for
Parameter-Efficient Fine-Tuning. ICLR 2023. s = α / initial rank. The penalty is the mean over all P and Q, of
Frobenius norms as in the authors' code (in the paper: of their squares).
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from typing_extensions import override

from methods.anatomy import Anatomy, Site
from methods.base import Card, Claim, Method, PeftForm, Phase, Range, TaskInfo
from methods.composition.exchange import Factors, low_rank_form
from methods.composition.parameters import (
    AddedUpdate,
    add_linear_update,
    linear_updates,
    merge_linear_updates,
)
from methods.composition.targets import Targets, missing_target, rank_out_of_range


class MovingAverages:
    """A parameter's sensitivity |w ∂L/∂w|, and its variation, as moving averages."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self.sensitivity = torch.zeros_like(parameter)
        self.variation = torch.zeros_like(parameter)

    def update(self, parameter: nn.Parameter, beta1: float, beta2: float) -> None:
        """Takes the present gradient into account."""
        assert parameter.grad is not None
        now = (parameter.detach() * parameter.grad).abs()
        self.sensitivity.lerp_(now, 1 - beta1)
        self.variation.lerp_((now - self.sensitivity).abs(), 1 - beta2)

    def importance(self) -> Tensor:
        """Of each entry, of the parameter's shape."""
        return self.sensitivity * self.variation


class TripletUpdate(AddedUpdate):
    """ΔW = scale · P diag(λ) Q, with left P (out × rank), values λ (rank), right Q (rank × in)."""

    def __init__(self, site: Site, rank: int, alpha: float, dropout: float, like: Tensor) -> None:
        super().__init__()
        self.left = nn.Parameter(nn.init.normal_(like.new_empty(site.out_features, rank), std=0.02))
        self.values = nn.Parameter(like.new_zeros(rank))
        self.right = nn.Parameter(nn.init.normal_(like.new_empty(rank, site.in_features), std=0.02))
        self.scale = alpha / rank
        self.dropout = dropout
        self.kept: Tensor | None = None  # which triplets the last choice left
        self.smoothed: dict[str, MovingAverages] = {}

    @override
    def change(self, x: Tensor) -> Tensor:
        x = F.dropout(x, self.dropout, self.training)
        inner = F.linear(x, self.right)  # (…, rank)
        inner = inner * (self.scale * self.values).to(inner.dtype)
        return F.linear(inner, self.left)  # (…, out)

    @override
    def matrix(self) -> Tensor:
        return self.scale * (self.left * self.values) @ self.right

    @torch.no_grad()
    def update_importance(self, beta1: float, beta2: float) -> None:
        """Takes the present gradients into account."""
        for name, parameter in self.named_parameters():
            self.smoothed.setdefault(name, MovingAverages(parameter)).update(parameter, beta1, beta2)

    def importance(self) -> Tensor:
        """Of each triplet (rank)."""
        part = {name: smoothed.importance() for name, smoothed in self.smoothed.items()}
        return part["values"] + part["left"].mean(0) + part["right"].mean(1)

    @torch.no_grad()
    def add_penalty_gradient(self, strength: float) -> None:
        """Adds the gradient of strength · (‖PᵀP − I‖ + ‖QQᵀ − I‖), with Frobenius norms."""
        for parameter, tall in ((self.left, True), (self.right, False)):
            w = parameter if tall else parameter.T
            off = w.T @ w - torch.eye(w.shape[1], device=w.device, dtype=w.dtype)
            # ∂‖G‖/∂w = 2 w G / ‖G‖ for G = wᵀw − I
            slope = strength * 2 * w @ off / off.norm().clamp(min=1e-12)
            assert parameter.grad is not None
            parameter.grad += slope if tall else slope.T


def remaining(step: int, steps: int, start: int, target: int, warm_up: float, settle: float) -> int:
    """How many triplets are left after `step` of `steps`: `start`, then a cubic curve, then `target`."""
    first, last = warm_up * steps, (1 - settle) * steps
    if step <= first:
        return start
    if step >= last:
        return target
    return target + round((start - target) * (1 - (step - first) / (last - first)) ** 3)


class AdaLoRA(Method):
    """Zhang et al., ICLR 2023: a budget of rank is shared out among projections while training."""

    rank: int = Field(8, ge=1, le=4096, description="rank that is left, on average")
    excess: float = Field(1.5, ge=1, le=16, description="initial rank over the rank that is left")
    alpha: float = Field(16.0, gt=0, description="the update is scaled by alpha / initial rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the update's input")
    targets: Targets = ("query", "value")
    penalty: float = Field(0.1, ge=0, le=10, description="weight γ of the penalty for not being orthogonal")
    warm_up: float = Field(0.1, ge=0, lt=1, description="share of the steps before any triplet is given up")
    settle: float = Field(0.3, ge=0, lt=1, description="share of the steps, at the end, with the final ranks")
    every: int = Field(5, ge=1, description="steps from one choice of triplets to the next")
    beta1: float = Field(0.85, gt=0, lt=1, description="smoothing of the sensitivity")
    beta2: float = Field(0.85, ge=0, lt=1, description="smoothing of its variation")

    @model_validator(mode="after")
    def _the_schedule_gives_triplets_up(self) -> Self:
        if self.warm_up + self.settle > 1:
            raise ValueError(
                f"warm_up {self.warm_up} and settle {self.settle} are shares of the steps, and exceed them"
            )
        if self.initial_rank == self.rank:
            self.refuse_idle("warm_up", "settle", "every", "beta1", "beta2", unless="excess is above 1")
        return self

    @property
    def initial_rank(self) -> int:
        """Of every projection, before any triplet is given up."""
        return math.ceil(self.excess * self.rank)

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        return rank_out_of_range(self.initial_rank, anatomy, self.targets)

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        return missing_target(anatomy, self.targets)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like = anatomy.word_embeddings.weight
        for site in anatomy.sites(self.targets):
            add_linear_update(site, TripletUpdate(site, self.initial_rank, self.alpha, self.dropout, like))

    @override
    def on_phase(self, anatomy: Anatomy, phase: Phase, steps: int) -> None:
        anatomy.model.register_buffer("adalora_steps", torch.tensor(steps), persistent=False)
        for update in _updates(anatomy.model):
            update.kept = None

    @override
    def after_backward(self, anatomy: Anatomy, step: int) -> None:
        updates = _updates(anatomy.model)
        for update in updates:
            update.update_importance(self.beta1, self.beta2)
            update.add_penalty_gradient(self.penalty / (2 * len(updates)))

    @torch.no_grad()
    @override
    def after_step(self, anatomy: Anatomy, step: int, optimizer: Optimizer) -> None:
        steps = int(anatomy.model.get_buffer("adalora_steps"))
        updates = _updates(anatomy.model)
        first = self.warm_up * steps
        end = max(math.ceil((1 - self.settle) * steps), math.floor(first) + 1)
        # The choice at the end of the curve stands. Every step moves the λ that are left out away from zero, so
        # which they are has to be remembered.
        if first < step <= end and (step % self.every == 0 or step == end):
            self._choose(updates, step, steps)
        for update in updates:
            if update.kept is not None:
                update.values.mul_(update.kept)

    def _choose(self, updates: list[TripletUpdate], step: int, steps: int) -> None:
        """The most important triplets, over all projections, as many as the curve leaves."""
        start, target = self.initial_rank * len(updates), self.rank * len(updates)
        left = remaining(step, steps, start, target, self.warm_up, self.settle)
        scores = torch.stack([update.importance() for update in updates])
        kept = torch.zeros_like(scores).view(-1).index_fill_(0, scores.view(-1).topk(left).indices, 1.0)
        for update, mask in zip(updates, kept.view_as(scores), strict=True):
            update.kept = mask

    @override
    def progress(self, anatomy: Anatomy) -> dict[str, Any] | None:
        """Of each update which triplets were left, and the moving averages."""
        return {
            name: {
                "kept": update.kept,
                "smoothed": {of: (each.sensitivity, each.variation) for of, each in update.smoothed.items()},
            }
            for name, update in _named_updates(anatomy.model).items()
        }

    @override
    def load_progress(self, anatomy: Anatomy, progress: dict[str, Any]) -> None:
        for name, update in _named_updates(anatomy.model).items():
            update.kept = progress[name]["kept"]
            for of, (sensitivity, variation) in progress[name]["smoothed"].items():
                averages = update.smoothed[of] = MovingAverages(update.get_parameter(of))
                averages.sensitivity, averages.variation = sensitivity, variation

    @override
    def merge(self, model: nn.Module) -> bool:
        if merged := merge_linear_updates(model):
            model._buffers.pop("adalora_steps", None)
        return merged

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        """P Λ and Q, without the triplets whose λ is zero, as a LoRA with ranks of their own for every projection."""

        def factors(update: TripletUpdate) -> Factors:
            kept = update.values.nonzero().flatten()
            return (update.left * update.values)[:, kept], update.right[kept], update.scale

        note = "AdaLoRA as a plain LoRA, each projection with the rank that was left to it."
        return low_rank_form(anatomy.model, factors, note, lora_dropout=self.dropout)

    @override
    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Without the triplets whose λ is zero."""
        state = super().state(model)
        for name, update in _named_updates(model).items():
            kept = update.values.detach().nonzero().flatten()
            state[f"{name}.left"] = update.left.detach()[:, kept]
            state[f"{name}.values"] = update.values.detach()[kept]
            state[f"{name}.right"] = update.right.detach()[kept]
        return state

    @override
    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        state = dict(state)
        for name, update in _named_updates(model).items():
            missing = len(update.values) - len(state[f"{name}.values"])
            state[f"{name}.left"] = F.pad(state[f"{name}.left"], (0, missing))
            state[f"{name}.values"] = F.pad(state[f"{name}.values"], (0, missing))
            state[f"{name}.right"] = F.pad(state[f"{name}.right"], (0, 0, 0, missing))
        super().load_state(model, state)

    card = Card(
        name="adalora",
        title="AdaLoRA",
        family="low-rank",
        composition="parameter",
        formula=r"h = W_0 x + s P \Lambda Q x, \quad P^\top P \approx Q Q^\top \approx I",
        summary=(
            "The update of each chosen projection has the form of a singular value decomposition. While training, the"
            " singular values that matter least over all projections are set to zero, so that some projections end"
            " with a higher rank than others. More triplets are trained than are kept, and their importance takes two"
            " further numbers per parameter. The product can be added to the weights after training; inference then"
            " costs what the backbone costs."
        ),
        citation="zhang2023adalora",
        search=(Range("lr", 5e-4, 5e-2, "the paper used 5e-4 to 2.2e-3 on GLUE", "zhang2023adalora"),),
        claims=(
            Claim(
                text="Scores higher than LoRA at the same budget of parameters.",
                source="zhang2023adalora",
                measure="score",
                comparator="lora",
                relation="higher",
                scope="DeBERTa-v3-base on GLUE and SQuAD, BART-large on summarisation; most at small budgets",
                matched=("rank", "targets"),
            ),
            Claim(
                text="The gain over LoRA is largest at the smallest budgets.",
                source="zhang2023adalora",
                measure="score",
                comparator="lora",
                relation="higher",
                scope="DeBERTa-v3-base on GLUE and SQuAD",
                untestable="It takes both methods at several ranks, and no suite here pairs them so.",
            ),
        ),
    )


def _named_updates(model: nn.Module) -> dict[str, TripletUpdate]:
    return {name: update for name, update in linear_updates(model).items() if isinstance(update, TripletUpdate)}


def _updates(model: nn.Module) -> list[TripletUpdate]:
    return list(_named_updates(model).values())

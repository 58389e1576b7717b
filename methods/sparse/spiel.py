"""SpIEL: sparse fine-tuning whose entries are exchanged while it trains.

    θ' = θ + δ,   ‖δ‖₀ = k = ⌊density · n⌋ for every weight of n entries

δ starts at k random entries. Every `every` steps, m = ⌊rate · (1 − step / steps) · k⌋ entries of each weight are
*dropped*, those where |δ| is smallest, which puts their pretrained values back; and as many are *grown* from zero,
those of the candidates whose gradients add up to the most over `accumulate` steps. The candidates are the k entries
of largest gradient in the first of these steps, so that nothing but one gradient at a time is ever as large as a
weight: δ, the candidates and the optimiser's state are O(k). The first exchange comes after the first `accumulate`
steps and concerns all k entries, since chance chose them.

Ansell, Vulić, Sterz, Korhonen, Ponti. Scaling Sparse Fine-Tuning to Large Language Models. 2024. This is the variant
SpIEL-AG, of accumulated gradients; changed are all projections of all layers. As in the authors' code, moments of
Adam are given to a new entry from the gradients that were accumulated for it. Deviations: their Adam counts an
entry's steps from when it was grown, here its moments are scaled so that after the common correction they are what
was accumulated; where layers share a weight, candidates come from the gradient of its last use, and where a batch has
micro-batches, from that of the first of them.
"""

from __future__ import annotations

from typing import Any, Self, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from methods.anatomy import Anatomy, SiteName
from methods.base import Card, Claim, LearningRate, Phase, Range, TaskInfo
from methods.composition.parameters import (
    SparseDelta,
    add_sparse_delta,
    random_entries,
    reparametrisations,
    sparse_deltas,
)
from methods.sparse.masked import SparseMethod


class GrowingDelta(SparseDelta):
    """A sparse delta that, while it is `accumulating`, adds up the gradients of k candidates."""

    def __init__(self, weight: Tensor, indices: Tensor) -> None:
        super().__init__(weight, indices)
        self.steps = 0  # of the phase
        self.restart(False)

    def restart(self, accumulating: bool) -> None:
        """Begins, or ends, without candidates."""
        self.accumulating = accumulating
        self.candidates: Tensor | None = None
        self.seen = 0

    @override
    def observe(self, gradient: Tensor) -> None:
        if not self.accumulating:
            return
        if self.candidates is None:
            self.candidates = gradient.abs().topk(len(self.values)).indices
            self.step_sum = gradient.new_zeros(len(self.candidates))
            self.sums, self.squares = torch.zeros_like(self.step_sum), torch.zeros_like(self.step_sum)
        self.step_sum += gradient.index_select(0, self.candidates)

    def end_step(self) -> None:
        """Adds what the uses of the weight in one backward pass came to."""
        if self.candidates is not None:
            self.sums += self.step_sum
            self.squares.addcmul_(self.step_sum, self.step_sum)
            self.step_sum.zero_()
            self.seen += 1

    def growth(self) -> dict[str, Any]:
        """All that changes in training beside parameter and buffers."""
        names = ("steps", "accumulating", "seen", "candidates", "step_sum", "sums", "squares")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    @torch.no_grad()
    def regrow(self, weight: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Exchanges up to `count` entries. Returns their places among the values, and the means of gradient and
        squared gradient of the entries that are there now."""
        if self.candidates is None:
            nothing = self.values.detach()[:0]
            return nothing.long(), nothing, nothing
        places = self.values.abs().topk(count, largest=False).indices
        dropped = self.indices[places].long()
        kept = self.indices.index_fill(0, places, -1)
        score = torch.where(torch.isin(self.candidates, kept), -1.0, self.sums.abs())
        best = score.topk(count).indices
        best = best[score[best] >= 0]
        # What would be dropped and grown at once stays as it is.
        grown = self.candidates[best]
        places = places[~torch.isin(dropped, grown)]
        best = best[~torch.isin(grown, dropped)]
        places = places[: len(best)]
        self.exchange(weight, places, self.candidates[best])
        return places, self.sums[best] / self.seen, self.squares[best] / self.seen


class SpIEL(SparseMethod):
    """Ansell et al., 2024: the entries that are trained are exchanged along the way."""

    lr: LearningRate = 5e-4
    density: float = Field(
        0.05, gt=0, lt=1, examples=[0.1], description="share of each projection's entries that are tuned"
    )
    every: int = Field(20, ge=1, description="steps from one exchange of entries to the next")
    accumulate: int = Field(5, ge=1, description="steps over which gradients of candidates add up; at most `every`")
    rate: float = Field(0.2, ge=0, le=1, description="share of the entries that is exchanged, at the start")

    @model_validator(mode="after")
    def _exchanges_do_not_overlap(self) -> Self:
        if self.accumulate > self.every:
            raise ValueError(
                f"accumulate {self.accumulate} exceeds every {self.every}; it takes 1 to {self.every}: set both"
            )
        if not self.rate:
            self.refuse_idle("every", unless="rate is above 0")
        return self

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        names = {id(parameter): name for name, parameter in anatomy.model.named_parameters()}
        # A dictionary, since the parts of a fused projection are one weight.
        weights = {names[id(p)]: p for p in (site.projection.weight for site in anatomy.sites(get_args(SiteName)))}
        for name, weight in weights.items():
            indices = random_entries(weight.numel(), max(1, int(self.density * weight.numel())))
            add_sparse_delta(anatomy.model, name, indices, kind=GrowingDelta)

    @override
    def on_phase(self, anatomy: Anatomy, phase: Phase, steps: int) -> None:
        for delta, _ in _growing(anatomy):
            delta.steps = steps
            delta.restart(True)

    @override
    def after_backward(self, anatomy: Anatomy, step: int) -> None:
        if (step - 1) % self.every < self.accumulate:
            for delta, _ in _growing(anatomy):
                delta.end_step()

    @override
    def after_step(self, anatomy: Anatomy, step: int, optimizer: Optimizer) -> None:
        if (step - 1) % self.every == self.accumulate - 1:
            for delta, weight in _growing(anatomy):
                share = 1.0 if step == self.accumulate else self.rate * (1 - step / delta.steps)
                places, mean, square = delta.regrow(weight, int(share * len(delta.values)))
                _give_moments(optimizer, delta.values, places, mean, square)
                delta.restart(False)
        if step % self.every == 0:
            for delta, _ in _growing(anatomy):
                delta.restart(True)

    @override
    def progress(self, anatomy: Anatomy) -> dict[str, Any] | None:
        """The entries, and of the candidates what was seen of them so far."""
        deltas = sparse_deltas(anatomy.model)
        growth = {name: delta.growth() for name, delta in deltas.items() if isinstance(delta, GrowingDelta)}
        return {**(super().progress(anatomy) or {}), "growth": growth}

    @override
    def load_progress(self, anatomy: Anatomy, progress: dict[str, Any]) -> None:
        super().load_progress(anatomy, progress)
        for name, delta in sparse_deltas(anatomy.model).items():
            vars(delta).update(progress["growth"][name])

    card = Card(
        name="spiel",
        title="SpIEL",
        family="sparse",
        composition="parameter",
        formula=r"\theta' = \theta + \delta, \quad \Vert\delta\Vert_0 = k, \quad \mathrm{supp}\,\delta \text{ evolves}",
        summary=(
            "A fixed number of entries of every projection is trained, but not the same ones throughout: at regular"
            " intervals those that changed least are given up for others that have large gradients. Neither a dense"
            " optimiser state nor more than one dense gradient is ever held, so memory grows with the number of"
            " entries beside the backbone itself. Stored are positions and values. They are added to the weights,"
            " so inference costs what the backbone costs."
        ),
        citation="ansell2024spiel",
        search=(Range("lr", 5e-5, 5e-3, "two decades around the default"),),
        claims=(
            Claim(
                text="Often better than LoRA at the same number of parameters.",
                source="ansell2024spiel",
                measure="score",
                comparator="lora",
                relation="higher",
                scope="instruction tuning of Llama 2 with 7 and 13 billion parameters",
                matched=("adapter_parameters",),
            ),
            Claim(
                text="Training takes less memory than full fine-tuning.",
                source="ansell2024spiel",
                measure="training_memory_bytes",
                comparator="full",
                relation="lower",
                scope="instruction tuning of Llama 2 with 7 and 13 billion parameters",
            ),
        ),
    )


def _growing(anatomy: Anatomy) -> list[tuple[GrowingDelta, Tensor]]:
    """Every delta, and the weight that it is on."""
    return [pair for pair in reparametrisations(anatomy.model).values() if isinstance(pair[0], GrowingDelta)]  # type: ignore[misc]


def _give_moments(optimizer: Optimizer, values: nn.Parameter, places: Tensor, mean: Tensor, square: Tensor) -> None:
    """Moments of the entries at `places` as if their gradients had had these means all along; whatever else the
    optimiser keeps for them is cleared."""
    state = optimizer.state[values]
    beta1, beta2 = optimizer.param_groups[0].get("betas", (0.0, 0.0))
    steps = state.get("step", 0)
    moments = {"exp_avg": mean * (1 - beta1**steps), "exp_avg_sq": square * (1 - beta2**steps)}
    for name, kept in state.items():
        if isinstance(kept, Tensor) and kept.shape == values.shape:
            kept[places] = moments.get(name, torch.zeros_like(mean)).to(kept.dtype)

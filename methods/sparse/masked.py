"""What methods share that train chosen entries of the backbone's weights, and leave all others as they are.

θ' = θ + δ,   ‖δ‖₀ = k
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Method, Phase
from methods.composition.parameters import (
    add_sparse_delta,
    load_sparse_state,
    remove_sparse_deltas,
    sparse_deltas,
    sparse_state,
    top_entries,
)


class SparseMethod(Method):
    """Stores δ as positions and values, and merges by leaving it where it is, in the weights."""

    @override
    def progress(self, anatomy: Anatomy) -> dict[str, Any] | None:
        """Which entries are trained, in the order of the weights."""
        return {"indices": {name: delta.indices for name, delta in sparse_deltas(anatomy.model).items()}}

    @override
    def load_progress(self, anatomy: Anatomy, progress: dict[str, Any]) -> None:
        """The entries that were chosen without training give way to those that were chosen by it."""
        kinds = {type(delta) for delta in sparse_deltas(anatomy.model).values()}
        remove_sparse_deltas(anatomy.model, merge=False)
        for name, indices in progress["indices"].items():
            (kind,) = kinds
            add_sparse_delta(anatomy.model, name, indices, kind=kind)

    @override
    def merge(self, model: nn.Module) -> bool:
        return remove_sparse_deltas(model, merge=True)

    @override
    def state(self, model: nn.Module) -> dict[str, Tensor]:
        return sparse_state(model)

    @override
    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        load_sparse_state(model, state)


class MaskedMethod(SparseMethod):
    """Its k = ⌊density · n⌋ entries, at least one, are chosen once, out of n over all weights together."""

    density: float = Field(
        0.05, gt=0, le=1, examples=[0.1], description="share of the backbone's entries that are tuned"
    )

    def count(self, tensors: Mapping[str, Tensor]) -> int:
        """k, where n is the number of all entries of all tensors."""
        return max(1, int(self.density * sum(tensor.numel() for tensor in tensors.values())))

    def tune(self, anatomy: Anatomy, chosen: Mapping[str, Tensor], start: Mapping[str, Tensor] | None = None) -> None:
        """From here on δ and the head are trained: δ at the `chosen` flat indices into each parameter, from the values
        that `start`, of the parameters' shapes, has there, or from zero."""
        anatomy.freeze()
        for name, indices in chosen.items():
            values = None if start is None else start[name].view(-1)[indices]
            add_sparse_delta(anatomy.model, name, indices, values)

    def tune_highest(
        self, anatomy: Anatomy, scores: Mapping[str, Tensor], start: Mapping[str, Tensor] | None = None
    ) -> None:
        """As `tune`, the k entries of highest score; `scores` have the parameters' shapes."""
        self.tune(anatomy, top_entries(scores, self.count(scores)), start)


class SelectingMethod(MaskedMethod):
    """Spends a first phase of training on finding out which entries to tune in the second."""

    select_share: float = Field(0.5, gt=0, lt=1, description="share of the budget that selection takes")

    @abstractmethod
    def end_selection(self, anatomy: Anatomy) -> dict[str, Tensor]:
        """A score for every entry of every candidate, of the parameters' shapes. Afterwards the backbone is as it was
        before selection."""

    @override
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("select", self.select_share), Phase("tune", 1 - self.select_share))

    @override
    def on_phase(self, anatomy: Anatomy, phase: Phase, steps: int) -> None:
        if phase.name == "tune":
            self.tune_highest(anatomy, self.end_selection(anatomy))

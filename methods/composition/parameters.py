"""Composition by parameters, θ' = θ ⊕ φ: what is learnt is added to the backbone's own weights.

Two forms. A *sparse delta* changes chosen entries of any parameter; a *linear update* adds a structured
matrix to a Linear layer without ever forming it. Both can be merged, and then cost nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from methods.anatomy import Site
from methods.composition.settled import fingerprint


class _Shifted(torch.autograd.Function):
    """The weight as it stands, whose gradient goes to the chosen entries alone."""

    @staticmethod
    def forward(ctx, weight: Tensor, values: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[None, Tensor, None]:
        (indices,) = ctx.saved_tensors
        return None, gradients[0].reshape(-1).index_select(0, indices), None


class SparseDelta(nn.Module):
    """θ' = θ + δ, where δ has k non-zero entries: `values` (k) at `indices` (k) into the flattened weight.

    The sum lives in the weight's own memory, so that no second dense copy is ever held; the k pretrained
    entries beneath δ are kept aside. Gradient, optimiser state and storage are O(k). The dense gradient
    exists for one weight at a time, until its entries have been gathered.
    """

    indices: Tensor
    pretrained: Tensor

    def __init__(self, weight: Tensor, indices: Tensor) -> None:
        super().__init__()
        small = weight.numel() < 2**31
        self.register_buffer("indices", indices.to(weight.device, torch.int32 if small else torch.int64))
        self.register_buffer("pretrained", weight.detach().reshape(-1).index_select(0, self.indices))
        self.values = nn.Parameter(torch.zeros_like(self.pretrained))
        self._written: object = None

    def forward(self, weight: Tensor) -> Tensor:
        now = fingerprint(self, weight)
        if now is None or now != self._written:
            self._write(weight, self.pretrained + self.values.detach())
            self._written = now
        return _Shifted.apply(weight, self.values, self.indices)

    def remove(self, weight: Tensor) -> None:
        """Puts the pretrained entries back."""
        self._write(weight, self.pretrained)

    def _write(self, weight: Tensor, entries: Tensor) -> None:
        # Through `data`, since autograd would otherwise take a second forward pass before the backward pass,
        # which writes the same values again, for a change of what it has saved.
        weight.data.view(-1).index_copy_(0, self.indices.long(), entries)


def add_sparse_delta(model: nn.Module, name: str, indices: Tensor) -> SparseDelta:
    """Puts a sparse delta of zeros on the parameter of that name. `indices` count into its flattened entries."""
    module, attribute = _owner(model, name)
    delta = SparseDelta(getattr(module, attribute), indices)
    parametrize.register_parametrization(module, attribute, delta)
    return delta


def sparse_deltas(model: nn.Module) -> dict[str, SparseDelta]:
    """Every sparse delta, by the plain name of the parameter that it changes."""
    found = {}
    for prefix, module in model.named_modules():
        for attribute, deltas in getattr(module, "parametrizations", {}).items():
            for delta in deltas:
                if isinstance(delta, SparseDelta):
                    found[f"{prefix}.{attribute}".lstrip(".")] = delta
    return found


@torch.no_grad()
def remove_sparse_deltas(model: nn.Module, merge: bool) -> bool:
    """Leaves plain parameters: with the deltas in them if `merge`, else as they were pretrained. Returns
    whether there were any."""
    deltas = sparse_deltas(model)
    for name, delta in deltas.items():
        module, attribute = _owner(model, name)
        weight = getattr(module, attribute)  # which brings it up to date
        if not merge:
            delta.remove(weight)
        parametrize.remove_parametrizations(module, attribute, leave_parametrized=True)
        getattr(module, attribute).requires_grad_(False)
    return bool(deltas)


def top_entries(scores: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """The `count` highest of all entries of all tensors: sorted flat indices into each; none is left empty."""
    flat = torch.cat([score.reshape(-1) for score in scores.values()])
    chosen = flat.topk(count, sorted=False).indices.sort().values
    ends = torch.tensor([score.numel() for score in scores.values()], device=chosen.device).cumsum(0)
    shares = torch.searchsorted(chosen, ends).diff(prepend=ends.new_zeros(1)).tolist()
    starts = [0, *ends.tolist()]
    parts = zip(scores, chosen.split(shares), starts, strict=False)
    return {name: part - start for name, part, start in parts if len(part)}


class LinearUpdate(nn.Module, ABC):
    """φ of a Linear layer: an (out × in) matrix ΔW that is applied factor by factor, and formed only to merge."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """x ΔWᵀ, from (…, in) to (…, out)."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """ΔW itself."""


class UpdatedLinear(nn.Module):
    """h = x Wᵀ + b + x ΔWᵀ with the pretrained W and b left as they are."""

    def __init__(self, base: nn.Linear, update: LinearUpdate) -> None:
        super().__init__()
        self.base = base
        self.update = update

    @property
    def weight(self) -> Tensor:
        """Some architectures look at a projection's weight for its dtype."""
        return self.base.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.update(x)


def add_linear_update(site: Site, update: LinearUpdate) -> None:
    base = site.module
    assert isinstance(base, nn.Linear)
    site.replace(UpdatedLinear(base, update))


@torch.no_grad()
def merge_linear_updates(model: nn.Module) -> bool:
    """W ← W + ΔW wherever there is an update; the plain Linear layers remain. Returns whether there were any."""
    merged = False
    for parent in list(model.modules()):
        for attribute, child in list(parent.named_children()):
            if isinstance(child, UpdatedLinear):
                child.base.weight += child.update.matrix().to(child.base.weight.dtype)
                setattr(parent, attribute, child.base)
                merged = True
    return merged


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    module, _, attribute = name.rpartition(".")
    return model.get_submodule(module), attribute

"""Composition by parameters, θ' = θ ⊕ φ: what is learnt is added to the backbone's own weights.

Two forms. A *sparse delta* changes chosen entries of any parameter; a *linear update* changes what a projection
computes, by a structured matrix that is never formed. Both can be merged, and then cost nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from typing_extensions import override

from methods.anatomy import Anatomy, Site, bias_of, weight_of
from methods.composition.parameter_cache import fingerprint


class _Shifted(torch.autograd.Function):
    """The weight as it stands, whose gradient goes to the chosen entries alone."""

    @staticmethod
    @override
    def forward(ctx: Any, weight: Tensor, values: Tensor, delta: SparseDelta) -> Tensor:
        ctx.save_for_backward(delta.indices)
        ctx.delta = delta
        return weight.view_as(weight)

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        (indices,) = ctx.saved_tensors  # (k)
        dense = gradients[0].reshape(-1)  # (n), flat
        ctx.delta.observe(dense)
        return None, dense.index_select(0, indices), None  # of the values (k)


_shifted: Callable[[Tensor, Tensor, SparseDelta], Tensor] = _Shifted.apply


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

    @override
    def forward(self, weight: Tensor) -> Tensor:
        now = fingerprint(self, weight)
        if now is None or now != self._written:
            self._write(weight, self.pretrained + self.values.detach())
            self._written = now
        return _shifted(weight, self.values, self)

    def observe(self, gradient: Tensor) -> None:
        """Sees the dense gradient, flat, before it is given up: once for every use of the weight in a backward
        pass. For subclasses that choose entries by it."""

    @torch.no_grad()
    def exchange(self, weight: Tensor, places: Tensor, indices: Tensor) -> None:
        """Gives the values at `places` new entries of the weight, where they start from zero; the entries that
        they leave are as pretrained again."""
        self.remove(weight)
        # In tensors of their own: a forward pass whose backward pass is yet to come may hold the old ones.
        self.indices = self.indices.index_copy(0, places, indices.to(self.indices.dtype))
        self.pretrained = weight.detach().reshape(-1).index_select(0, self.indices)
        self.values.index_fill_(0, places, 0.0)
        self._written = None

    def remove(self, weight: Tensor) -> None:
        """Puts the pretrained entries back."""
        self._write(weight, self.pretrained)

    def _write(self, weight: Tensor, entries: Tensor) -> None:
        # Through `data`, since autograd would otherwise take a second forward pass before the backward pass,
        # which writes the same values again, for a change of what it has saved.
        weight.data.view(-1).index_copy_(0, self.indices.long(), entries)


def reparametrise(model: nn.Module, name: str, change: nn.Module) -> None:
    """Has `change` compute the parameter of that name from its present value, wherever the parameter is used:
    several modules may share it."""
    shared = model.get_parameter(name)
    for module in list(model.modules()):
        for attribute, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if parameter is shared:
                parametrize.register_parametrization(module, attribute, change)


def restore(model: nn.Module, change: nn.Module) -> None:
    """Leaves plain parameters where `reparametrise` put `change`, with the values that lie beneath it."""
    for module in list(model.modules()):
        for attribute, changes in list(getattr(module, "parametrizations", {}).items()):
            if any(each is change for each in changes):
                parametrize.remove_parametrizations(module, attribute, leave_parametrized=False)
                getattr(module, attribute).requires_grad_(False)


def reparametrisations(model: nn.Module) -> dict[str, tuple[nn.Module, Tensor]]:
    """Every change that `reparametrise` put, and the weight beneath it, by the plain name of the parameter: where
    modules share it, the first of its names."""
    found: dict[nn.Module, tuple[str, Tensor]] = {}
    for prefix, module in model.named_modules():
        for attribute, changes in getattr(module, "parametrizations", {}).items():
            for change in changes:
                found.setdefault(change, (f"{prefix}.{attribute}".lstrip("."), changes.original))
    return {name: (change, weight) for change, (name, weight) in found.items()}


def add_sparse_delta(
    model: nn.Module, name: str, indices: Tensor, values: Tensor | None = None, kind: type[SparseDelta] = SparseDelta
) -> SparseDelta:
    """Puts a sparse delta on the parameter of that name: of zeros, unless `values` says otherwise. `indices` count
    into its flattened entries."""
    delta = kind(model.get_parameter(name), indices)
    if values is not None:
        delta.values.data.copy_(values)
    reparametrise(model, name, delta)
    return delta


def sparse_deltas(model: nn.Module) -> dict[str, SparseDelta]:
    """Every sparse delta, by the plain name of the parameter that it changes."""
    return {name: delta for name, (delta, _) in reparametrisations(model).items() if isinstance(delta, SparseDelta)}


@torch.no_grad()
def remove_sparse_deltas(model: nn.Module, merge: bool) -> bool:
    """Leaves plain parameters: with the deltas in them if `merge`, else as they were pretrained. Returns
    whether there were any."""
    removed = False
    for delta, weight in reparametrisations(model).values():
        if isinstance(delta, SparseDelta):
            delta(weight)  # which brings the weight up to date
            if not merge:
                delta.remove(weight)
            restore(model, delta)  # what the delta computes is what lies beneath it
            removed = True
    return removed


def sparse_state(model: nn.Module) -> dict[str, Tensor]:
    """What has to be stored: per changed weight `<name>.indices` and `<name>.values`; whatever else is
    trainable, the head above all, as it is."""
    deltas = sparse_deltas(model)
    own = {id(delta.values) for delta in deltas.values()}
    state = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad and id(p) not in own}
    for name, delta in deltas.items():
        state[f"{name}.indices"], state[f"{name}.values"] = delta.indices, delta.values.detach()
    return state


@torch.no_grad()
def load_sparse_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """The inverse of `sparse_state`: whatever mask the model has gives way to that of the state.

    Raises KeyError if the state names a parameter that the model lacks.
    """
    remove_sparse_deltas(model, merge=False)
    parameters = dict(model.named_parameters())
    chosen = {name.removesuffix(".indices"): t for name, t in state.items() if name.endswith(".indices")}
    sparse = {f"{name}.{part}" for name in chosen for part in ("indices", "values")}
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in state)
    for name in state.keys() - sparse:
        parameters[name].copy_(state[name])
    for name, indices in chosen.items():
        add_sparse_delta(model, name, indices, state[f"{name}.values"])


def add_states(*states: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sum of sparse differences, as of several tasks or languages: θ' = θ + δ₁ + δ₂ (Ansell et al., ACL
    2022). Entries that several hold are added; of the rest of the states, the head, the last one's stands."""
    total: dict[str, Tensor] = {}
    for state in states:
        total |= {name: value for name, value in state.items() if not name.endswith((".indices", ".values"))}
    names = {name.removesuffix(".indices") for state in states for name in state if name.endswith(".indices")}
    for name in sorted(names):
        holders = [state for state in states if f"{name}.indices" in state]
        indices = torch.cat([state[f"{name}.indices"].long() for state in holders])
        values = torch.cat([state[f"{name}.values"] for state in holders])
        merged, places = indices.unique(return_inverse=True)
        total[f"{name}.indices"] = merged.to(holders[0][f"{name}.indices"].dtype)
        total[f"{name}.values"] = values.new_zeros(len(merged)).index_add_(0, places, values)
    return total


def top_entries(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """The `count` highest of all entries of all tensors: sorted flat indices into each; none is left empty."""
    flat = torch.cat([score.reshape(-1) for score in scores.values()])  # (all entries)
    return split_entries(flat.topk(count, sorted=False).indices.sort().values, scores)


def split_entries(chosen: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sorted indices into all entries of all tensors, as flat indices into each; none is left empty."""
    ends = torch.tensor([tensor.numel() for tensor in tensors.values()], device=chosen.device).cumsum(0)
    shares = torch.searchsorted(chosen, ends).diff(prepend=ends.new_zeros(1)).tolist()
    starts = [0, *ends.tolist()]
    parts = zip(tensors, chosen.split(shares), starts, strict=False)
    return {name: part - start for name, part, start in parts if len(part)}


def random_entries(total: int, count: int) -> Tensor:
    """`count` different numbers below `total`, sorted; every choice is equally likely. Drawn on the CPU, so that
    it is the same on every device."""
    if 2 * count > total:
        return torch.randperm(total, device="cpu")[:count].sort().values
    chosen = torch.empty(0, dtype=torch.int64, device="cpu")
    while len(chosen) < count:
        chosen = torch.cat([chosen, torch.randint(total, (count - len(chosen),), device="cpu")]).unique()
    return chosen


def mask_candidates(anatomy: Anatomy) -> dict[str, nn.Parameter]:
    """The parameters of which a mask chooses entries: the backbone's, normalisation left out."""
    norms = set(anatomy.norm_names)
    return {name: parameter for name, parameter in anatomy.backbone_parameters() if name not in norms}


class LinearUpdate(nn.Module, ABC):
    """φ of a projection y = x Wᵀ + b: what becomes of its input, and of its output."""

    def before(self, x: Tensor) -> Tensor:
        """What the projection gets in place of x (…, in). Not for a part of a fused projection."""
        return x

    @abstractmethod
    @override
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """What stands in place of the pretrained projection's output y (…, out) for the input x (…, in)."""

    @abstractmethod
    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """W (out, in) and b (out) of the one projection that computes the same."""


class AddedUpdate(LinearUpdate):
    """y = x Wᵀ + b + x ΔWᵀ, where ΔW is applied factor by factor, and formed only to merge."""

    @abstractmethod
    def change(self, x: Tensor) -> Tensor:
        """x ΔWᵀ, from (…, in) to (…, out)."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """ΔW itself, (out, in)."""

    @override
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return y + self.change(x)

    @override
    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return weight + self.matrix().to(weight.dtype), bias


class UpdatedLinear(nn.Module):
    """A projection with its pretrained weight left as it is, and an update for each of the `parts` equal
    shares of its outputs that has one. `updates` is keyed by the share's number."""

    def __init__(self, base: nn.Module, parts: int) -> None:
        super().__init__()
        self.base = base
        self.parts = parts
        self.updates = nn.ModuleDict()

    @property
    def weight(self) -> Tensor:
        """Some architectures look at a projection's weight for its dtype."""
        return self.base.weight  # type: ignore[return-value]

    @property
    def bias(self) -> Tensor | None:
        """For the same reason."""
        return self.base.bias  # type: ignore[return-value]

    @override
    def forward(self, x: Tensor) -> Tensor:
        if self.parts == 1:
            (update,) = self.updates.values()
            x = update.before(x)  # type: ignore[operator]
            y: Tensor = update(x, self.base(x))  # (…, in) to (…, out)
            return y
        shares = list(self.base(x).chunk(self.parts, dim=-1))  # each (…, out / parts)
        for share, update in self.updates.items():
            shares[int(share)] = update(x, shares[int(share)])
        return torch.cat(shares, dim=-1)  # (…, out)


def add_linear_update(site: Site, update: LinearUpdate) -> None:
    """Raises ValueError where the site has an update already."""
    wrapped = site.module
    if not isinstance(wrapped, UpdatedLinear):
        wrapped = UpdatedLinear(site.module, site.parts)
        site.replace(wrapped)
    if str(site.part) in wrapped.updates:
        raise ValueError(f"{site.name} has an update already")
    wrapped.updates[str(site.part)] = update


def linear_updates(model: nn.Module) -> dict[str, LinearUpdate]:
    """Every update, by its module name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LinearUpdate)}


@torch.no_grad()
def merge_linear_updates(model: nn.Module) -> bool:
    """Folds every update into its projection, in place; the plain projections remain. Returns whether there
    were any."""
    merged = False
    for parent in list(model.modules()):
        for attribute, child in list(parent.named_children()):
            if isinstance(child, UpdatedLinear):
                for share, update in child.updates.items():
                    assert isinstance(update, LinearUpdate)
                    weight = weight_of(child.base, int(share), child.parts)  # type: ignore[arg-type]
                    bias = bias_of(child.base, int(share), child.parts)  # type: ignore[arg-type]
                    new_weight, new_bias = update.fold(weight, bias)
                    weight.copy_(new_weight)
                    if bias is not None and new_bias is not None:
                        bias.copy_(new_bias)
                setattr(parent, attribute, child.base)
                merged = True
    return merged

"""Parameter composition: θ' = θ ⊕ φ. What is learnt is added to weights of the backbone, and merges into them.

Two shapes of φ. A `LinearDelta` stands beside a linear projection and computes its own branch, so that a
factorised φ never becomes a dense matrix. A `SparseDelta` changes chosen entries of any parameter; its
trainable values, and so their gradients and optimiser state, are as many as there are entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from methods.anatomy import Site

# How torch names what stands in a parametrised parameter's place.
PARAMETRIZATION = ".parametrizations."


class LinearDelta(nn.Module):
    """A frozen projection y = xWᵀ + b with a trainable branch: y + branch(x).

    Subclasses give `branch`, of the shape of y, and `delta`, the matrix (out × in) that it amounts to.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base

    def branch(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def delta(self) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.branch(x)


class SparseDelta(nn.Module):
    """θ' = θ with `values` added at the flat `indices`; a parametrisation of one parameter.

    `indices` and `values` have shape (k,). The backward pass gathers k entries of the dense gradient that
    autograd hands over, and keeps no more.
    """

    def __init__(self, indices: Tensor) -> None:
        super().__init__()
        self.register_buffer("indices", indices)
        self.values = nn.Parameter(torch.zeros(indices.numel(), device=indices.device))

    def forward(self, weight: Tensor) -> Tensor:
        return cast(Tensor, _AddAt.apply(weight, self.indices, self.values))


class _AddAt(torch.autograd.Function):
    """weight.flatten()[indices] += values, out of place; the gradient for `values` alone is gathered."""

    @staticmethod
    def forward(ctx, weight: Tensor, indices: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        return weight.flatten().index_add(0, indices, values.to(weight.dtype)).view_as(weight)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[None, None, Tensor]:
        (indices,) = ctx.saved_tensors
        return None, None, gradients[0].flatten()[indices]


def add_sparse(model: nn.Module, indices: dict[str, Tensor]) -> None:
    """Puts a SparseDelta on each named parameter; the parameter itself is frozen."""
    for name, flat in indices.items():
        path, _, attribute = name.rpartition(".")
        module = model.get_submodule(path)
        getattr(module, attribute).requires_grad_(False)
        parametrize.register_parametrization(module, attribute, SparseDelta(flat))


def merge(model: nn.Module) -> bool:
    """Folds every delta into its weight and restores the plain modules; False where there is none."""
    found = False
    for module in list(model.modules()):
        if isinstance(module, LinearDelta):
            continue
        for attribute, child in list(module.named_children()):
            if isinstance(child, LinearDelta):
                with torch.no_grad():
                    child.base.weight += child.delta().to(child.base.weight.dtype)
                setattr(module, attribute, child.base)
                found = True
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for attribute in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, attribute, leave_parametrized=True)
                found = True
    return found


def wrap(sites: Iterable[Site], make: type[LinearDelta], *arguments: object) -> None:
    """Replaces the projection at each site by `make(projection, *arguments)`, on its device."""
    for site in sites:
        base = site.module
        site.replace(make(base, *arguments).to(base.weight.device))  # type: ignore[arg-type]


def sparse_indices(source: nn.Module | dict[str, Tensor]) -> dict[str, Tensor]:
    """The indices of every SparseDelta, by name, of a model or of a state that was taken from one."""
    entries = dict(source.named_buffers()) if isinstance(source, nn.Module) else source
    return {name: value for name, value in entries.items() if PARAMETRIZATION in name and name.endswith(".indices")}


def places(indices: dict[str, Tensor]) -> dict[str, Tensor]:
    """Indices by the name of the parameter that they belong to, for `add_sparse`."""
    named = {}
    for name, value in indices.items():
        path, _, rest = name.partition(PARAMETRIZATION)
        named[f"{path}.{rest.partition('.')[0]}"] = value
    return named

"""Composition by functions, f_θ ∘ f_φ: new modules see what a part of the backbone computes, and change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from methods.anatomy import Site

Nonlinearity = Literal["gelu", "relu", "silu", "tanh"]
NONLINEARITIES: dict[Nonlinearity, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu, "relu": F.relu, "silu": F.silu, "tanh": F.tanh,
}  # fmt: skip


class Followed(nn.Module):
    """adapter(base(x)): a part of the backbone, and the module that works on its output."""

    def __init__(self, base: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.adapter = adapter

    @property
    def weight(self) -> Tensor:
        """Some architectures look at a projection's weight for its dtype."""
        return self.base.weight  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        return self.adapter(self.base(x))


def insert_after(site: Site, adapter: nn.Module) -> None:
    site.replace(Followed(site.module, adapter))


def bottleneck(
    x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor, nonlinearity: Nonlinearity
) -> Tensor:
    """U σ(D x + b_D) + b_U for x (…, d), D (m × d), U (d × m)."""
    return F.linear(NONLINEARITIES[nonlinearity](F.linear(x, down, down_bias)), up, up_bias)

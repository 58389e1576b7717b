"""Composition by functions, f_θ ∘ f_φ: new modules see what a part of the backbone computes, and change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.anatomy import Layer, Site

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
    """The adapter maps the projection's output (…, d) to what takes its place (…, d)."""
    site.replace(Followed(site.module, adapter))


class Watched(nn.Module):
    """A projection that keeps its input for a parallel adapter, which takes it away."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.input: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        return self.base.weight  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        self.input = x
        return self.base(x)

    def take(self) -> Tensor:
        x, self.input = self.input, None
        assert x is not None
        return x


class Beside(nn.Module):
    """base(h) + adapter(x), where x went into an earlier projection of the same block."""

    def __init__(self, base: nn.Module, adapter: nn.Module, watched: Watched) -> None:
        super().__init__()
        self.base = base
        self.adapter = adapter
        # In a tuple, so that it stays registered in its own place alone.
        self._watched = (watched,)

    @property
    def weight(self) -> Tensor:
        return self.base.weight  # type: ignore[return-value]

    def forward(self, h: Tensor) -> Tensor:
        (watched,) = self._watched
        return self.base(h) + self.adapter(watched.take())


def insert_beside_ffn(layer: Layer, adapter: nn.Module) -> None:
    """The adapter maps what the feed-forward block reads (…, d) to what is added to its output (…, d)."""
    watched = Watched(layer.ffn_in.module)
    layer.ffn_in.replace(watched)
    layer.ffn_out.replace(Beside(layer.ffn_out.module, adapter, watched))


def bottleneck(
    x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor, nonlinearity: Nonlinearity
) -> Tensor:
    """U σ(D x + b_D) + b_U for x (…, d), D (m × d), U (d × m).

    With weights of their own for every example, D (batch × m × d), U (batch × d × m), b_D (batch × m) and
    b_U (batch × d), x is (batch, length, d).
    """
    if down.dim() == 2:
        return F.linear(NONLINEARITIES[nonlinearity](F.linear(x, down, down_bias)), up, up_bias)
    inner = NONLINEARITIES[nonlinearity](torch.baddbmm(down_bias[:, None], x, down.mT))
    return torch.baddbmm(up_bias[:, None], inner, up.mT)


class Bottleneck(nn.Module):
    """U σ(D h + b_D) + b_U, from (…, d) to (…, d), with U zero at the start."""

    def __init__(self, size: int, width: int, nonlinearity: Nonlinearity, like: Tensor) -> None:
        super().__init__()
        self.down = nn.Parameter(nn.init.trunc_normal_(like.new_empty(width, size), std=0.01, a=-0.02, b=0.02))
        self.down_bias = nn.Parameter(like.new_zeros(width))
        self.up = nn.Parameter(like.new_zeros(size, width))
        self.up_bias = nn.Parameter(like.new_zeros(size))
        self.nonlinearity: Nonlinearity = nonlinearity

    def forward(self, h: Tensor) -> Tensor:
        return bottleneck(h, self.down, self.down_bias, self.up, self.up_bias, self.nonlinearity)


class Residual(nn.Module):
    """h + change(h)."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, h: Tensor) -> Tensor:
        return h + self.change(h)

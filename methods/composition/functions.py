"""Composition by functions, f_θ ∘ f_φ: new modules see what a part of the backbone computes, and change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from methods.anatomy import Layer, Site

Nonlinearity = Literal["gelu", "relu", "silu", "tanh"]
NONLINEARITIES: dict[Nonlinearity, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
    "tanh": F.tanh,
}


class SequentialAdapterLayer(nn.Module):
    """adapter(base(x)): a projection, and the module that works on its output."""

    def __init__(self, base: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.adapter = adapter

    @property
    def weight(self) -> Tensor:
        """Some architectures look at a projection's weight for its dtype."""
        return self.base.weight  # type: ignore[return-value]

    @override
    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.base(x)  # (…, in) to (…, d)
        h = self.adapter(h)  # (…, d)
        return h


def insert_sequential_adapter(site: Site, adapter: nn.Module) -> None:
    """The adapter maps the projection's output (…, d) to what takes its place (…, d)."""
    site.replace(SequentialAdapterLayer(site.module, adapter))


class InputCapture(nn.Module):
    """base(x): a projection that keeps x for a parallel adapter, which takes it away."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.input: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """Some architectures look at a projection's weight for its dtype."""
        return self.base.weight  # type: ignore[return-value]

    @override
    def forward(self, x: Tensor) -> Tensor:
        self.input = x  # (…, d)
        h: Tensor = self.base(x)  # (…, inner)
        return h

    def take(self) -> Tensor:
        """The last input (…, d), which is then let go."""
        x, self.input = self.input, None
        assert x is not None
        return x


class ParallelAdapterLayer(nn.Module):
    """base(h) + adapter(x), where x went into an earlier projection of the same block."""

    def __init__(self, base: nn.Module, adapter: nn.Module, capture: InputCapture) -> None:
        super().__init__()
        self.base = base
        self.adapter = adapter
        # In a tuple, so that it stays registered in its own place alone.
        self._capture = (capture,)

    @property
    def weight(self) -> Tensor:
        """Some architectures look at a projection's weight for its dtype."""
        return self.base.weight  # type: ignore[return-value]

    @override
    def forward(self, h: Tensor) -> Tensor:
        (capture,) = self._capture
        y: Tensor = self.base(h)  # (…, inner) to (…, d)
        change: Tensor = self.adapter(capture.take())  # (…, d)
        return y + change


def insert_parallel_adapter(layer: Layer, adapter: nn.Module) -> None:
    """The adapter maps what the feed-forward block reads (…, d) to what is added to its output (…, d)."""
    capture = InputCapture(layer.ffn_in.module)
    layer.ffn_in.replace(capture)
    layer.ffn_out.replace(ParallelAdapterLayer(layer.ffn_out.module, adapter, capture))


def bottleneck(
    x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor, nonlinearity: Nonlinearity
) -> Tensor:
    """U σ(D x + b_D) + b_U for x (…, d), D (m × d), U (d × m).

    With weights of their own for every example, D (batch × m × d), U (batch × d × m), b_D (batch × m) and
    b_U (batch × d), x is (batch, length, d).
    """
    sigma = NONLINEARITIES[nonlinearity]
    if down.dim() == 2:
        inner = sigma(F.linear(x, down, down_bias))  # (…, m)
        return F.linear(inner, up, up_bias)  # (…, d)
    inner = sigma(torch.baddbmm(down_bias[:, None], x, down.mT))  # (batch, length, m)
    return torch.baddbmm(up_bias[:, None], inner, up.mT)  # (batch, length, d)


class Bottleneck(nn.Module):
    """U σ(D h + b_D) + b_U, from (…, d) to (…, d), with U zero at the start."""

    def __init__(self, size: int, width: int, nonlinearity: Nonlinearity, like: Tensor) -> None:
        super().__init__()
        self.down = nn.Parameter(nn.init.trunc_normal_(like.new_empty(width, size), std=0.01, a=-0.02, b=0.02))
        self.down_bias = nn.Parameter(like.new_zeros(width))
        self.up = nn.Parameter(like.new_zeros(size, width))
        self.up_bias = nn.Parameter(like.new_zeros(size))
        self.nonlinearity: Nonlinearity = nonlinearity

    @override
    def forward(self, h: Tensor) -> Tensor:
        return bottleneck(h, self.down, self.down_bias, self.up, self.up_bias, self.nonlinearity)


class Residual(nn.Module):
    """h + change(h), both (…, d)."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    @override
    def forward(self, h: Tensor) -> Tensor:
        change: Tensor = self.change(h)
        return h + change

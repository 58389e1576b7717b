"""Function composition: f_θ ∘ f_φ. A small module is put behind a projection of the backbone."""

from __future__ import annotations

from torch import Tensor, nn

from methods.anatomy import Site


class Inserted(nn.Module):
    """A frozen projection followed by an inserted module: inserted(base(x))."""

    def __init__(self, base: nn.Module, inserted: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.inserted = inserted

    def forward(self, x: Tensor) -> Tensor:
        return self.inserted(self.base(x))


class Bottleneck(nn.Module):
    """h + up(f(down(h))), with `up` zero at first, so that the module begins as the identity.

    down: hidden → bottleneck, up: bottleneck → hidden, both with bias.
    """

    def __init__(self, hidden: int, bottleneck: int, activation: nn.Module) -> None:
        super().__init__()
        self.down = nn.Linear(hidden, bottleneck)
        self.activation = activation
        self.up = nn.Linear(bottleneck, hidden)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.up(self.activation(self.down(h)))


def insert(site: Site, module: nn.Module) -> None:
    """Puts `module` behind the projection at a site, on its device."""
    device = next(site.module.parameters()).device
    site.replace(Inserted(site.module, module.to(device)))

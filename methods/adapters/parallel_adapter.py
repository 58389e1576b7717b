"""Parallel adapters: a scaled bottleneck beside every feed-forward block.

    h = FFN(x) + s · (U σ(D x + b_D) + b_U),   D (m × d), U (d × m)

x is what the feed-forward block reads; in architectures that normalise first, after normalisation. U starts at zero.

He, Zhou, Ma, Berg-Kirkpatrick, Neubig. Towards a Unified View of Parameter-Efficient Transfer Learning. ICLR 2022.
The paper's widths are 512 and 1024 for BART-large; the default here is that of the other adapters, so that their
sizes compare. D is drawn as theirs too, where the paper draws it as LoRA does.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, Range, TaskInfo
from methods.composition.functions import Bottleneck, Nonlinearity, insert_parallel_adapter


class Scaled(nn.Module):
    """scale · change(x)."""

    def __init__(self, change: nn.Module, scale: float) -> None:
        super().__init__()
        self.change = change
        self.scale = scale

    @override
    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.change(x)
        return self.scale * change


class ParallelAdapter(Method):
    """He et al., ICLR 2022: an adapter beside every feed-forward block."""

    bottleneck: int = Field(64, ge=1, le=65536, description="width m of the adapters")
    scale: float = Field(4.0, gt=0, le=100, description="factor s of the adapters' output")
    nonlinearity: Nonlinearity = Field("relu", description="σ between the two projections")

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        insert_parallel_adapters(anatomy, self.bottleneck, self.scale, self.nonlinearity)

    card = Card(
        name="parallel_adapter",
        title="Parallel adapters",
        family="adapter",
        composition="function",
        formula=r"h = \mathrm{FFN}(x) + s \left(U \, \sigma(D x + b_D) + b_U\right)",
        summary=(
            "A small network reads what the feed-forward block of a layer reads and adds its scaled output to the"
            " block's. Only these networks are trained and stored for each task. They do not have to wait for the"
            " block's result, but they cannot be folded into the backbone and add two small matrix products per"
            " layer to every pass."
        ),
        citation="he2022unified",
        search=(Range("lr", 1e-4, 1e-2, "two decades around the default"),),
        claims=(
            Claim(
                text="Beside the feed-forward block an adapter does better than after it.",
                source="he2022unified",
                measure="score",
                comparator="pfeiffer",
                relation="higher",
                scope="BART-large and mBART on summarisation and translation",
                matched=("bottleneck",),
            ),
        ),
    )


def insert_parallel_adapters(anatomy: Anatomy, width: int, scale: float, nonlinearity: Nonlinearity) -> None:
    """A fresh adapter beside every feed-forward block."""
    like = anatomy.word_embeddings.weight
    for layer in anatomy.layers:
        insert_parallel_adapter(layer, Scaled(Bottleneck(anatomy.hidden_size, width, nonlinearity, like), scale))

"""Pfeiffer adapters: one small bottleneck in every layer.

    h ← h + U σ(D h + b_D) + b_U,   D (m × d), U (d × m)

It follows the output projection of the feed-forward block, before the residual connection is added. Layer
normalisation stays frozen. The authors' configuration also sends the adapter's input and output through the layer's
own normalisation, which architectures that normalise first do not have at that place; it is left out here (in
AdapterHub's words: original_ln_before=False). U starts at zero.

Pfeiffer, Kamath, Rücklé, Cho, Gurevych. AdapterFusion: Non-Destructive Task Composition for Transfer Learning.
EACL 2021. Its single-task adapters are what is here; fusing several is not.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field
from typing_extensions import override

from methods.anatomy import Anatomy, Layer
from methods.base import Card, Claim, Method, Range, TaskInfo
from methods.composition.functions import Bottleneck, Nonlinearity, Residual, insert_sequential_adapter


class Pfeiffer(Method):
    """Pfeiffer et al., EACL 2021: an adapter after every feed-forward block."""

    bottleneck: int = Field(64, ge=1, le=65536, description="width m of the adapters")
    nonlinearity: Nonlinearity = Field("relu", description="σ between the two projections")

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        insert_adapters(anatomy, anatomy.layers, self.bottleneck, self.nonlinearity)

    card = Card(
        name="pfeiffer",
        title="Pfeiffer adapters",
        family="adapter",
        composition="function",
        formula=r"h \leftarrow h + U \, \sigma(D h + b_D) + b_U",
        summary=(
            "After the feed-forward block of every layer a small network squeezes the hidden states through a"
            " bottleneck and adds the result back: half of the adapters that Houlsby et al. insert. Only these"
            " networks are trained and stored for each task. They cannot be folded into the backbone, so they add"
            " two small matrix products per layer to every pass."
        ),
        citation="pfeiffer2021adapterfusion",
        search=(Range("lr", 1e-4, 1e-2, "the paper used 1e-4", "pfeiffer2021adapterfusion"),),
        claims=(
            Claim(
                text="One adapter per layer, after the feed-forward block, does as well as two.",
                source="pfeiffer2021adapterfusion",
                measure="score",
                comparator="houlsby",
                relation="at least",
                margin=0.01,
                scope="BERT-base and RoBERTa-base on sixteen tasks of language understanding",
                matched=("bottleneck",),
            ),
            Claim(
                text="It trains about half as many parameters as two adapters per layer.",
                source="pfeiffer2021adapterfusion",
                measure="adapter_parameters",
                comparator="houlsby",
                relation="equal",
                factor=0.5,
                margin=0.05,
                matched=("bottleneck",),
            ),
        ),
    )


def insert_adapters(anatomy: Anatomy, layers: Iterable[Layer], width: int, nonlinearity: Nonlinearity) -> None:
    """A fresh adapter after the feed-forward block of each of the layers."""
    like = anatomy.word_embeddings.weight
    for layer in layers:
        insert_sequential_adapter(layer.ffn_out, Residual(Bottleneck(anatomy.hidden_size, width, nonlinearity, like)))

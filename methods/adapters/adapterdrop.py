"""AdapterDrop: Pfeiffer adapters in the upper layers alone.

    h_l ← h_l + U_l σ(D_l h_l + b_D) + b_U   for l ≥ n;   h_l as it is for l < n

Without adapters below, no gradient has to reach the lower n layers in training, and tasks that share a backbone share
their computation at inference. This is the paper's *specialised* form, trained for one n; its *robust* form drops
another number of layers in every step, so that n can be chosen afterwards.

Rücklé, Geigle, Glockner, Beck, Pfeiffer, Reimers, Gurevych. AdapterDrop: On the Efficiency of Adapters in
Transformers. EMNLP 2021. The paper drops up to five of twelve layers; the default here leaves room in models of six. In
an encoder-decoder the layers are counted through, the encoder's first.
"""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from methods.adapters.pfeiffer import insert_adapters
from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, Range, TaskInfo
from methods.composition.functions import Nonlinearity


class AdapterDrop(Method):
    """Rücklé et al., EMNLP 2021: adapters in all layers but the lowest `drop`."""

    bottleneck: int = Field(64, ge=1, le=65536, description="width of the adapters")
    nonlinearity: Nonlinearity = Field("relu", description="σ between the two projections")
    drop: int = Field(
        3, ge=1, le=1000, examples=[1], description="number n of layers, from the lowest, without an adapter"
    )

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        if self.drop < anatomy.num_layers or anatomy.num_layers == 1:
            return None
        return f"drop {self.drop} leaves no layer with an adapter; it takes 1 to {anatomy.num_layers - 1}"

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        if anatomy.num_layers == 1:
            return f"the layers of {anatomy.config.model_type} share their weights, or are one: none can be left out"
        return None

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        insert_adapters(anatomy, anatomy.layers[self.drop :], self.bottleneck, self.nonlinearity)

    card = Card(
        name="adapterdrop",
        title="AdapterDrop",
        family="adapter",
        composition="function",
        formula=r"h_l \leftarrow h_l + [l \geq n] \left(U_l \, \sigma(D_l h_l + b_D) + b_U\right)",
        summary=(
            "Adapters are inserted in the upper layers only. Gradients stop at the lowest adapter, so a training step"
            " takes less time and memory the more layers are left out, and inference saves the adapters that are not"
            " there. What the lower layers compute cannot be adapted."
        ),
        citation="ruckle2021adapterdrop",
        search=(Range("lr", 1e-4, 1e-2, "two decades around the default"),),
        claims=(
            Claim(
                text="Dropping adapters from lower layers costs little in quality.",
                source="ruckle2021adapterdrop",
                measure="score",
                comparator="pfeiffer",
                relation="at least",
                margin=0.01,
                scope="RoBERTa-base on GLUE, with adapters dropped from up to five of twelve layers",
                matched=("bottleneck",),
            ),
            Claim(
                text="A training step takes less time than with adapters in every layer.",
                source="ruckle2021adapterdrop",
                measure="step_seconds",
                comparator="pfeiffer",
                relation="lower",
                matched=("bottleneck",),
            ),
            Claim(
                text="Inference takes less time than with adapters in every layer.",
                source="ruckle2021adapterdrop",
                measure="inference_seconds",
                comparator="pfeiffer",
                relation="lower",
                scope="most where several tasks are run on the same input",
                matched=("bottleneck",),
            ),
        ),
    )

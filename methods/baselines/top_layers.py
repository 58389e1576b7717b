"""Top layers: the last k transformer layers are trained, all below them are frozen.

    θ' = (θ₁, …, θ_{L−k}, θ_{L−k+1} + Δ, …, θ_L + Δ);   trained: k layers of L, and the task head

Lee, Tang, Lin. What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning. 2019. In an encoder-decoder the
layers are those of the decoder. Embeddings, a pooler, and a norm that follows the last layer stay frozen.
"""

from __future__ import annotations

from pydantic import Field
from torch import nn
from typing_extensions import override

from methods.anatomy import Anatomy, Layer
from methods.base import Card, Claim, LearningRate, Method, Range, TaskInfo


class TopLayers(Method):
    """Lee et al., 2019: the last `layers` layers are trained."""

    lr: LearningRate = 5e-5
    layers: int = Field(2, ge=1, description="how many of the last transformer layers are trained")

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        there = len(_last_stack(anatomy))
        if self.layers > there:
            return f"layers {self.layers} exceeds the {there} layers of the last stack; it takes 1 to {there}"
        return None

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        for layer in _last_stack(anatomy)[-self.layers :]:
            layer.module.requires_grad_(True)

    @override
    def merge(self, model: nn.Module) -> bool:
        """Nothing to fold: the trained model is the plain architecture already."""
        return True

    card = Card(
        name="top_layers",
        title="Top layers",
        family="baseline",
        composition="none",
        formula=r"\theta'_l = \theta_l + \Delta_l \text{ for } l > L - k, \quad \theta'_l = \theta_l \text{ else}",
        summary=(
            "The last few transformer layers are fine-tuned together with the task head, and everything below them"
            " is frozen. The backward pass ends where the frozen layers begin, so activations of those need not be"
            " kept. A full copy of the trained layers is stored for each task. Inference costs what the backbone"
            " costs."
        ),
        citation="lee2019elsa",
        search=(Range("lr", 5e-5, 5e-3, "two decades from the default, as earlier searches of ours found"),),
        claims=(
            Claim(
                text="Nine tenths of the quality of full fine-tuning when only a fourth of the layers is tuned.",
                source="lee2019elsa",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.0,
                scope="BERT and RoBERTa, base and large, with the last fourth of the layers",
                factor=0.9,
            ),
        ),
    )


def _last_stack(anatomy: Anatomy) -> list[Layer]:
    """The decoder's layers, which alone attend to an encoder; all layers where there is one stack."""
    return [layer for layer in anatomy.layers if bool(layer.cross) == anatomy.encodes_and_decodes]

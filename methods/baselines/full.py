"""Full fine-tuning: every weight is trained.

    θ' = θ + Δθ,   Δθ dense and free

Devlin et al. BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding. NAACL 2019.
The reference against which every other method is held, in quality and in cost.
"""

from __future__ import annotations

from torch import nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, LearningRate, Method, Range, TaskInfo


class Full(Method):
    """Devlin et al., NAACL 2019: every weight is trained."""

    lr: LearningRate = 5e-5

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        for parameter in anatomy.model.parameters():
            parameter.requires_grad_(True)

    @override
    def merge(self, model: nn.Module) -> bool:
        """Nothing to fold: the trained model is the plain architecture already."""
        return True

    card = Card(
        name="full",
        title="Full fine-tuning",
        family="baseline",
        composition="none",
        formula=r"\theta' = \theta + \Delta\theta",
        summary=(
            "Every weight of the backbone is trained together with the task head. Gradients and optimiser state"
            " are needed for all of them, and a full copy of the model has to be stored for each task. Inference"
            " costs what the backbone costs."
        ),
        citation="devlin2019bert",
        search=(Range("lr", 5e-6, 5e-4, "the paper tried 2e-5, 3e-5 and 5e-5", "devlin2019bert"),),
    )

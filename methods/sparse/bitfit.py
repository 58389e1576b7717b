"""BitFit: only the bias terms are trained.

    h = W x + b + Δb,   one Δb for every bias of the backbone, those of layer normalisation included

Ben Zaken, Goldberg, Ravfogel. BitFit. ACL 2022 (short). The change is sparse and its positions are fixed in
advance: for BERT-base 102,912 of 109 million parameters. A bias is a parameter of its own, so nothing is
inserted: the biases are unfrozen where they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Method, Range, TaskInfo


class BitFit(Method):
    """Ben Zaken et al., ACL 2022: bias terms alone are trained."""

    lr: LearningRate = 2e-3

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        if not any(True for _ in _biases(anatomy)):
            return f"the architecture {anatomy.config.model_type} has no bias terms"
        return None

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        for bias in _biases(anatomy):
            bias.requires_grad_(True)

    @override
    def merge(self, model: nn.Module) -> bool:
        """Nothing to fold: the trained model is the plain architecture already."""
        return True

    card = Card(
        name="bitfit",
        title="BitFit",
        family="sparse",
        composition="parameter",
        formula=r"h = W x + (b + \Delta b)",
        summary=(
            "Of the backbone only the bias vectors are trained, those of layer normalisation included: about one"
            " parameter in a thousand of a BERT encoder. Gradients and optimiser state shrink accordingly, the"
            " changed biases are all that is stored for each task, and inference costs what the backbone costs."
            " Architectures without biases, such as Llama, offer nothing to train."
        ),
        citation="benzaken2022bitfit",
        search=(Range("lr", 1e-4, 1e-2, "the paper tried 1e-4 to 1e-3", "benzaken2022bitfit"),),
        claims=(
            Claim(
                text="With small to medium training data, training the biases alone is competitive with full"
                " fine-tuning.",
                source="benzaken2022bitfit",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="BERT and RoBERTa on GLUE",
            ),
            Claim(
                text="With large training data full fine-tuning pulls ahead.",
                source="benzaken2022bitfit",
                measure="score",
                comparator="full",
                relation="lower",
                scope="BERT on GLUE",
                untestable="It takes training sets of several sizes, and no suite here varies them.",
            ),
            Claim(
                text="A critic's claim: no more stable from run to run than full fine-tuning.",
                source="chen2022revisiting",
                measure="score_spread",
                comparator="full",
                relation="at least",
                scope="RoBERTa on tasks of GLUE and SuperGLUE",
            ),
        ),
    )


def _biases(anatomy: Anatomy) -> Iterator[nn.Parameter]:
    return (parameter for name, parameter in anatomy.backbone_parameters() if name.endswith(".bias"))

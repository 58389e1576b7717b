"""Head only: the backbone is a fixed feature extractor.

    θ' = θ;   trained: the task head on the backbone's last hidden state

Devlin et al. (NAACL 2019, section 5.3) compare this feature-based use of BERT with fine-tuning. The floor for
every other method: whoever does not beat it has adapted nothing.
"""

from __future__ import annotations

from torch import nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Method, Range, TaskInfo


class Head(Method):
    """Devlin et al., NAACL 2019, section 5.3: the task head alone is trained."""

    lr: LearningRate = 5e-3

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        return None if anatomy.head else "there is no fresh head to train: the language model's own is pretrained"

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()

    @override
    def merge(self, model: nn.Module) -> bool:
        """Nothing to fold: the trained model is the plain architecture already."""
        return True

    card = Card(
        name="head",
        title="Head only",
        family="baseline",
        composition="none",
        formula=r"\theta' = \theta",
        summary=(
            "The backbone stays frozen, and only the task head on top of it is trained. No gradient flows through"
            " the backbone, so a training step costs little more than a forward pass, and only the head is stored"
            " for each task."
        ),
        citation="devlin2019bert",
        search=(Range("lr", 3e-3, 3e-1, "two decades from below the default, as earlier searches of ours found"),),
        claims=(
            Claim(
                text="Fine-tuning the whole model scores higher than using it as a fixed feature extractor.",
                source="devlin2019bert",
                measure="score",
                comparator="full",
                relation="lower",
                scope="BERT-base on CoNLL-2003; the features were read by a two-layer BiLSTM",
            ),
        ),
    )

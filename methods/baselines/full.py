"""Full fine-tuning: every parameter of the backbone is trained.

θ' = θ + Δ, with Δ as large as θ. What the other methods are held against.
"""

from typing import ClassVar

from methods.base import Card, LearningRate, Method


class Full(Method):
    card: ClassVar[Card] = Card(
        name="full",
        title="Full fine-tuning",
        family="baseline",
        composition="none",
        formula=r"\theta' = \theta + \Delta, \quad \Delta \in \mathbb{R}^{|\theta|}",
        summary=(
            "Trains every parameter of the backbone together with the task head. Gradients and both moments of"
            " AdamW are as large as the backbone itself, and each task needs a copy of the whole model."
        ),
        citation="devlin2019bert",
        bibtex="""@inproceedings{devlin2019bert,
  author = {Devlin, Jacob and Chang, Ming-Wei and Lee, Kenton and Toutanova, Kristina},
  title = {{BERT}: Pre-training of Deep Bidirectional Transformers for Language Understanding},
  booktitle = {Proceedings of NAACL-HLT},
  year = {2019},
  eprint = {1810.04805},
  archiveprefix = {arXiv},
}""",
    )
    lr: LearningRate = 5e-5

    def adapt(self, anatomy, task):
        anatomy.model.requires_grad_(True)

    def merge(self, model):
        """There is nothing to fold: the model is the plain architecture as it stands."""
        return True

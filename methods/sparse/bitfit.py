"""BitFit: only the bias vectors are trained (Ben Zaken, Goldberg, Ravfogel, ACL 2022, arXiv 2106.10199).

    y = W x + (b + Δb)

for every projection and every LayerNorm of the backbone. About 0.08 % of BERT-base.
"""

from typing import ClassVar

from methods.base import Card, Claim, LearningRate, Method


class BitFit(Method):
    card: ClassVar[Card] = Card(
        name="bitfit",
        title="BitFit",
        family="sparse",
        composition="parameter",
        formula=r"y = W x + (b + \Delta b)",
        summary=(
            "Trains the bias vectors of all projections and layer normalisations, and leaves every matrix as it is."
            " The choice of parameters is fixed by their kind, not by the task. Weights are changed in place, so"
            " inference costs what the backbone costs."
        ),
        citation="benzaken2022bitfit",
        bibtex="""@inproceedings{benzaken2022bitfit,
  author = {Ben Zaken, Elad and Goldberg, Yoav and Ravfogel, Shauli},
  title = {{BitFit}: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models},
  booktitle = {Proceedings of the 60th Annual Meeting of the Association for Computational Linguistics (ACL)},
  year = {2022},
  eprint = {2106.10199},
  archiveprefix = {arXiv},
}""",
        claims=(
            Claim(
                text="With small to medium training data, BitFit is competitive with full fine-tuning.",
                source="benzaken2022bitfit",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="BERT and RoBERTa on GLUE",
            ),
        ),
    )
    lr: LearningRate = 2e-3

    def unsupported(self, anatomy, task):
        if not any(_is_bias(name) for name, _ in anatomy.backbone.named_parameters()):
            return f"the architecture {anatomy.config.model_type} has no biases"
        return None

    def adapt(self, anatomy, task):
        anatomy.freeze()
        for name, parameter in anatomy.backbone.named_parameters():
            if _is_bias(name):
                parameter.requires_grad_(True)

    def merge(self, model):
        """The biases were trained in place: the model is the plain architecture as it stands."""
        return True


def _is_bias(name: str) -> bool:
    return name.rpartition(".")[2] == "bias"

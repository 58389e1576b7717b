"""LoRA: low-rank adaptation (Hu et al., ICLR 2022, arXiv 2106.09685).

    h = W x + (α / r) B A x,    A: r × in, B: out × r

W is frozen. A begins random, B zero, so that training starts from the backbone itself. Merging adds
(α / r) B A to W. Trainable parameters per adapted matrix: r (in + out).
"""

import math
from typing import ClassVar

import torch
from pydantic import Field, field_validator
from torch import nn

from methods.anatomy import SITES, SiteName
from methods.base import Card, Claim, LearningRate, Method
from methods.composition import parameters


class LoRALinear(parameters.LinearDelta):
    """A projection with a branch of rank r. `a` has shape (r, in), `b` (out, r)."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, dropout: float) -> None:
        super().__init__(base)
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def branch(self, x):
        return nn.functional.linear(nn.functional.linear(self.dropout(x), self.a), self.b) * self.scale

    def delta(self):
        return self.scale * self.b @ self.a


class LoRA(Method):
    card: ClassVar[Card] = Card(
        name="lora",
        title="LoRA",
        family="low-rank",
        composition="parameter",
        formula=r"h = W x + \frac{\alpha}{r} B A x, \quad A \in \mathbb{R}^{r \times k}, B \in \mathbb{R}^{d \times r}",
        summary=(
            "Learns a matrix of low rank beside chosen projections, by default those of query and value. The backbone"
            " is frozen, though activations are still propagated back through it; the product can be added to the"
            " weights afterwards, after which inference costs what the backbone costs."
        ),
        citation="hu2022lora",
        bibtex="""@inproceedings{hu2022lora,
  author = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and Wang, Shean and Wang, Lu and Chen, Weizhu},
  title = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year = {2022},
  eprint = {2106.09685},
  archiveprefix = {arXiv},
}""",  # noqa: E501
        claims=(
            Claim(
                text="LoRA performs on par with or better than full fine-tuning.",
                source="hu2022lora",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="RoBERTa, DeBERTa, GPT-2 and GPT-3",
            ),
            Claim(
                text="LoRA needs less memory in training than full fine-tuning.",
                source="hu2022lora",
                measure="peak_memory_bytes",
                comparator="full",
                relation="lower",
                scope="GPT-3",
            ),
            Claim(
                text="LoRA trains at a higher throughput than full fine-tuning.",
                source="hu2022lora",
                measure="train_tokens_per_second",
                comparator="full",
                relation="higher",
                scope="GPT-3",
            ),
        ),
    )
    lr: LearningRate = 1e-3
    rank: int = Field(8, ge=1, description="rank r of the update")
    alpha: float = Field(16.0, gt=0, description="the update is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the branch")
    targets: tuple[SiteName, ...] = Field(("query", "value"), min_length=1, description=f"out of {', '.join(SITES)}")

    @field_validator("targets")
    @classmethod
    def _each_once(cls, targets: tuple[SiteName, ...]) -> tuple[SiteName, ...]:
        if len(set(targets)) != len(targets):
            raise ValueError("a target is named twice")
        return targets

    def unsupported(self, anatomy, task):
        for site in anatomy.layers[0].sites(self.targets):
            smallest = min(site.module.weight.shape)
            if self.rank > smallest:
                return f"rank {self.rank} is above {smallest}, the smaller dimension of {site.attribute}"
        return None

    def adapt(self, anatomy, task):
        anatomy.freeze()
        for layer in anatomy.layers:
            parameters.wrap(layer.sites(self.targets), LoRALinear, self.rank, self.alpha / self.rank, self.dropout)

    def merge(self, model):
        return parameters.merge(model)

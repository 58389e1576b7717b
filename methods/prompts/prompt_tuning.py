"""Prompt tuning (Lester, Al-Rfou, Constant, EMNLP 2021, arXiv 2104.08691).

    [P; X],    P: length × hidden

Trainable vectors beside the embedded tokens, and nothing else: length × hidden parameters.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.base import Card, Claim, LearningRate, Method
from methods.composition import inputs


class Prompt(nn.Module):
    """The vectors themselves, of shape (length, hidden)."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)

    def forward(self) -> Tensor:
        return self.vectors


class PromptTuning(Method):
    card: ClassVar[Card] = Card(
        name="prompt_tuning",
        title="Prompt tuning",
        family="soft-prompt",
        composition="input",
        formula=r"f_\theta([P; E(x)]), \quad P \in \mathbb{R}^{n \times d}",
        summary=(
            "Learns a few vectors that are read as if they were embedded tokens. It trains the fewest parameters of"
            " all, but every sequence grows by the prompt's length, in training and at inference, and gradients have"
            " to travel through the whole backbone to reach it."
        ),
        citation="lester2021prompt",
        bibtex="""@inproceedings{lester2021prompt,
  author = {Lester, Brian and Al-Rfou, Rami and Constant, Noah},
  title = {The Power of Scale for Parameter-Efficient Prompt Tuning},
  booktitle = {Proceedings of the 2021 Conference on Empirical Methods in Natural Language Processing (EMNLP)},
  year = {2021},
  eprint = {2104.08691},
  archiveprefix = {arXiv},
}""",
        claims=(
            Claim(
                text="Prompt tuning lags behind full fine-tuning on small models, and closes the gap with scale.",
                source="lester2021prompt",
                measure="score",
                comparator="full",
                relation="lower",
                scope="T5 from 60 M to 11 B parameters on SuperGLUE",
            ),
        ),
    )
    lr: LearningRate = 1e-2
    length: int = Field(20, ge=1, le=1000, description="number of vectors")
    init: Literal["vocabulary", "random"] = Field("vocabulary", description="embeddings of random tokens, or noise")

    def adapt(self, anatomy, task):
        anatomy.freeze()
        embeddings = anatomy.embeddings.weight.detach()
        if self.init == "vocabulary":
            vectors = embeddings[torch.randint(len(embeddings), (self.length,), device="cpu")].clone()
        else:
            vectors = torch.randn(self.length, embeddings.shape[1]).to(embeddings) * embeddings.std()
        inputs.add_prompt(anatomy, Prompt(vectors))

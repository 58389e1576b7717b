"""Prompt tuning: learned vectors among the word embeddings.

    input = [P; E(x)],   P (length × embedding size)

Lester, Al-Rfou, Constant. The Power of Scale for Parameter-Efficient Prompt Tuning. EMNLP 2021. The paper puts
P in front of a T5 encoder's input; here encoders get it after their first token, from which the head reads.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Method, TaskInfo
from methods.composition.inputs import Prompt, insert_prompt


class FreePrompt(Prompt):
    """A prompt whose vectors are parameters."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__(len(vectors))
        self.vectors = nn.Parameter(vectors)

    def forward(self) -> Tensor:
        return self.vectors


class PromptTuning(Method):
    card = Card(
        name="prompt_tuning",
        title="Prompt tuning",
        family="soft-prompt",
        composition="input",
        formula=r"y = f_\theta([P; E(x)])",
        summary=(
            "A few vectors of the size of word embeddings are learned and inserted into every input; the backbone"
            " is frozen. Little is trained and stored for each task, and one batch may mix tasks. Gradients have to"
            " flow through the whole backbone all the same, and every input becomes longer, in training and at"
            " inference."
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
                text="On small models prompt tuning lags behind full fine-tuning.",
                source="lester2021prompt",
                measure="score",
                comparator="full",
                relation="lower",
                scope="T5 on SuperGLUE; the gap closes as the backbone approaches ten billion parameters",
            ),
            Claim(
                text="It trains fewer parameters than prefix tuning.",
                source="lester2021prompt",
                measure="adapter_parameters",
                comparator="prefix_tuning",
                relation="lower",
            ),
        ),
    )

    lr: LearningRate = 1e-2
    length: int = Field(20, ge=1, le=1024, description="number of vectors")
    init: Literal["vocabulary", "random"] = Field(
        "vocabulary", description="start from the embeddings of random words, or from uniform noise in [-0.5, 0.5]"
    )

    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        if anatomy.max_positions is not None and self.length >= anatomy.max_positions:
            return f"a prompt of {self.length} leaves no room in the backbone's {anatomy.max_positions} positions"
        return None

    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        words = anatomy.word_embeddings.weight.detach()
        if self.init == "vocabulary":
            vectors = words[torch.randint(len(words), (self.length,)).to(words.device)]
        else:
            vectors = words.new_empty(self.length, words.shape[1]).uniform_(-0.5, 0.5)
        insert_prompt(anatomy, FreePrompt(vectors))

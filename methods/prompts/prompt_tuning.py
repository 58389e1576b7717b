"""Prompt tuning: learned vectors among the word embeddings.

    input = [P; E(x)],   P (length × embedding size)

Lester, Al-Rfou, Constant. The Power of Scale for Parameter-Efficient Prompt Tuning. EMNLP 2021. The paper puts
P in front of a T5 encoder's input; here encoders get it after their first token, from which the head reads. P may
start from the embeddings of given tokens, as the paper's prompts start from those of class labels: they are given
as ids, since a method has no tokenizer.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Method, PeftForm, Range, TaskInfo
from methods.composition.exchange import prompt_form
from methods.composition.inputs import Prompt, insert_prompt, length_out_of_range


class FreePrompt(Prompt):
    """A prompt whose vectors are parameters."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__(len(vectors))
        self.vectors = nn.Parameter(vectors)

    @override
    def forward(self) -> Tensor:
        return self.vectors


class PromptTuning(Method):
    """Lester et al., EMNLP 2021: learned vectors among the word embeddings."""

    identical_at_start: ClassVar[bool] = False
    lr: LearningRate = 1e-2
    length: int = Field(20, ge=1, le=1024, description="number of vectors")
    init: Literal["vocabulary", "random", "text"] = Field(
        "vocabulary",
        description="start from the embeddings of random words, from uniform noise in [-0.5, 0.5], or from the"
        " embeddings of init_token_ids",
    )
    init_token_ids: tuple[Annotated[int, Field(ge=0, strict=True)], ...] = Field(
        (), description="tokens to start from with init text, repeated up to the prompt's length"
    )

    @model_validator(mode="after")
    def _token_ids_come_with_text(self) -> Self:
        if (self.init == "text") != bool(self.init_token_ids):
            raise ValueError("init_token_ids must be given with init text, and with no other init")
        if len(self.init_token_ids) > self.length:
            raise ValueError(
                f"a prompt of length {self.length} has no place for {len(self.init_token_ids)} init_token_ids"
            )
        return self

    @property
    @override
    def extra_positions(self) -> int:
        return self.length

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        words = anatomy.word_embeddings.num_embeddings
        if self.init_token_ids and max(self.init_token_ids) >= words:
            return f"token {max(self.init_token_ids)} is not in the vocabulary; init_token_ids take 0 to {words - 1}"
        return length_out_of_range(self.length, anatomy)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        insert_prompt(anatomy, FreePrompt(self._start(anatomy.word_embeddings.weight.detach())))

    def _start(self, words: Tensor) -> Tensor:
        if self.init == "random":
            return words.new_empty(self.length, words.shape[1]).uniform_(-0.5, 0.5)
        if self.init == "text":
            given = torch.tensor(self.init_token_ids)
            ids = given[torch.arange(self.length) % len(given)]
        else:
            ids = torch.randint(len(words), (self.length,))
        return words[ids.to(words.device)]

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        [prompt] = (module for module in anatomy.model.modules() if isinstance(module, FreePrompt))
        return prompt_form(anatomy, prompt())

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
        search=(Range("lr", 5e-3, 5e-1, "the upper part of the paper's range, 1e-3 to 5e-1", "lester2021prompt"),),
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
            Claim(
                text="The gap to full fine-tuning closes as the backbone grows.",
                source="lester2021prompt",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="T5 of 60 million to 11 billion parameters on SuperGLUE",
                untestable="It takes backbones of one family in several sizes, and no suite here varies the size.",
            ),
        ),
    )

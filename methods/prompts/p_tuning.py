"""P-tuning: a prompt that an encoder produces while training.

    P = MLP(LSTM(E)),   E (length × e), P (length × e)          encoder: lstm
    P = MLP(E)                                                  encoder: mlp
    input = [P; E(x)]

e is the size of word embeddings. The LSTM has two layers and reads in both directions, with `width` units in each;
the MLP after it has one hidden layer of 2 · width, with ReLU. The MLP alone has two hidden layers of `width`. With
the same parameters both give what huggingface/peft's prompt encoder gives. Only P is stored.

Liu, Zheng, Du, Ding, Qian, Yang, Tang. GPT Understands, Too. 2021 (AI Open 2023). The paper spreads the vectors over
a template that holds a verbaliser's mask, and tunes the backbone in some of its experiments. Here they are inserted
in one run, as in prompt tuning; the task head takes the verbaliser's place; and the backbone is frozen.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Method, PeftForm, Range, TaskInfo
from methods.composition.exchange import prompt_form
from methods.composition.inputs import Prompt, insert_prompt, length_out_of_range
from methods.composition.parameter_cache import ParameterCache

EncoderKind = Literal["lstm", "mlp"]


class PromptEncoder(nn.Module):
    """From E (length × size) to P of the same shape."""

    def __init__(self, kind: EncoderKind, length: int, size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(length, size))
        self.lstm: nn.LSTM | None = None
        if kind == "lstm":
            self.lstm = nn.LSTM(size, width, num_layers=2, bidirectional=True)
            self.mlp = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, size))
        else:
            self.mlp = nn.Sequential(
                nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, size)
            )

    @override
    def forward(self) -> Tensor:
        # In full precision: rounding here would be the same for every input, and would not average out.
        with torch.autocast(self.embedding.device.type, enabled=False):
            # (length, size), or of an LSTM (length, 2 · width)
            hidden = self.embedding if self.lstm is None else self.lstm(self.embedding)[0]
            vectors: Tensor = self.mlp(hidden)  # (length, size)
            return vectors


class EncodedPrompt(Prompt):
    """A prompt that comes out of an encoder, until the encoder is dropped."""

    def __init__(self, length: int, encoder: PromptEncoder) -> None:
        super().__init__(length)
        self.encoder: PromptEncoder | None = encoder
        self.vectors: nn.Parameter | None = None
        self._cache = ParameterCache[Tensor]()

    def drop_encoder(self, vectors: Tensor) -> None:
        """From here on the vectors are parameters, and the encoder is gone."""
        self.encoder, self.vectors = None, nn.Parameter(vectors)

    @override
    def forward(self) -> Tensor:
        if self.encoder is None:
            assert self.vectors is not None
            return self.vectors
        return self._cache.get(self.encoder, self.encoder)


class PTuning(Method):
    """Liu et al., 2021: a prompt that an encoder produces while training."""

    identical_at_start: ClassVar[bool] = False
    lr: LearningRate = 1e-3
    length: int = Field(20, ge=1, le=1024, description="number of vectors")
    encoder: EncoderKind = Field("lstm", description="what produces the vectors while training")
    width: int = Field(64, ge=1, le=65536, description="units of the encoder, of each direction for an LSTM")

    @property
    @override
    def extra_positions(self) -> int:
        return self.length

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        return length_out_of_range(self.length, anatomy)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like = anatomy.word_embeddings.weight
        encoder = PromptEncoder(self.encoder, self.length, like.shape[1], self.width).to(like)
        insert_prompt(anatomy, EncodedPrompt(self.length, encoder))

    @override
    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """The resulting vectors, `<where>.vectors`; and the head."""
        ((where, prompt),) = _prompts(model).items()
        inserted = {id(p) for p in prompt.parameters()}
        state = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad and id(p) not in inserted}
        with torch.no_grad():
            state[f"{where}.vectors"] = prompt().detach().clone()
        return state

    @override
    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """The vectors are free ones afterwards."""
        ((where, prompt),) = _prompts(model).items()
        prompt.drop_encoder(state[f"{where}.vectors"].to(next(prompt.parameters()), copy=True))
        super().load_state(model, state)

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        """The vectors, as peft's prompt tuning has them: what produced them has done its work."""
        [prompt] = _prompts(anatomy.model).values()
        return prompt_form(anatomy, prompt())

    card = Card(
        name="p_tuning",
        title="P-tuning",
        family="soft-prompt",
        composition="input",
        formula=r"y = f_\theta([P; E(x)]), \quad P = g_\phi(E)",
        summary=(
            "As in prompt tuning, a few vectors of the size of word embeddings are inserted into every input of a"
            " frozen backbone. They are not trained themselves: a small recurrent network or a multi-layer"
            " perceptron produces all of them, which makes each depend on the others. Training therefore has more"
            " parameters than the prompt. Only the resulting vectors are stored for each task, and inference costs"
            " what it costs with prompt tuning."
        ),
        citation="liu2021ptuning",
        search=(Range("lr", 5e-4, 5e-2, "two decades from half the default, as earlier searches of ours found"),),
        claims=(
            Claim(
                text="A prompt from an encoder scores higher than one that is trained directly.",
                source="liu2021ptuning",
                measure="score",
                comparator="prompt_tuning",
                relation="higher",
                scope="as we read it: few-shot SuperGLUE, where prompts without an encoder vary more between runs",
            ),
            Claim(
                text="It varies less between runs than a prompt that is trained directly.",
                source="liu2021ptuning",
                measure="score_spread",
                comparator="prompt_tuning",
                relation="lower",
                scope="few-shot SuperGLUE",
            ),
        ),
    )


def _prompts(model: nn.Module) -> dict[str, EncodedPrompt]:
    return {name: module for name, module in model.named_modules() if isinstance(module, EncodedPrompt)}

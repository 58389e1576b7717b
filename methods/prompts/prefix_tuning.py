"""Prefix tuning: learned keys and values in the attention of every layer.

    head_l = softmax(q [K_l; k]ᵀ / √d) [V_l; v],   K_l, V_l (heads × length × d)

Li, Liang. Prefix-Tuning: Optimizing Continuous Prompts for Generation. ACL 2021. An encoder-decoder has prefixes in
the encoder's attention, in the decoder's, and in the decoder's to the encoder, as in the authors' code.

With `reparametrise`, as in the paper, (K_l, V_l) = W_l tanh(W E) for an embedding E (length × heads · d) and W
(width × heads · d) shared by all layers while training; each of an encoder-decoder's three kinds of attention has E and
W of its own. Only the resulting prefixes are stored. heads · d is the size of a layer's keys: with grouped queries it
is smaller than that of hidden states, and E as small as in huggingface/peft.
"""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Method, PeftForm, Range, TaskInfo
from methods.composition.exchange import prefix_form
from methods.composition.inputs import Prefix, insert_prefixes


class FreePrefix(Prefix):
    """A prefix whose keys and values are parameters, each (heads, length, d)."""

    def __init__(self, key: Tensor, value: Tensor, dropout: float = 0.0) -> None:
        super().__init__()
        self.key = nn.Parameter(key)
        self.value = nn.Parameter(value)
        self.dropout = dropout

    @override
    def forward(self) -> tuple[Tensor, Tensor]:
        return F.dropout(self.key, self.dropout, self.training), F.dropout(self.value, self.dropout, self.training)


class ReparametrisedPrefix(Prefix):
    """A layer's own linear map of what all layers share (length, width)."""

    def __init__(self, shared: nn.Module, width: int, heads: int, head_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.shared = shared
        self.own = nn.Linear(width, 2 * heads * head_dim)
        self.heads = heads
        self.dropout = dropout

    @override
    def forward(self) -> tuple[Tensor, Tensor]:
        hidden = self.own(self.shared())  # (length, 2 · heads · d)
        hidden = F.dropout(hidden, self.dropout, self.training)
        key, value = hidden.view(len(hidden), 2, self.heads, -1).permute(1, 2, 0, 3)  # each (heads, length, d)
        return key, value


class SharedPart(nn.Module):
    """tanh(W E): (length, width)."""

    def __init__(self, length: int, size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(length, size))
        self.project = nn.Linear(size, width)

    @override
    def forward(self) -> Tensor:
        hidden: Tensor = self.project(self.embedding)  # (length, size) to (length, width)
        return hidden.tanh()


class PrefixTuning(Method):
    """Li and Liang, ACL 2021: learned keys and values in every attention."""

    identical_at_start: ClassVar[bool] = False
    revision: ClassVar[int] = 2

    lr: LearningRate = 1e-2
    length: int = Field(20, ge=1, le=1024, description="keys and values per attention")
    reparametrise: bool = Field(False, description="whether a network produces the prefixes while training")
    width: int = Field(512, ge=1, le=65536, description="hidden width of that network")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the prefixes")

    @model_validator(mode="after")
    def _width_is_the_networks(self) -> Self:
        if not self.reparametrise:
            self.refuse_idle("width", unless="reparametrise is true")
        return self

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        if not anatomy.uses_attention_interface:
            return f"the attention of {anatomy.config.model_type} cannot be exchanged (no AttentionInterface)"
        return None

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        heads, head_dim = anatomy.num_kv_heads, anatomy.head_dim
        like = anatomy.word_embeddings.weight

        def prefix(shared: SharedPart | None) -> Prefix:
            if shared is not None:
                return ReparametrisedPrefix(shared, self.width, heads, head_dim, self.dropout).to(like)
            key, value = 0.02 * torch.randn(2, heads, self.length, head_dim).to(like)
            return FreePrefix(key, value, self.dropout)

        prefixes: dict[nn.Module, Prefix] = {}
        for attentions in anatomy.attentions():
            shared = SharedPart(self.length, heads * head_dim, self.width).to(like) if self.reparametrise else None
            prefixes |= {attention: prefix(shared) for attention in attentions}
        insert_prefixes(anatomy, prefixes)

    @override
    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """The resulting prefixes, `<where>.key` and `<where>.value`, however they were made; and the head."""
        prefixes = _prefixes(model)
        inserted = {id(p) for prefix in prefixes.values() for p in prefix.parameters()}
        state = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad and id(p) not in inserted}
        with torch.no_grad():
            for name, prefix in prefixes.items():
                training = prefix.training
                prefix.eval()
                state[f"{name}.key"], state[f"{name}.value"] = (part.detach().clone() for part in prefix())
                prefix.train(training)
        return state

    @override
    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Prefixes that were produced by a network are free ones afterwards."""
        for name in _prefixes(model):
            parent, _, attribute = name.rpartition(".")
            like = next(model.get_submodule(name).parameters())
            key, value = (state[f"{name}.{part}"].to(like, copy=True) for part in ("key", "value"))
            free = FreePrefix(key, value, self.dropout).train(model.training)
            setattr(model.get_submodule(parent), attribute, free)
        super().load_state(model, state)

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        return prefix_form(anatomy, [prefix() for prefix in _prefixes(anatomy.model).values()])

    card = Card(
        name="prefix_tuning",
        title="Prefix tuning",
        family="soft-prompt",
        composition="input",
        formula=r"\mathrm{softmax}\left(q [K_l; k]^\top / \sqrt{d}\right) [V_l; v]",
        summary=(
            "In every layer a few learned keys and values are put in front of those that attention computes from"
            " the input, and in an encoder-decoder also where the decoder attends to the encoder; the backbone is"
            " frozen. Only they are trained and stored for each task. The prefixes"
            " lengthen what attention looks at, though not the input itself, in training and at inference."
            " Optionally they are produced by a small network while training, which is then discarded."
        ),
        citation="li2021prefix",
        search=(Range("lr", 5e-3, 5e-1, "two decades from half the default, as earlier searches of ours found"),),
        claims=(
            Claim(
                text="Comparable to full fine-tuning when there is ample training data.",
                source="li2021prefix",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="GPT-2 and BART, generation from tables and summarisation, with 0.1 % of the parameters",
            ),
            Claim(
                text="Better than full fine-tuning when training data are few.",
                source="li2021prefix",
                measure="score",
                comparator="full",
                relation="higher",
                scope="GPT-2 and BART, 50 to 500 training examples",
                max_train_examples=500,
            ),
            Claim(
                text="Prefixes produced by a network in training score higher than ones trained directly.",
                source="li2021prefix",
                measure="score",
                comparator="prefix_tuning",
                relation="higher",
                scope="GPT-2 on generation from tables",
                varies="reparametrise",
            ),
        ),
    )


def _prefixes(model: nn.Module) -> dict[str, Prefix]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Prefix)}

"""Where a Hugging Face transformer keeps its parts: described once, used by every method.

Methods ask for sites by what they are for (`query`, `ffn_out`); the table `LAYOUTS` says where each
architecture has them. To teach the benchmark a new architecture, add an entry.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, cast, get_args

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

SiteName = Literal["query", "key", "value", "attention_output", "ffn_in", "ffn_out"]
SITES: tuple[SiteName, ...] = get_args(SiteName)


class UnsupportedBackbone(ValueError):
    """The architecture is not described; the message says in one line how to describe it."""


@dataclass(frozen=True)
class Layout:
    """Paths of the parts, seen from the backbone (`layers`) or from one of its layers (the sites).

    `first_token` says whether the head reads the first token of a sequence, so that nothing may be put
    before it; `ffn_gate` is there in gated feed-forward layers.
    """

    layers: str
    query: str
    key: str
    value: str
    attention_output: str
    ffn_in: str
    ffn_out: str
    first_token: bool


_BERT = Layout(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    first_token=True,
)
_LLAMA = Layout(
    layers="layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.o_proj",
    ffn_in="mlp.up_proj",
    ffn_out="mlp.down_proj",
    first_token=False,
)
LAYOUTS: dict[str, Layout] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": Layout(
        layers="transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        ffn_in="ffn.lin1",
        ffn_out="ffn.lin2",
        first_token=True,
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "opt": Layout(
        layers="decoder.layers",
        query="self_attn.q_proj",
        key="self_attn.k_proj",
        value="self_attn.v_proj",
        attention_output="self_attn.out_proj",
        ffn_in="fc1",
        ffn_out="fc2",
        first_token=False,
    ),
}


@dataclass(frozen=True)
class Site:
    """A linear projection, and the place it is attached to."""

    parent: nn.Module
    attribute: str

    @property
    def module(self) -> nn.Module:
        return getattr(self.parent, self.attribute)

    def replace(self, module: nn.Module) -> None:
        setattr(self.parent, self.attribute, module)


@dataclass(frozen=True)
class Layer:
    """One transformer layer, with its sites by name."""

    index: int
    module: nn.Module
    layout: Layout

    def site(self, name: SiteName) -> Site:
        path, _, attribute = getattr(self.layout, name).rpartition(".")
        return Site(self.module.get_submodule(path), attribute)

    def sites(self, names: Collection[SiteName]) -> Iterator[Site]:
        return (self.site(name) for name in names)


class Anatomy:
    """A model with a task head, described.

    `head` names the parameters of the head, which every method trains. Raises UnsupportedBackbone.
    """

    def __init__(self, model: PreTrainedModel, head: Collection[str]) -> None:
        kind = model.config.model_type
        if kind not in LAYOUTS:
            raise UnsupportedBackbone(
                f"the architecture {kind!r} is not described; known: {', '.join(LAYOUTS)}; "
                "to describe it, add an entry to LAYOUTS in methods/anatomy.py"
            )
        self.model = model
        self.head = frozenset(head)
        self.layout = LAYOUTS[kind]

    @property
    def config(self):
        return self.model.config

    @property
    def backbone(self) -> nn.Module:
        """The model without its head."""
        return self.model.base_model

    @cached_property
    def layers(self) -> list[Layer]:
        modules = cast("nn.ModuleList", self.backbone.get_submodule(self.layout.layers))
        return [Layer(index, module, self.layout) for index, module in enumerate(modules)]

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    @property
    def embeddings(self) -> nn.Embedding:
        """The word embeddings, vocabulary × hidden size."""
        return self.model.get_input_embeddings()  # type: ignore[return-value]

    @property
    def key_value_heads(self) -> int:
        return getattr(self.config, "num_key_value_heads", None) or self.config.num_attention_heads

    @property
    def head_size(self) -> int:
        return getattr(self.config, "head_dim", None) or self.hidden_size // self.config.num_attention_heads

    def freeze(self) -> None:
        """Leaves only the head trainable."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self.head)

"""Where a Hugging Face transformer keeps its parts, described once so that no method has to know.

To teach it another architecture, add one entry to `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

SiteName = Literal["query", "key", "value", "attention_output", "ffn_in", "ffn_out"]


class UnsupportedBackbone(ValueError):
    """The architecture is not described; the message says in one line how to describe it."""


@dataclass(frozen=True)
class Layout:
    """One architecture, as dotted paths: `layers` and `positions` start at the backbone, the rest at a layer.

    `attention` is the module that calls the attention function. `positions` is the table of learned
    positions, empty where positions are rotary, of which the first `reserved_positions` rows stand for none.
    """

    layers: str
    attention: str
    query: str
    key: str
    value: str
    attention_output: str
    ffn_in: str
    ffn_out: str
    causal: bool = False
    positions: str = ""
    reserved_positions: int = 0


def _bert(reserved_positions: int = 0) -> Layout:
    return Layout(
        layers="encoder.layer",
        attention="attention.self",
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        attention_output="attention.output.dense",
        ffn_in="intermediate.dense",
        ffn_out="output.dense",
        positions="embeddings.position_embeddings",
        reserved_positions=reserved_positions,
    )


_DISTILBERT = Layout(
    layers="transformer.layer",
    attention="attention",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_output="attention.out_lin",
    ffn_in="ffn.lin1",
    ffn_out="ffn.lin2",
    positions="embeddings.position_embeddings",
)

_LLAMA = Layout(
    layers="layers",
    attention="self_attn",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.o_proj",
    ffn_in="mlp.up_proj",
    ffn_out="mlp.down_proj",
    causal=True,
)

_OPT = Layout(
    layers="decoder.layers",
    attention="self_attn",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attention_output="self_attn.out_proj",
    ffn_in="fc1",
    ffn_out="fc2",
    causal=True,
    positions="decoder.embed_positions",
    reserved_positions=2,
)

# By `config.model_type`. RoBERTa counts positions from its padding index plus one.
LAYOUTS: dict[str, Layout] = {
    "bert": _bert(),
    "roberta": _bert(reserved_positions=2),
    "xlm-roberta": _bert(reserved_positions=2),
    "electra": _bert(),
    "distilbert": _DISTILBERT,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "opt": _OPT,
}


@dataclass(frozen=True)
class Site:
    """A place where a method may act: the submodule `attribute` of `parent`."""

    name: str
    parent: nn.Module
    attribute: str

    @property
    def module(self) -> nn.Module:
        """What is there now: after `replace`, the replacement."""
        return getattr(self.parent, self.attribute)

    def replace(self, new: nn.Module) -> None:
        setattr(self.parent, self.attribute, new)


@dataclass(frozen=True)
class Layer:
    """One transformer layer, with its projections as sites."""

    index: int
    module: nn.Module
    attention: nn.Module
    query: Site
    key: Site
    value: Site
    attention_output: Site
    ffn_in: Site
    ffn_out: Site

    def site(self, name: SiteName) -> Site:
        return getattr(self, name)


class Anatomy:
    """A model of transformers, its parts, and which of its parameters are the fresh task head.

    Raises UnsupportedBackbone where the architecture is not described in `LAYOUTS`.
    """

    def __init__(self, model: PreTrainedModel, head: Collection[str]) -> None:
        self.model = model
        self.head = frozenset(head)
        self.backbone = cast("PreTrainedModel", model.base_model)
        self.config: PreTrainedConfig = model.config
        if strange := self.head - {name for name, _ in model.named_parameters()}:
            raise ValueError(f"the head names a parameter that the model lacks: {min(strange)}")
        kind = self.config.model_type
        if kind not in LAYOUTS:
            raise UnsupportedBackbone(
                f"unknown architecture {kind!r}; known are {', '.join(sorted(LAYOUTS))}; to describe it, add its"
                " module paths to LAYOUTS in methods/anatomy.py"
            )
        self.layout = LAYOUTS[kind]
        try:
            layers = self.backbone.get_submodule(self.layout.layers)
            self.layers = tuple(self._layer(index, layer) for index, layer in enumerate(layers.children()))
        except AttributeError as error:
            raise UnsupportedBackbone(
                f"{kind} is not laid out as LAYOUTS in methods/anatomy.py has it: {error}"
            ) from error
        # What inserted modules bring is not the backbone's: all of this is read before anything is inserted.
        self.backbone_names = tuple(name for name, _ in model.named_parameters() if name not in self.head)
        self.norm_names = tuple(self._norm_names())
        self.num_backbone_parameters = sum(p.numel() for _, p in self.backbone_parameters())
        self._remembered: dict[str, Tensor] = {}

    def _layer(self, index: int, layer: nn.Module) -> Layer:
        def site(name: str) -> Site:
            parent, _, attribute = getattr(self.layout, name).rpartition(".")
            found = Site(name, layer.get_submodule(parent), attribute)
            _ = found.module  # raises AttributeError where there is no such module
            return found

        return Layer(
            index=index,
            module=layer,
            attention=layer.get_submodule(self.layout.attention),
            query=site("query"),
            key=site("key"),
            value=site("value"),
            attention_output=site("attention_output"),
            ffn_in=site("ffn_in"),
            ffn_out=site("ffn_out"),
        )

    def _norm_names(self) -> Iterator[str]:
        for name, module in self.model.named_modules():
            if type(module).__name__.endswith("Norm"):
                for attribute, _ in module.named_parameters(prefix=name, recurse=False):
                    if attribute not in self.head:
                        yield attribute

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def num_heads(self) -> int:
        return self.config.num_attention_heads

    @property
    def num_kv_heads(self) -> int:
        """Fewer than the heads in grouped-query attention."""
        return getattr(self.config, "num_key_value_heads", None) or self.num_heads

    @property
    def head_dim(self) -> int:
        return getattr(self.config, "head_dim", None) or self.hidden_size // self.num_heads

    @property
    def causal(self) -> bool:
        return self.layout.causal

    @property
    def word_embeddings(self) -> nn.Embedding:
        embeddings = self.backbone.get_input_embeddings()
        assert isinstance(embeddings, nn.Embedding)
        return embeddings

    @property
    def max_positions(self) -> int | None:
        """How long an input may be where positions are learned; None where they are rotary."""
        if not self.layout.positions:
            return None
        table = self.backbone.get_submodule(self.layout.positions)
        assert isinstance(table, nn.Embedding)
        return table.num_embeddings - self.layout.reserved_positions

    @property
    def uses_attention_interface(self) -> bool:
        """Whether the attention function of the architecture can be exchanged."""
        return bool(getattr(self.backbone, "_supports_attention_backend", False))

    def backbone_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The backbone's own parameters: neither the head's nor any that a method inserted."""
        parameters = dict(self.model.named_parameters())
        return ((name, parameters[name]) for name in self.backbone_names if name in parameters)

    def freeze(self) -> None:
        """From here on the task head alone is trained."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self.head)

    def remember(self) -> None:
        """Keeps a copy of every trainable parameter's present value, to compare with and to rewind to."""
        self._remembered = {name: p.detach().clone() for name, p in self.model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def movement(self) -> dict[str, Tensor]:
        """How far each entry of each remembered parameter has moved since."""
        parameters = dict(self.model.named_parameters())
        return {name: (parameters[name] - value).abs() for name, value in self._remembered.items()}

    @torch.no_grad()
    def rewind(self) -> None:
        """Puts the remembered values back, and forgets them."""
        parameters = dict(self.model.named_parameters())
        for name, value in self._remembered.items():
            parameters[name].copy_(value)
        self._remembered = {}

"""Where a Hugging Face transformer keeps its parts, described once so that no method has to know.

To teach it another architecture, add one entry to `LAYOUTS` in methods/layouts.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from methods.layouts import LAYOUTS, Stack

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

SiteName = Literal["query", "key", "value", "attention_output", "ffn_in", "ffn_gate", "ffn_out"]
SITE_NAMES: tuple[str, ...] = get_args(SiteName)
OPTIONAL_SITES = ("ffn_gate",)


class UnsupportedBackbone(ValueError):
    """The architecture is not described; the message says in one line how to describe it."""


@dataclass(frozen=True)
class Site:
    """A projection where a method may act: the submodule `attribute` of `parent`, or, where several
    projections are fused into one module, the `part`-th of its `parts` equal shares of outputs."""

    name: str
    parent: nn.Module
    attribute: str
    part: int = 0
    parts: int = 1

    @property
    def module(self) -> nn.Module:
        """What is there now: after `replace`, the replacement."""
        return self.parent.get_submodule(self.attribute)

    def replace(self, new: nn.Module) -> None:
        """Puts `new` in the module's place."""
        setattr(self.parent, self.attribute, new)

    @property
    def projection(self) -> nn.Linear | Conv1D:
        """The pretrained projection, beneath whatever has been put around it."""
        module = self.module
        while not isinstance(module, (nn.Linear, Conv1D)):
            module = cast("nn.Module", module.base)
        return module

    @property
    def weight(self) -> Tensor:
        """The part's weight as a view (out, in): writing to it changes the model."""
        return weight_of(self.projection, self.part, self.parts)

    @property
    def bias(self) -> Tensor | None:
        """The part's bias as a view (out), where there is one."""
        return bias_of(self.projection, self.part, self.parts)

    @property
    def in_features(self) -> int:
        """The size of what the projection reads."""
        projection = self.projection
        return projection.nx if isinstance(projection, Conv1D) else projection.in_features

    @property
    def out_features(self) -> int:
        """The size of what the part gives."""
        projection = self.projection
        return (projection.nf if isinstance(projection, Conv1D) else projection.out_features) // self.parts


def weight_of(projection: nn.Linear | Conv1D, part: int = 0, parts: int = 1) -> Tensor:
    """A part's weight (out, in), as a view; a Conv1D keeps it transposed."""
    weight = projection.weight.data
    return (weight.T if isinstance(projection, Conv1D) else weight).chunk(parts)[part]


def bias_of(projection: nn.Linear | Conv1D, part: int = 0, parts: int = 1) -> Tensor | None:
    """A part's bias (out), as a view; None where there is none."""
    return None if projection.bias is None else projection.bias.data.chunk(parts)[part]


@dataclass(frozen=True)
class Layer:
    """One transformer layer, with its projections as sites. `cross_attention` and `cross` are the attention to an
    encoder and its sites, in the decoder of an encoder-decoder. `attention_residual` adds attention's result to what
    attention was given, where a module does. Layers that share weights are one layer here."""

    index: int
    causal: bool
    module: nn.Module
    attention: nn.Module
    attention_residual: nn.Module | None
    cross_attention: nn.Module | None
    own: dict[str, Site]
    cross: dict[str, Site]

    def site(self, name: SiteName) -> Site:
        """The self-attention's or the feed-forward block's. Raises KeyError where the optional is missing."""
        return self.own[name]

    def sites(self, name: SiteName) -> list[Site]:
        """All of that name, those of the attention to an encoder included; none where the optional is missing."""
        return [sites[name] for sites in (self.own, self.cross) if name in sites]

    @property
    def attention_output(self) -> Site:
        """The output projection of self-attention."""
        return self.own["attention_output"]

    @property
    def ffn_in(self) -> Site:
        """The feed-forward block's projection from the hidden to the inner size."""
        return self.own["ffn_in"]

    @property
    def ffn_out(self) -> Site:
        """The feed-forward block's projection from the inner to the hidden size."""
        return self.own["ffn_out"]


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
                " module paths to LAYOUTS in methods/layouts.py"
            )
        self.layout = LAYOUTS[kind]
        try:
            found = [(stack, module) for stack in self.layout.stacks for module in _expand(self.backbone, stack.layers)]
            self.layers = tuple(_layer(index, stack, module) for index, (stack, module) in enumerate(found))
        except AttributeError as error:
            raise UnsupportedBackbone(
                f"{kind} is not laid out as LAYOUTS in methods/layouts.py has it: {error}"
            ) from error
        # What inserted modules bring is not the backbone's: all of this is read before anything is inserted.
        self.backbone_names = tuple(name for name, _ in model.named_parameters() if name not in self.head)
        self.norm_names = tuple(self._norm_names())
        self.num_backbone_parameters = sum(p.numel() for _, p in self.backbone_parameters())
        self._remembered: dict[str, Tensor] = {}

    def _norm_names(self) -> Iterator[str]:
        for name, module in self.model.named_modules():
            if type(module).__name__.endswith("Norm"):
                for attribute, _ in module.named_parameters(prefix=name, recurse=False):
                    if attribute not in self.head:
                        yield attribute

    def sites(self, names: Collection[SiteName]) -> list[Site]:
        """Every site of those names, in every layer."""
        return [site for layer in self.layers for name in names for site in layer.sites(name)]

    def attentions(self) -> list[list[nn.Module]]:
        """The modules that call the attention function, in the order of layers, a list for each kind: an encoder's to
        itself, a decoder's to itself, a decoder's to its encoder."""
        encoder = [layer.attention for layer in self.layers if not layer.causal]
        decoder = [layer.attention for layer in self.layers if layer.causal]
        cross = [layer.cross_attention for layer in self.layers if layer.cross_attention is not None]
        return [kind for kind in (encoder, decoder, cross) if kind]

    def smallest_dimension(self, names: Collection[SiteName]) -> tuple[int, str] | None:
        """The smallest dimension of the sites of those names, which bounds a rank, and the name it belongs to;
        None where there is no such site."""
        return min(((min(site.in_features, site.out_features), site.name) for site in self.sites(names)), default=None)

    @property
    def hidden_size(self) -> int:
        """Of the states between layers."""
        return int(self.config.hidden_size)

    @property
    def num_layers(self) -> int:
        """Layers that share weights count as one; those of an encoder and a decoder are added."""
        return len(self.layers)

    @property
    def num_heads(self) -> int:
        """Of queries, in each layer."""
        return int(self.config.num_attention_heads)

    @property
    def num_kv_heads(self) -> int:
        """Fewer than the heads in grouped-query attention."""
        return getattr(self.config, "num_key_value_heads", None) or self.num_heads

    @property
    def head_dim(self) -> int:
        """The size of a head's keys."""
        for name in ("head_dim", "d_kv"):  # of Llama and its kin, and of T5
            if value := getattr(self.config, name, None):
                return int(value)
        return self.hidden_size // self.num_heads

    @property
    def causal(self) -> bool:
        """Whether inputs are read from left to right only: a decoder without an encoder."""
        return self.layers[0].causal

    @property
    def encodes_and_decodes(self) -> bool:
        """Whether this is an encoder with a decoder."""
        return any(layer.cross for layer in self.layers)

    @property
    def word_embeddings(self) -> nn.Embedding:
        """The table (vocabulary × embedding size) of the input's tokens."""
        embeddings = self.backbone.get_input_embeddings()
        assert isinstance(embeddings, nn.Embedding)
        return embeddings

    @property
    def reader(self) -> nn.Module:
        """What gets the inputs under every head: the backbone, or the part of it that a language model calls."""
        return self.backbone.get_submodule(self.layout.reader)

    @property
    def max_positions(self) -> int | None:
        """How long an input may be where positions are learned; None where they are rotary or relative."""
        if not self.layout.positions:
            return None
        table = self.backbone.get_submodule(self.layout.positions)
        assert isinstance(table, nn.Embedding)
        return table.num_embeddings - self.layout.reserved_positions

    @property
    def uses_attention_interface(self) -> bool:
        """Whether the attention function of the architecture can be exchanged."""
        return self.layout.exchangeable_attention

    def backbone_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The backbone's own parameters: neither the head's nor any that a method inserted."""
        parameters = dict(self.model.named_parameters())
        return ((name, parameters[name]) for name in self.backbone_names if name in parameters)

    def freeze(self) -> None:
        """From here on the task head alone is trained."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in self.head)

    def unfreeze_norms(self) -> None:
        """The gains and biases of the backbone's normalisation layers are trained as well."""
        norms = set(self.norm_names)
        for name, parameter in self.backbone_parameters():
            if name in norms:
                parameter.requires_grad_(True)

    def remember(self) -> None:
        """Keeps a copy of every trainable parameter's present value, to compare with and to rewind to."""
        self._remembered = {name: p.detach().clone() for name, p in self.model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def movement(self) -> dict[str, Tensor]:
        """How far each entry of each remembered parameter has moved since."""
        parameters = dict(self.model.named_parameters())
        return {name: (parameters[name] - value).abs() for name, value in self._remembered.items()}

    @torch.no_grad()
    def rewind(self, names: Collection[str] | None = None) -> None:
        """Puts the remembered values back, those of `names` alone if given, and forgets all of them."""
        parameters = dict(self.model.named_parameters())
        for name, value in self._remembered.items():
            if names is None or name in names:
                parameters[name].copy_(value)
        self._remembered = {}


def _expand(root: nn.Module, path: str) -> list[nn.Module]:
    """The submodules at a dotted path, in which `*` stands for every child."""
    found = [root]
    for step in path.split("."):
        found = [
            child for module in found for child in (module.children() if step == "*" else (module.get_submodule(step),))
        ]
    return found


def _layer(index: int, stack: Stack, module: nn.Module) -> Layer:
    own = {name: _site(name, module, path) for name in SITE_NAMES if (path := getattr(stack, name))}
    cross = {name: _site(f"cross {name}", module, path) for name, path in zip(SITE_NAMES, stack.cross, strict=False)}
    return Layer(
        index=index,
        causal=stack.causal,
        module=module,
        attention=module.get_submodule(stack.attention),
        attention_residual=module.get_submodule(stack.attention_residual) if stack.attention_residual else None,
        cross_attention=module.get_submodule(stack.cross_attention) if stack.cross_attention else None,
        own={name: site for name, site in own.items() if site is not None},
        cross={name: site for name, site in cross.items() if site is not None},
    )


def _site(name: str, layer: nn.Module, description: str) -> Site | None:
    """A site by its description: a path, alternatives divided by `|`, and the part of a fused module as in
    `Wqkv[1/3]`. An optional site that no alternative finds is None. Raises AttributeError on any other."""
    for path in description.split("|"):
        path, _, share = path.partition("[")
        part, parts = map(int, share.rstrip("]").split("/")) if share else (0, 1)
        parent, _, attribute = path.rpartition(".")
        try:
            owner = layer.get_submodule(parent)
            if isinstance(getattr(owner, attribute), nn.Module):
                return Site(name, owner, attribute, part, parts)
        except AttributeError:
            continue
    if name in OPTIONAL_SITES:
        return None
    raise AttributeError(f"no {description!r} in {type(layer).__name__}")

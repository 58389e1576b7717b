"""Hyperdecoder: adapters generated anew for every input.

    s = LN(mean of the input's representations)                        (batch × e)
    I = relu(W [s; z_layer] + b)                                       (batch × c)
    D, b_D, U, b_U = linear maps of I                                  (m × d), (m), (d × m), (d) for each example
    y = FFN(x) + U σ(D x + b_D) + b_U

Ivison, Peters. Hyperdecoders: Instance-specific decoders for multi-task NLP. Findings of EMNLP 2022. In an
encoder-decoder the paper is followed: s is the mean of the encoder's output without padding, and the decoder alone
has adapters, one beside each feed-forward block. The paper's encoder has adapters of the ordinary kind, which are
left out here; so is its optional MLP on s.

Elsewhere there is no encoder whose output could be had before the layers run: s is the mean of the word embeddings
without padding, and every layer has an adapter. A decoder would see what it is to predict that way, so it is not
for language modelling with a decoder alone. s is normalised, without gain, so that word embeddings come in the size
of an encoder's output. The maps to U and b_U start at zero, so that training starts from the backbone; the
authors' start near zero.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, Range, TaskInfo
from methods.composition.functions import Nonlinearity, insert_parallel_adapter
from methods.composition.inputs import by_name
from methods.hypernetworks.generation import AdapterGenerator, GeneratedAdapter, read_tasks


class InputHypernetwork(nn.Module):
    """From the present input and a layer to each example's weights of the adapter there."""

    def __init__(self, layers: int, source: int, size: int, width: int, embedding: int, condition: int) -> None:
        super().__init__()
        self.layer = nn.Parameter(torch.randn(layers, embedding))
        self.project = nn.Linear(source + embedding, condition)
        self.weights = AdapterGenerator(condition, size, width, norm=False)
        # Of the present input; it stays until the next, since gradient checkpointing runs layers again.
        self.summary: Tensor | None = None

    @override
    def forward(self, layer: int) -> tuple[Tensor, ...]:
        assert self.summary is not None
        with torch.autocast(self.layer.device.type, enabled=False):
            where = self.layer[layer].expand(len(self.summary), -1)  # (batch, embedding)
            condition = self.project(torch.cat([self.summary, where], dim=1)).relu()  # (batch, c)
            weights: tuple[Tensor, ...] = self.weights(condition)  # each (batch, …)
            return weights

    def read_embeddings(self, backbone: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A hook: summarises the word embeddings of the input."""
        inputs = by_name(backbone, args, kwargs)
        if (cache := inputs.get("past_key_values")) is not None and cache.get_seq_length():
            return  # a generated token belongs to the input that was summarised
        states = inputs.get("inputs_embeds")
        if states is None:
            states = backbone.get_input_embeddings()(inputs["input_ids"])  # type: ignore[operator]
        self._summarise(states, inputs.get("attention_mask"))

    def read_encoder(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A hook: summarises the encoder's output."""
        inputs = by_name(decoder, args, kwargs)
        self._summarise(inputs["encoder_hidden_states"], inputs.get("encoder_attention_mask"))

    def _summarise(self, states: Tensor, mask: Tensor | None) -> None:
        # Nothing beneath is trained, so that no gradient is wanted.
        states = states.detach().to(self.layer.dtype)  # (batch, length, e)
        if mask is None:
            mean = states.mean(dim=1)
        else:
            shares = mask.to(states.dtype)  # (batch, length)
            mean = (states * shares[..., None]).sum(dim=1) / shares.sum(dim=1, keepdim=True).clamp(min=1)
        self.summary = F.layer_norm(mean, mean.shape[-1:])  # (batch, e)


class GeneratedLayerWeights:
    """Each example's weights of one layer's adapter. No module, so that parameters are registered once."""

    def __init__(self, hypernetwork: InputHypernetwork, layer: int) -> None:
        self.hypernetwork = hypernetwork
        self.layer = layer

    def __call__(self) -> tuple[Tensor, ...]:
        """Each (batch, …), in the order of `AdapterWeights`."""
        weights: tuple[Tensor, ...] = self.hypernetwork(self.layer)
        return weights


class Hyperdecoder(Method):
    """Ivison and Peters, Findings of EMNLP 2022: adapters generated for every input."""

    bottleneck: int = Field(8, ge=1, le=4096, description="width m of the generated adapters")
    embedding: int = Field(10, ge=1, le=4096, description="size of the layer embeddings")
    condition: int = Field(32, ge=1, le=4096, description="size c of what the weights are generated from")
    nonlinearity: Nonlinearity = Field("relu", description="σ between the two projections")

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        # Its input is the prompt and the answer together, whichever task is put to it as text.
        if anatomy.causal and (not anatomy.head or task.kind in ("generation", "language modelling")):
            return (
                f"on {anatomy.config.model_type}, a decoder alone, adapters would be made from what is to be predicted"
            )
        return None

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        read_tasks(anatomy, task)  # which are taken off the inputs, and not needed
        like, both = anatomy.word_embeddings.weight, anatomy.encodes_and_decodes
        layers = [layer for layer in anatomy.layers if layer.cross or not both]
        source = anatomy.hidden_size if both else like.shape[1]
        hypernetwork = InputHypernetwork(
            len(layers), source, anatomy.hidden_size, self.bottleneck, self.embedding, self.condition
        ).to(like)
        anatomy.backbone.add_module("hypernetwork", hypernetwork)
        for index, layer in enumerate(layers):
            insert_parallel_adapter(
                layer, GeneratedAdapter(GeneratedLayerWeights(hypernetwork, index), self.nonlinearity)
            )
        if both:
            decoder = anatomy.backbone.get_decoder()
            decoder.register_forward_pre_hook(hypernetwork.read_encoder, with_kwargs=True)
        else:
            anatomy.reader.register_forward_pre_hook(hypernetwork.read_embeddings, with_kwargs=True)

    card = Card(
        name="hyperdecoder",
        title="Hyperdecoder",
        family="hypernetwork",
        composition="function",
        formula=r"y = \mathrm{FFN}(x) + U \, \sigma(D x), \quad (D, U) = g_\phi(\bar{s}, z_{\mathrm{layer}})",
        summary=(
            "Beside the feed-forward block of every layer runs an adapter whose weights are generated for each"
            " input, from a mean of its representations and an embedding of the layer: the encoder's output where"
            " there is an encoder and a decoder, which alone is then adapted, word embeddings elsewhere. Tasks need"
            " no embeddings, since inputs tell them apart. Generating happens at inference as well, for every"
            " input, so weights cannot be kept or folded into the backbone, and each example occupies memory for"
            " its own."
        ),
        citation="ivison2022hyperdecoders",
        search=(Range("lr", 1e-4, 1e-2, "two decades around the default"),),
        claims=(
            Claim(
                text="Weights generated for each input score higher than weights generated for each task.",
                source="ivison2022hyperdecoders",
                measure="score",
                comparator="hyperformer",
                relation="higher",
                scope="T5 on mixtures of tasks, with generated adapters in the decoder",
                task_kind="mixture",
            ),
        ),
    )

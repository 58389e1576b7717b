"""HyperFormer: one hypernetwork generates the adapters of all layers.

    I = LN(MLP([z_task; z_layer; z_position]))                         (c)
    D, b_D, U, b_U, γ, β = linear maps of I                            (m × d), (m), (d × m), (d), (d), (d)
    h ← h + LN_{γ,β}(U σ(D h + b_D) + b_U)

Trained are the embeddings z, the network and the linear maps; adapters have no parameters of their own. What is
learnt for one layer, position or task is therefore shared with the others.

Karimi Mahabadi, Ruder, Dehghani, Henderson. Parameter-efficient Multi-task Fine-tuning for Transformers via
Shared Hypernetworks. ACL 2021. Of its two forms this is HyperFormer++, with one hypernetwork for all layers and
positions (after attention, after the feed-forward block). The maps to γ and β start at zero, so that training
starts from the backbone; the paper starts near it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, TaskInfo
from methods.composition.functions import Nonlinearity, bottleneck, insert_after
from methods.composition.settled import fingerprint


class Weights(NamedTuple):
    """Those of one adapter."""

    down: Tensor
    down_bias: Tensor
    up: Tensor
    up_bias: Tensor
    scale: Tensor
    shift: Tensor


class Hypernetwork(nn.Module):
    """From (layer, position) to the weights of the adapter there."""

    def __init__(self, layers: int, positions: int, size: int, width: int, embedding: int, condition: int) -> None:
        super().__init__()
        self.task = nn.Parameter(torch.randn(embedding))
        self.layer = nn.Parameter(torch.randn(layers, embedding))
        self.position = nn.Parameter(torch.randn(positions, embedding))
        self.project = nn.Sequential(
            nn.Linear(3 * embedding, embedding), nn.ReLU(), nn.Linear(embedding, condition), nn.LayerNorm(condition)
        )
        self.shapes: dict[str, tuple[int, ...]] = {
            "down": (width, size), "down_bias": (width,), "up": (size, width), "up_bias": (size,),
            "scale": (size,), "shift": (size,),
        }  # fmt: skip
        self.maps = nn.ModuleDict()
        for name, shape in self.shapes.items():
            linear = nn.Linear(condition, math.prod(shape))
            # Generated matrices start with variance 1 / in, as those of an ordinary layer; all else at zero.
            std = (condition * shape[1]) ** -0.5 if len(shape) == 2 else 0.0
            nn.init.normal_(linear.weight, std=std)
            nn.init.zeros_(linear.bias)
            self.maps[name] = linear

    def forward(self, layer: int, position: int) -> Weights:
        # In full precision: rounding here would be the same for all tokens, and would not average out.
        with torch.autocast(self.task.device.type, enabled=False):
            condition = self.project(torch.cat([self.task, self.layer[layer], self.position[position]]))
            return Weights(**{name: self.maps[name](condition).view(shape) for name, shape in self.shapes.items()})


class GeneratedAdapter(nn.Module):
    """h + LN_{γ,β}(U σ(D h + b_D) + b_U) with generated weights, which are kept between evaluation batches."""

    def __init__(self, hypernetwork: Hypernetwork, layer: int, position: int, nonlinearity: Nonlinearity) -> None:
        super().__init__()
        # In a tuple, so that its parameters are registered once, on the backbone, and not with every adapter.
        self._hypernetwork = (hypernetwork,)
        self.layer, self.position = layer, position
        self.nonlinearity: Nonlinearity = nonlinearity
        self._kept: tuple[object, Weights] | None = None

    def weights(self) -> Weights:
        (hypernetwork,) = self._hypernetwork
        now = None if self.training else fingerprint(hypernetwork)
        if now is None:
            self._kept = None
            return hypernetwork(self.layer, self.position)
        if self._kept is None or self._kept[0] != now:
            self._kept = now, hypernetwork(self.layer, self.position)
        return self._kept[1]

    def forward(self, h: Tensor) -> Tensor:
        w = self.weights()
        change = bottleneck(h, w.down, w.down_bias, w.up, w.up_bias, self.nonlinearity)
        return h + F.layer_norm(change, change.shape[-1:], w.scale.to(change.dtype), w.shift.to(change.dtype))


class HyperFormer(Method):
    card = Card(
        name="hyperformer",
        title="HyperFormer",
        family="hypernetwork",
        composition="function",
        formula=r"h \leftarrow h + \mathrm{LN}_{\gamma, \beta}(U \, \sigma(D h)), \quad"
        r" (D, U, \gamma, \beta) = g_\phi(z_{\mathrm{task}}, z_{\mathrm{layer}}, z_{\mathrm{position}})",
        summary=(
            "Every layer has adapters after its attention and its feed-forward block, but their weights are not"
            " trained: a small network shared by all layers generates them from embeddings of the task, the layer"
            " and the position. Trained and stored are that network and the embeddings; with several tasks, each"
            " further one adds a single embedding. Generating takes a little time in every training step; at"
            " inference it is done once, and what remains is the cost of adapters."
        ),
        citation="mahabadi2021hyperformer",
        bibtex="""@inproceedings{mahabadi2021hyperformer,
  author = {Karimi Mahabadi, Rabeeh and Ruder, Sebastian and Dehghani, Mostafa and Henderson, James},
  title = {Parameter-efficient Multi-task Fine-tuning for Transformers via Shared Hypernetworks},
  booktitle = {Proceedings of the 59th Annual Meeting of the Association for Computational Linguistics and the
    11th International Joint Conference on Natural Language Processing (ACL-IJCNLP)},
  year = {2021},
  eprint = {2106.04489},
  archiveprefix = {arXiv},
}""",
        claims=(
            Claim(
                text="Generating the adapters scores higher than training separate ones.",
                source="mahabadi2021hyperformer",
                measure="score",
                comparator="houlsby",
                relation="higher",
                scope="T5 on a mixture of the GLUE tasks, which the shared network learns from together",
            ),
            Claim(
                text="Fewer parameters are trained than with separate adapters.",
                source="mahabadi2021hyperformer",
                measure="adapter_parameters",
                comparator="houlsby",
                relation="lower",
                scope="0.29 % of the backbone's parameters per task, on eight tasks",
            ),
        ),
    )

    bottleneck: int = Field(16, ge=1, le=4096, description="width m of the generated adapters")
    embedding: int = Field(32, ge=1, le=4096, description="size of the task, layer and position embeddings")
    condition: int = Field(16, ge=2, le=4096, description="size c of what the weights are generated from")
    nonlinearity: Nonlinearity = Field("gelu", description="σ between the two projections")

    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like = anatomy.word_embeddings.weight
        hypernetwork = Hypernetwork(
            anatomy.num_layers, 2, anatomy.hidden_size, self.bottleneck, self.embedding, self.condition
        ).to(like)
        anatomy.backbone.add_module("hypernetwork", hypernetwork)
        for layer in anatomy.layers:
            for position, site in enumerate((layer.attention_output, layer.ffn_out)):
                insert_after(site, GeneratedAdapter(hypernetwork, layer.index, position, self.nonlinearity))

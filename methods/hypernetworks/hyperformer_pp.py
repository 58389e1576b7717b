"""HyperFormer++: one hypernetwork generates the adapters of all layers and positions.

    I = LN(MLP([z_task; z_layer; z_position]))                         (c)
    D, b_D, U, b_U, γ, β = linear maps of I                            (m × d), (m), (d × m), (d), (d), (d)
    h ← h + LN_{γ,β}(U σ(D h + b_D) + b_U)

Trained are the embeddings z, the network and the linear maps; adapters have no parameters of their own. What is
learnt for one layer, position or task is therefore shared with the others. Positions are after attention and after
the feed-forward block. With several tasks, each example gets the adapters of its own.

Karimi Mahabadi, Ruder, Dehghani, Henderson. Parameter-efficient Multi-task Fine-tuning for Transformers via
Shared Hypernetworks. ACL 2021. The maps to γ and β start at zero, so that training starts from the backbone; the
paper starts near it.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, Range, TaskInfo
from methods.composition.functions import Nonlinearity, Residual, insert_sequential_adapter
from methods.hypernetworks.generation import (
    AdapterGenerator,
    Batch,
    GeneratedAdapter,
    GeneratedWeights,
    Hypernetwork,
    read_tasks,
)


class AdapterHypernetwork(Hypernetwork):
    """From (layer, position) to the weights of the adapter there."""

    def __init__(
        self, batch: Batch, layers: int, positions: int, size: int, width: int, embedding: int, condition: int
    ) -> None:
        super().__init__(batch)
        self.task = nn.Parameter(torch.randn(len(batch.tasks), embedding))
        self.layer = nn.Parameter(torch.randn(layers, embedding))
        self.position = nn.Parameter(torch.randn(positions, embedding))
        self.project = nn.Sequential(
            nn.Linear(3 * embedding, embedding), nn.ReLU(), nn.Linear(embedding, condition), nn.LayerNorm(condition)
        )
        self.weights = AdapterGenerator(condition, size, width, norm=True)

    @override
    def generate(self, *place: int) -> tuple[Tensor, ...]:
        layer, position = place
        # (tasks, 2 · embedding)
        where = torch.cat([self.layer[layer], self.position[position]]).expand(len(self.task), -1)
        condition = self.project(torch.cat([self.task, where], dim=1))  # (tasks, c)
        weights: tuple[Tensor, ...] = self.weights(condition)  # each (tasks, …)
        return weights


class HyperFormerPP(Method):
    """Karimi Mahabadi et al., ACL 2021: one hypernetwork generates the adapters of all layers."""

    bottleneck: int = Field(16, ge=1, le=4096, description="width m of the generated adapters")
    embedding: int = Field(32, ge=1, le=4096, description="size of the task, layer and position embeddings")
    condition: int = Field(16, ge=2, le=4096, description="size c of what the weights are generated from")
    nonlinearity: Nonlinearity = Field("gelu", description="σ between the two projections")

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like, batch = anatomy.word_embeddings.weight, read_tasks(anatomy, task)
        hypernetwork = AdapterHypernetwork(
            batch, anatomy.num_layers, 2, anatomy.hidden_size, self.bottleneck, self.embedding, self.condition
        ).to(like)
        anatomy.backbone.add_module("hypernetwork", hypernetwork)
        for layer in anatomy.layers:
            for position, site in enumerate((layer.attention_output, layer.ffn_out)):
                source = GeneratedWeights(hypernetwork, layer.index, position)
                insert_sequential_adapter(site, Residual(GeneratedAdapter(source, self.nonlinearity)))

    card = Card(
        name="hyperformer_pp",
        title="HyperFormer++",
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
        search=(Range("lr", 1e-4, 1e-2, "the paper used 3e-4", "mahabadi2021hyperformer"),),
        claims=(
            Claim(
                text="Generating the adapters scores higher than training separate ones.",
                source="mahabadi2021hyperformer",
                measure="score",
                comparator="houlsby",
                relation="higher",
                scope="T5 on a mixture of the GLUE tasks, which the shared network learns from together",
                task_kind="mixture",
            ),
            Claim(
                text="Fewer parameters are trained than with separate adapters.",
                source="mahabadi2021hyperformer",
                measure="adapter_parameters",
                comparator="houlsby",
                relation="lower",
                scope="0.29 % of the backbone's parameters per task, on eight tasks",
                task_kind="mixture",
            ),
            Claim(
                text="One hypernetwork for all layers has fewer parameters than one for each.",
                source="mahabadi2021hyperformer",
                measure="adapter_parameters",
                comparator="hyperformer",
                relation="lower",
            ),
        ),
    )

"""HyperFormer: one hypernetwork for each layer generates its adapters from a task's embedding.

    I_τ = MLP(z_τ)                                                     (c)
    D, b_D, U, b_U, γ, β = linear maps of I_τ                          (m × d), (m), (d × m), (d), (d), (d)
    h ← h + LN_{γ,β}(U σ(D h + b_D) + b_U)

The MLP is shared by all layers. Each layer has linear maps of its own, one set for the adapter after attention and
one for that after the feed-forward block; all tasks share them, and differ in z_τ alone. With several tasks, each
example gets the adapters of its own.

Karimi Mahabadi, Ruder, Dehghani, Henderson. Parameter-efficient Multi-task Fine-tuning for Transformers via
Shared Hypernetworks. ACL 2021. This is the first of the paper's two forms; the second, with one hypernetwork for all
layers, is HyperFormer++ (`hyperformer_pp`). The maps to γ and β start at zero, so that training starts from the
backbone; the paper starts near it. Its sampling of tasks is left to the data.
"""

from __future__ import annotations

from typing import ClassVar

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


class TaskNetwork(nn.Module):
    """I for every task, (tasks, c)."""

    def __init__(self, tasks: int, embedding: int, condition: int) -> None:
        super().__init__()
        self.task = nn.Parameter(torch.randn(tasks, embedding))
        self.project = nn.Sequential(nn.Linear(embedding, embedding), nn.ReLU(), nn.Linear(embedding, condition))

    @override
    def forward(self) -> Tensor:
        condition: Tensor = self.project(self.task)  # (tasks, embedding) to (tasks, c)
        return condition


class LayerHypernetwork(Hypernetwork):
    """From a position in its layer to the weights of the adapter there."""

    def __init__(self, batch: Batch, shared: TaskNetwork, positions: int, size: int, width: int, condition: int):
        super().__init__(batch)
        self.shared = shared
        self.weights = nn.ModuleList([AdapterGenerator(condition, size, width, norm=True) for _ in range(positions)])

    @override
    def generate(self, *place: int) -> tuple[Tensor, ...]:
        (position,) = place
        weights: tuple[Tensor, ...] = self.weights[position](self.shared())  # each (tasks, …)
        return weights


class HyperFormer(Method):
    """Karimi Mahabadi et al., ACL 2021: a hypernetwork for each layer generates its adapters."""

    revision: ClassVar[int] = 2

    bottleneck: int = Field(8, ge=1, le=4096, description="width m of the generated adapters")
    embedding: int = Field(32, ge=1, le=4096, description="size of the task embeddings")
    condition: int = Field(8, ge=1, le=4096, description="size c of what the weights are generated from")
    nonlinearity: Nonlinearity = Field("gelu", description="σ between the two projections")

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like, batch = anatomy.word_embeddings.weight, read_tasks(anatomy, task)
        shared = TaskNetwork(len(task.members), self.embedding, self.condition).to(like)
        hypernetworks = nn.ModuleList()
        for layer in anatomy.layers:
            own = LayerHypernetwork(batch, shared, 2, anatomy.hidden_size, self.bottleneck, self.condition).to(like)
            hypernetworks.append(own)
            for position, site in enumerate((layer.attention_output, layer.ffn_out)):
                weights = GeneratedWeights(own, position)
                insert_sequential_adapter(site, Residual(GeneratedAdapter(weights, self.nonlinearity)))
        anatomy.backbone.add_module("hypernetworks", hypernetworks)

    card = Card(
        name="hyperformer",
        title="HyperFormer",
        family="hypernetwork",
        composition="function",
        formula=r"h \leftarrow h + \mathrm{LN}_{\gamma, \beta}(U \, \sigma(D h)), \quad"
        r" (D, U, \gamma, \beta) = g_{\phi_l}(z_{\mathrm{task}})",
        summary=(
            "Every layer has adapters after its attention and its feed-forward block, whose weights are not trained"
            " but generated: each layer has a small network that makes them from the embedding of the task. Tasks"
            " share these networks, so that each further task adds a single embedding; with one task there are more"
            " parameters to train than in the adapters themselves. Generating takes a little time in every training"
            " step; at inference it is done once, and what remains is the cost of adapters."
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
                scope="T5 on a mixture of the GLUE tasks, which the shared networks learn from together",
                task_kind="mixture",
            ),
        ),
    )

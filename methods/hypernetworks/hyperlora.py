"""HyperLoRA: one hypernetwork generates the low-rank updates of all projections.

    I = LN(MLP([z_task; z_layer; z_target]))                           (c)
    A, B = linear maps of I                                            (r × in), (out × r)
    h = W₀ x + (α / r) B A x

Projections of the same shape share their maps. The map to B starts at zero, so that training starts from the
backbone. With one task the product is folded into the weights after training. With several, each example gets the
updates of its own task, and they cannot be merged.

A construction rather than one paper's method: HyperFormer++'s way of generating (Karimi Mahabadi, Ruder, Dehghani,
Henderson. ACL 2021; hypernetworks go back to Ha, Dai, Le. ICLR 2017) for LoRA's parameters (Hu et al. ICLR 2022).
Others of the name generate them from text: Lv et al. (HyperLoRA. Findings of EMNLP 2024) from demonstrations of a
task. No claims of theirs are tested here.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.anatomy import Anatomy
from methods.base import Card, Method, TaskInfo
from methods.composition.parameters import AddedUpdate, add_linear_update, merge_linear_updates
from methods.composition.targets import Targets, missing_target, rank_out_of_range
from methods.hypernetworks.generation import Batch, Hypernetwork, Source, by_example, generating, read_tasks


class LowRankHypernetwork(Hypernetwork):
    """From (layer, target, in, out) to A (tasks × r × in) and B (tasks × out × r)."""

    def __init__(
        self, batch: Batch, layers: int, targets: int, shapes: set[tuple[int, int]], rank: int, embedding: int,
        condition: int,
    ) -> None:  # fmt: skip
        super().__init__(batch)
        self.task = nn.Parameter(torch.randn(len(batch.tasks), embedding))
        self.layer = nn.Parameter(torch.randn(layers, embedding))
        self.target = nn.Parameter(torch.randn(targets, embedding))
        self.project = nn.Sequential(
            nn.Linear(3 * embedding, embedding), nn.ReLU(), nn.Linear(embedding, condition), nn.LayerNorm(condition)
        )
        self.rank = rank
        ordered = sorted(shapes)
        self.down = nn.ModuleDict({f"{i}x{o}": generating(condition, (rank, i), random=True) for i, o in ordered})
        self.up = nn.ModuleDict({f"{i}x{o}": generating(condition, (o, rank), random=False) for i, o in ordered})

    def generate(self, *place: int) -> tuple[Tensor, Tensor]:
        layer, target, size_in, size_out = place
        where = torch.cat([self.layer[layer], self.target[target]]).expand(len(self.task), -1)
        condition = self.project(torch.cat([self.task, where], dim=1))
        shape = f"{size_in}x{size_out}"
        down = self.down[shape](condition).view(-1, self.rank, size_in)
        return down, self.up[shape](condition).view(-1, size_out, self.rank)


class GeneratedUpdate(AddedUpdate):
    """ΔW = scale · B A, with generated A and B."""

    def __init__(self, source: Source, scale: float) -> None:
        super().__init__()
        self.source = source
        self.scale = scale

    def change(self, x: Tensor) -> Tensor:
        down, up = self.source()
        if down.dim() == 2:
            return F.linear(self.scale * F.linear(x, down), up)
        rows = by_example(x, down)
        change = (self.scale * (rows @ down.mT)) @ up.mT
        return change.reshape(*x.shape[:-1], -1)

    def matrix(self) -> Tensor:
        down, up = self.source()
        return self.scale * up @ down


class HyperLoRA(Method):
    card = Card(
        name="hyperlora",
        title="HyperLoRA",
        family="hypernetwork",
        composition="parameter",
        formula=r"h = W_0 x + \frac{\alpha}{r} B A x, \quad"
        r" (A, B) = g_\phi(z_{\mathrm{task}}, z_{\mathrm{layer}}, z_{\mathrm{target}})",
        summary=(
            "Beside each chosen projection runs a product of two thin matrices, as in LoRA, but a small network"
            " generates them from embeddings of the task, the layer and the projection. Trained and stored are that"
            " network and the embeddings. With one task the products are added to the weights after training, and"
            " inference costs what the backbone costs; with several, each example gets those of its own task, and"
            " they stay beside the weights. This is a combination of published methods, without a paper of its own."
        ),
        citation="ha2017hypernetworks,mahabadi2021hyperformer,hu2022lora",
    )

    rank: int = Field(8, ge=1, le=4096, description="rank r of the generated updates")
    alpha: float = Field(16.0, gt=0, description="the update is scaled by alpha / rank")
    targets: Targets = ("query", "value")
    embedding: int = Field(32, ge=1, le=4096, description="size of the task, layer and target embeddings")
    condition: int = Field(16, ge=2, le=4096, description="size c of what the weights are generated from")

    def out_of_range(self, anatomy: Anatomy) -> str | None:
        return rank_out_of_range(self.rank, anatomy, self.targets)

    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        return missing_target(anatomy, self.targets)

    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        places = [(layer, site) for layer in anatomy.layers for target in self.targets for site in layer.sites(target)]
        # By name, so that the attention to an encoder has embeddings of its own.
        targets = {name: index for index, name in enumerate(dict.fromkeys(site.name for _, site in places))}
        shapes = {(site.in_features, site.out_features) for _, site in places}
        hypernetwork = LowRankHypernetwork(
            read_tasks(anatomy, task), anatomy.num_layers, len(targets), shapes, self.rank, self.embedding,
            self.condition,
        ).to(anatomy.word_embeddings.weight)  # fmt: skip
        anatomy.backbone.add_module("hypernetwork", hypernetwork)
        for layer, site in places:
            source = Source(hypernetwork, layer.index, targets[site.name], site.in_features, site.out_features)
            add_linear_update(site, GeneratedUpdate(source, self.alpha / self.rank))

    def merge(self, model: nn.Module) -> bool:
        backbone: nn.Module = model.base_model  # type: ignore[assignment]
        hypernetwork = getattr(backbone, "hypernetwork", None)
        if not isinstance(hypernetwork, LowRankHypernetwork) or len(hypernetwork.batch.tasks) > 1:
            return False
        merge_linear_updates(model)
        del backbone.hypernetwork
        return True

"""VeRA: one pair of random matrices for all layers, rescaled by two vectors per projection.

    h = W₀ x + Λ_b B Λ_d A x,   A (r × in), B (out × r) random and frozen, Λ diagonal with entries b (out), d (r)

Projections of one shape share A and B. They are drawn from `seed` (Kaiming uniform, as in the paper) and need not be
stored. b starts at zero, so that training starts from the backbone, d at 0.1.

Kopiczko, Blankevoort, Asano. VeRA: Vector-based Random Matrix Adaptation. ICLR 2024. The rank is not bounded by the
projection's dimension: what is trained is not the matrices.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, Method, PeftForm, Range, TaskInfo
from methods.composition.exchange import ADAPTER, INSIDE, beside_parts, projections, updated_modules
from methods.composition.parameters import AddedUpdate, add_linear_update, merge_linear_updates
from methods.composition.targets import Targets, missing_target


class SharedMatrices(nn.Module):
    """A (rank × in) and B (out × rank) as buffers that no state holds."""

    down: Tensor
    up: Tensor

    def __init__(self, down: Tensor, up: Tensor) -> None:
        super().__init__()
        self.register_buffer("down", down, persistent=False)
        self.register_buffer("up", up, persistent=False)


class VectorUpdate(AddedUpdate):
    """ΔW = Λ_b B Λ_d A."""

    def __init__(self, shared: SharedMatrices, initial: float, like: Tensor) -> None:
        super().__init__()
        # In a tuple, so that it is registered once, on the backbone, and not with every projection.
        self._shared = (shared,)
        self.d = nn.Parameter(torch.full_like(like.new_empty(shared.down.shape[0]), initial))
        self.b = nn.Parameter(like.new_zeros(shared.up.shape[0]))

    @property
    def shared(self) -> SharedMatrices:
        """A and B."""
        (shared,) = self._shared
        return shared

    @override
    def change(self, x: Tensor) -> Tensor:
        (shared,) = self._shared
        # In the dtype that the products come in, which under autocast is not that of x.
        inner = F.linear(x, shared.down)  # (…, rank)
        outer = F.linear(self.d.to(inner.dtype) * inner, shared.up)  # (…, out)
        return self.b.to(outer.dtype) * outer

    @override
    def matrix(self) -> Tensor:
        (shared,) = self._shared
        return self.b[:, None] * (shared.up @ (self.d[:, None] * shared.down))


class VeRA(Method):
    """Kopiczko et al., ICLR 2024: trained vectors rescale shared random factors."""

    lr: LearningRate = 1e-2
    rank: int = Field(256, ge=1, le=65536, description="rank r of the shared matrices")
    initial: float = Field(0.1, gt=0, le=10, description="initial value of d")
    targets: Targets = ("query", "value")
    seed: int = Field(0, ge=0, lt=2**63, description="of the shared matrices")

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        return missing_target(anatomy, self.targets)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like = anatomy.word_embeddings.weight
        shared: dict[str, SharedMatrices] = {}
        for site in anatomy.sites(self.targets):
            shape = f"{site.in_features}x{site.out_features}"
            if shape not in shared:
                shared[shape] = self._draw(site.in_features, site.out_features, like)
            add_linear_update(site, VectorUpdate(shared[shape], self.initial, like))
        anatomy.backbone.add_module("random_matrices", nn.ModuleDict(shared))

    def _draw(self, inputs: int, outputs: int, like: Tensor) -> SharedMatrices:
        # On the CPU with a generator of their own: the same on every device, whatever was drawn before.
        generator = torch.Generator().manual_seed(self.seed)
        down, up = (
            nn.init.kaiming_uniform_(torch.empty(shape, device="cpu"), generator=generator)
            for shape in ((self.rank, inputs), (outputs, self.rank))
        )
        return SharedMatrices(down.to(like), up.to(like))

    @override
    def merge(self, model: nn.Module) -> bool:
        if merged := merge_linear_updates(model):
            del model.base_model.random_matrices  # type: ignore[union-attr]
        return merged

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        """peft cuts the matrices of every projection from one large pair. Those of each shape, and of each part of a
        fused module, become rows of A and columns of B of their own; d is zero on the others'."""
        modules = updated_modules(anatomy.model)
        blocks: dict[tuple[SharedMatrices, int], int] = {}  # where each begins
        for module in modules.values():
            for share, update in module.updates.items():
                blocks.setdefault((_matrices(update), int(share)), self.rank * len(blocks))
        rank = self.rank * len(blocks)
        inputs = max(shared.down.shape[1] for shared, _ in blocks)
        outputs = max(
            module.parts * _matrices(u).up.shape[0] for module in modules.values() for u in module.updates.values()
        )
        like = next(iter(blocks))[0].down
        down, up = like.new_zeros(rank, inputs), like.new_zeros(outputs, rank)
        for (shared, part), first in blocks.items():
            own, rows = slice(first, first + self.rank), shared.up.shape[0]
            down[own, : shared.down.shape[1]] = shared.down
            up[part * rows : (part + 1) * rows, own] = shared.up
        tensors = {f"base_model.vera_A.{ADAPTER}": down, f"base_model.vera_B.{ADAPTER}": up}
        for name, module in modules.items():
            d = like.new_zeros(rank)
            for share, update in module.updates.items():
                start = blocks[_matrices(update), int(share)]
                d[start : start + self.rank] = update.get_parameter("d")
            b = {share: update.get_parameter("b") for share, update in module.updates.items()}
            nothing = like.new_zeros(module.parts * len(next(iter(b.values()))))
            tensors[f"{INSIDE}{name}.vera_lambda_d.{ADAPTER}"] = d
            tensors[f"{INSIDE}{name}.vera_lambda_b.{ADAPTER}"] = beside_parts(module, b, nothing)
        options = {"r": rank, "save_projection": True, "d_initial": self.initial}
        return PeftForm("VERA", projections(anatomy.model, modules) | options, tensors)

    card = Card(
        name="vera",
        title="VeRA",
        family="low-rank",
        composition="parameter",
        formula=r"h = W_0 x + \Lambda_b B \Lambda_d A x",
        summary=(
            "As in LoRA a product of two thin matrices changes each chosen projection, but the matrices are random,"
            " frozen and shared by all layers; trained are two vectors per projection that rescale their rows. Only"
            " the vectors are stored, for the matrices can be drawn again from a seed. A higher rank costs"
            " computation rather than parameters. The product can be added to the weights after training."
        ),
        citation="kopiczko2024vera",
        search=(Range("lr", 1e-3, 1e-1, "two decades, higher than for LoRA, as its vectors are small"),),
        claims=(
            Claim(
                text="LoRA's quality.",
                source="kopiczko2024vera",
                measure="score",
                comparator="lora",
                relation="at least",
                margin=0.01,
                scope="RoBERTa on GLUE, GPT-2 on E2E, Llama on instructions",
            ),
            Claim(
                text="About a tenth of LoRA's trained parameters.",
                source="kopiczko2024vera",
                measure="adapter_parameters",
                comparator="lora",
                relation="at most",
                scope="0.043 million for RoBERTa-base, a seventh of LoRA's",
                factor=0.1,
                margin=0.5,
                matched=("targets",),
            ),
        ),
    )


def _matrices(update: nn.Module) -> SharedMatrices:
    assert isinstance(update, VectorUpdate)
    return update.shared

"""DoRA: magnitude and direction of a projection are trained apart, the direction by a low-rank update.

    W' = m ⊙ (W₀ + s B A) / ‖W₀ + s B A‖,   m (out), the norm taken of every row (out)

m starts as ‖W₀‖ and B at zero, so that training starts from the backbone. As the paper proposes (section 4.3), the
norm counts as a constant in the backward pass, which saves most of the memory it would take. s = α / r. A row of zeros
has no direction, and stays as it is.

Liu, Wang, Yin, Molchanov, Wang, Cheng, Chen. DoRA: Weight-Decomposed Low-Rank Adaptation. ICML 2024.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy, Site, bias_of, weight_of
from methods.base import Card, Claim, PeftForm, Range, TaskInfo
from methods.composition.exchange import ADAPTER, INSIDE, beside_parts, low_rank_form, updated_modules
from methods.composition.parameters import add_linear_update
from methods.lowrank.lora import LoRA, LowRankUpdate


class DirectedUpdate(LowRankUpdate):
    """y = m / ‖W + ΔW‖ ⊙ (x Wᵀ + x ΔWᵀ) + b."""

    def __init__(self, site: Site, rank: int, scale: float, dropout: float, like: Tensor) -> None:
        super().__init__(site, rank, scale, dropout, like)
        # Not registered here: the projection keeps its own place in the model.
        self._base = (site.projection,)
        self._part, self._parts = site.part, site.parts
        self.magnitude = nn.Parameter(site.weight.norm(dim=1).to(like.dtype))

    def _pretrained(self) -> tuple[Tensor, Tensor | None]:
        (base,) = self._base
        return weight_of(base, self._part, self._parts), bias_of(base, self._part, self._parts)

    def _ratio(self, weight: Tensor) -> Tensor:
        """m / ‖W + ΔW‖, whose gradient goes to m alone."""
        norm: Tensor = (weight + self.matrix().detach().to(weight.dtype)).norm(dim=1)  # (out)
        ratio: Tensor = self.magnitude / norm.clamp(min=torch.finfo(norm.dtype).tiny)
        return ratio

    @override
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        weight, bias = self._pretrained()
        ratio = self._ratio(weight).to(y.dtype)
        plain = y if bias is None else y - bias.to(y.dtype)
        changed = ratio * (plain + self.change(x))
        return changed if bias is None else changed + bias.to(y.dtype)

    @override
    def fold(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self._ratio(weight)[:, None] * (weight + self.matrix().to(weight.dtype)), bias


class DoRA(LoRA):
    """Liu et al., ICML 2024: LoRA on the direction of a weight's rows, beside their trained lengths."""

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like = anatomy.word_embeddings.weight
        for site in anatomy.sites(self.targets):
            add_linear_update(site, DirectedUpdate(site, self.rank, self.scaling, self.dropout, like))

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        form = low_rank_form(anatomy.model, lambda u: (u.up, u.down, u.scale), use_dora=True, lora_dropout=self.dropout)
        for name, module in updated_modules(anatomy.model).items():
            lengths = weight_of(module.base).norm(dim=1)  # type: ignore[arg-type]
            magnitudes = {share: update.get_parameter("magnitude") for share, update in module.updates.items()}
            form.tensors[f"{INSIDE}{name}.lora_magnitude_vector.{ADAPTER}.weight"] = beside_parts(
                module, magnitudes, lengths
            )
        return form

    card: ClassVar[Card] = Card(
        name="dora",
        title="DoRA",
        family="low-rank",
        composition="parameter",
        formula=r"W' = m \odot \frac{W_0 + s B A}{\Vert W_0 + s B A \Vert}",
        summary=(
            "As in LoRA a product of two thin matrices is trained beside each chosen projection, but it changes only"
            " the direction of the weight's rows; their lengths are trained as numbers of their own. Computing the"
            " norms forms the whole changed weight in every training step. After training the result takes the place"
            " of the weight, and inference costs what the backbone costs."
        ),
        citation="liu2024dora",
        search=(Range("lr", 1e-4, 1e-2, "the paper used 1e-4 and 2e-4", "liu2024dora"),),
        claims=(
            Claim(
                text="Scores higher than LoRA at the same rank.",
                source="liu2024dora",
                measure="score",
                comparator="lora",
                relation="higher",
                scope="Llama on commonsense reasoning, and vision-language models",
                matched=("rank", "targets"),
            ),
            Claim(
                text="Once merged, no added latency at inference.",
                source="liu2024dora",
                measure="merged_inference_seconds",
                comparator="backbone",
                relation="at most",
                margin=0.05,
            ),
        ),
    )

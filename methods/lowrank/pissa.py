"""PiSSA: LoRA that starts from the principal singular triplets of the weight.

    W₀ = U S Vᵀ;   B = U_r S_r^½,   A = S_r^½ V_rᵀ,   W_res = W₀ − B A;   h = W_res x + B A x

The residual W_res takes the place of the weight and is frozen; A and B are trained from where they are. At the start
nothing has changed; as in the paper, the product is not scaled. The decomposition is exact; the paper's fast
approximation is not used.

Meng, Wang, Zhang. PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language Models.
NeurIPS 2024. Stored are A and B as trained and as they began: their difference from the pretrained weight has rank 2r.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy, Site, weight_of
from methods.base import Card, Claim, PeftForm, Range, TaskInfo
from methods.composition.exchange import Factors, low_rank_form
from methods.composition.parameters import add_linear_update, linear_updates
from methods.lowrank.lora import LowRankMethod, LowRankUpdate


class PrincipalUpdate(LowRankUpdate):
    """ΔW = up · down beside a weight from which its first value was taken."""

    first_down: Tensor
    first_up: Tensor

    def __init__(self, site: Site, rank: int, dropout: float, like: Tensor) -> None:
        super().__init__(site, rank, 1.0, dropout, like)
        self._base = (site.projection,)
        self._part, self._parts = site.part, site.parts
        self.register_buffer("first_down", self.down.detach().clone())
        self.register_buffer("first_up", self.up.detach().clone())
        if like.is_meta:
            return
        u, s, v = torch.linalg.svd(site.weight.float(), full_matrices=False)
        root = s[:rank].sqrt()
        self.begin((root[:, None] * v[:rank]).to(like), (u[:, :rank] * root).to(like))

    @torch.no_grad()
    def begin(self, down: Tensor, up: Tensor) -> None:
        """Starts from these: what was taken from the weight before is put back first."""
        (base,) = self._base
        # Else it is left alone: processes may have divided it, which then have begun from the same.
        if not (torch.equal(down, self.first_down) and torch.equal(up, self.first_up)):
            weight = weight_of(base, self._part, self._parts)
            weight += (self.first_up @ self.first_down - up @ down).to(weight.dtype)
        for parameter, first, value in ((self.down, self.first_down, down), (self.up, self.first_up, up)):
            first.copy_(value)
            parameter.copy_(value)


class PiSSA(LowRankMethod):
    """Meng et al., NeurIPS 2024: LoRA from the weight's principal singular triplets."""

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like = anatomy.word_embeddings.weight
        for site in anatomy.sites(self.targets):
            add_linear_update(site, PrincipalUpdate(site, self.rank, self.dropout, like))

    @override
    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """A and B as trained, and, under `<where>.first_down` and `<where>.first_up`, as they began."""
        state = super().state(model)
        for name, update in linear_updates(model).items():
            assert isinstance(update, PrincipalUpdate)
            state |= {f"{name}.first_down": update.first_down, f"{name}.first_up": update.first_up}
        return state

    @override
    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        first = {name: value for name, value in state.items() if name.endswith((".first_down", ".first_up"))}
        for name, update in linear_updates(model).items():
            assert isinstance(update, PrincipalUpdate)
            # Singular vectors have a sign that may differ from machine to machine.
            update.begin(first[f"{name}.first_down"].to(update.down), first[f"{name}.first_up"].to(update.up))
        super().load_state(model, {name: value for name, value in state.items() if name not in first})

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        """B A − B₀ A₀, of twice the rank, beside the pretrained weight."""

        def factors(update: PrincipalUpdate) -> Factors:
            up = torch.cat([update.up, -update.first_up], dim=1)  # (out, 2 · rank)
            return up, torch.cat([update.down, update.first_down]), update.scale

        note = "PiSSA as a plain LoRA of twice the rank: the trained factors beside those that it began from."
        return low_rank_form(anatomy.model, factors, note, lora_dropout=self.dropout)

    card: ClassVar[Card] = Card(
        name="pissa",
        title="PiSSA",
        family="low-rank",
        composition="parameter",
        formula=r"h = (W_0 - B_0 A_0) x + B A x, \quad B_0 A_0 = U_r S_r V_r^\top",
        summary=(
            "As in LoRA a product of two thin matrices is trained beside each chosen projection, but it starts as the"
            " part of the weight with the largest singular values rather than as zero, and that part is taken out of"
            " the frozen weight. Training therefore moves the weight's principal directions from the first step."
            " Stored are the matrices as they began and as they ended, twice as much as for LoRA. The product can"
            " be added back to the weights after training."
        ),
        citation="meng2024pissa",
        search=(Range("lr", 1e-4, 1e-2, "two decades around the default"),),
        claims=(
            Claim(
                text="Scores higher than LoRA at the same rank.",
                source="meng2024pissa",
                measure="score",
                comparator="lora",
                relation="higher",
                scope="language models of 184 million to 70 billion parameters, mathematics and code",
                matched=("rank", "targets"),
            ),
            Claim(
                text="It reaches LoRA's quality in fewer steps.",
                source="meng2024pissa",
                measure="steps_to_target",
                comparator="lora",
                relation="lower",
                scope="language models of 184 million to 70 billion parameters, mathematics and code",
                matched=("rank", "targets"),
            ),
        ),
    )

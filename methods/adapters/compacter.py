"""Compacter: adapters whose matrices are sums of Kronecker products with shared factors.

    h ← h + U σ(D h + b_D) + b_U,   D = Σᵢ Aᵢ ⊗ (sᵢ tᵢᵀ)   and U likewise, i = 1 … n

Aᵢ (n × n) are one set for both matrices of all adapters of all layers; sᵢ (out/n × r) and tᵢ (in/n × r) are a matrix's
own, r (in + out) numbers. Placed as Houlsby's adapters, with layer normalisation trained as in the authors'
experiments; with `after_attention` off, as in the paper's Compacter++, after the feed-forward block alone.

Karimi Mahabadi, Henderson, Ruder. Compacter: Efficient Low-Rank Hypercomplex Adapter Layers. NeurIPS 2021. Here sᵢ of
U start at zero, so that training starts from the backbone; the paper starts near it. The other factors are drawn so
that D h has about the scale of h, whatever n and r are; the authors draw Aᵢ with a deviation of their choice.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, Range, TaskInfo
from methods.composition.functions import NONLINEARITIES, Nonlinearity, Residual, insert_sequential_adapter


class LPHMLinear(nn.Module):
    """x Wᵀ + b with W = Σᵢ Aᵢ ⊗ (sᵢ tᵢᵀ) (out × in), without forming W: the paper's low-rank parameterised hypercomplex
    multiplication, with A (n × n × n) as `rule`, s (n × out/n × r) as `left` and t (n × in/n × r) as `right`."""

    def __init__(self, rule: nn.Parameter, inputs: int, outputs: int, rank: int, like: Tensor) -> None:
        super().__init__()
        n = len(rule)
        self.rule = rule
        self.left = nn.Parameter(like.new_zeros(n, outputs // n, rank))
        self.right = nn.Parameter(nn.init.normal_(like.new_empty(n, inputs // n, rank), std=math.sqrt(n / inputs)))
        self.bias = nn.Parameter(like.new_zeros(outputs))

    @override
    def forward(self, x: Tensor) -> Tensor:
        n = len(self.rule)
        rows = x.reshape(*x.shape[:-1], n, -1)  # (…, n, in/n)
        # (A ⊗ s tᵀ) x: the n blocks of x meet t, then A mixes the blocks, then s spreads each.
        met = torch.einsum("...jc,icr->...ijr", rows, self.right.to(x.dtype))  # (…, n, n, r)
        mixed = torch.einsum("...ijr,ikj->...ikr", met, self.rule.to(x.dtype))  # (…, n, n, r)
        spread = torch.einsum("...ikr,ior->...ko", mixed, self.left.to(x.dtype))  # (…, n, out/n)
        return spread.reshape(*x.shape[:-1], -1) + self.bias.to(x.dtype)


class LPHMBottleneck(nn.Module):
    """U σ(D h + b_D) + b_U, from (…, d) to (…, d)."""

    def __init__(self, down: LPHMLinear, up: LPHMLinear, nonlinearity: Nonlinearity) -> None:
        super().__init__()
        self.down = down
        self.up = up
        self.nonlinearity: Nonlinearity = nonlinearity

    @override
    def forward(self, h: Tensor) -> Tensor:
        inner = NONLINEARITIES[self.nonlinearity](self.down(h))  # (…, m)
        h = self.up(inner)
        return h


class Compacter(Method):
    """Karimi Mahabadi et al., NeurIPS 2021: adapters of Kronecker products."""

    bottleneck: int = Field(64, ge=1, le=65536, description="width of the adapters")
    divisions: int = Field(4, ge=1, le=256, description="number n of products, and size of shared factors")
    rank: int = Field(1, ge=1, le=256, description="rank r of the factors of a layer's own")
    nonlinearity: Nonlinearity = Field("gelu", description="σ between the two projections")
    after_attention: bool = Field(True, description="whether adapters follow attention too; off in Compacter++")
    train_norms: bool = Field(True, description="whether layer normalisation is trained as well, as in the paper")

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        common = math.gcd(anatomy.hidden_size, self.bottleneck)
        if common % self.divisions == 0:
            limit = min(anatomy.hidden_size, self.bottleneck) // self.divisions
            return None if self.rank <= limit else f"rank {self.rank} exceeds a factor's size; it takes 1 to {limit}"
        valid = ", ".join(str(n) for n in range(1, common + 1) if common % n == 0)
        return (
            f"{self.divisions} divisions do not divide the hidden size {anatomy.hidden_size} and the bottleneck"
            f" {self.bottleneck}; valid are {valid}"
        )

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        if self.train_norms:
            anatomy.unfreeze_norms()
        like, n = anatomy.word_embeddings.weight, self.divisions
        rule = nn.Parameter(nn.init.normal_(like.new_empty(n, n, n), std=1 / n))
        size, width = anatomy.hidden_size, self.bottleneck
        for layer in anatomy.layers:
            for site in (layer.attention_output, layer.ffn_out) if self.after_attention else (layer.ffn_out,):
                down = LPHMLinear(rule, size, width, self.rank, like)
                nn.init.normal_(down.left, std=self.rank**-0.5)
                up = LPHMLinear(rule, width, size, self.rank, like)
                insert_sequential_adapter(site, Residual(LPHMBottleneck(down, up, self.nonlinearity)))

    card = Card(
        name="compacter",
        title="Compacter",
        family="adapter",
        composition="function",
        formula=r"h \leftarrow h + U \, \sigma(D h), \quad D, U = \textstyle\sum_{i=1}^n A_i \otimes (s_i t_i^\top)",
        summary=(
            "Adapters after the attention and after the feed-forward block of every layer, whose two matrices are"
            " sums of Kronecker products: small square factors that all layers share, and thin ones of the layer's"
            " own. Far fewer parameters are trained and stored than for ordinary adapters of the same width, at about"
            " the same cost of computation. They cannot be folded into the backbone."
        ),
        citation="mahabadi2021compacter",
        search=(Range("lr", 1e-3, 1e-1, "two decades from the default, as earlier searches of ours found"),),
        claims=(
            Claim(
                text="On par with full fine-tuning.",
                source="mahabadi2021compacter",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="T5-base on GLUE and SuperGLUE, with 0.073 % of the parameters, and 0.047 % as Compacter++",
            ),
            Claim(
                text="Trains fewer parameters than ordinary adapters.",
                source="mahabadi2021compacter",
                measure="adapter_parameters",
                comparator="houlsby",
                relation="lower",
            ),
        ),
    )

"""Compacter: adapters whose matrices are sums of Kronecker products with shared factors.

    h ← h + U σ(D h + b_D) + b_U,   D = Σᵢ Aᵢ ⊗ (sᵢ tᵢᵀ)   and U likewise, i = 1 … n

Aᵢ (n × n) are shared by all adapters of all layers, one set for D and one for U; sᵢ (out/n × r) and tᵢ (in/n × r) are
an adapter's own. With `rank` r of 1 the own factors of a layer take n · (in/n + out/n) numbers. Placed as Houlsby's
adapters, with layer normalisation trained as in the authors' experiments.

Karimi Mahabadi, Henderson, Ruder. Compacter: Efficient Low-Rank Hypercomplex Adapter Layers. NeurIPS 2021. Here sᵢ of
U start at zero, so that training starts from the backbone; the paper starts near it.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Method, TaskInfo
from methods.composition.functions import NONLINEARITIES, Nonlinearity, Residual, insert_after


class Kronecker(nn.Module):
    """x Wᵀ + b with W = Σᵢ Aᵢ ⊗ (sᵢ tᵢᵀ) (out × in), without forming W."""

    def __init__(self, rule: nn.Parameter, inputs: int, outputs: int, rank: int, like: Tensor) -> None:
        super().__init__()
        n = len(rule)
        self.rule = rule
        self.left = nn.Parameter(like.new_zeros(n, outputs // n, rank))
        self.right = nn.Parameter(like.new_empty(n, inputs // n, rank))
        self.bias = nn.Parameter(like.new_zeros(outputs))
        nn.init.normal_(self.right, std=math.sqrt(n / inputs))

    def forward(self, x: Tensor) -> Tensor:
        n = len(self.rule)
        rows = x.reshape(*x.shape[:-1], n, -1)
        # (A ⊗ s tᵀ) x: the n blocks of x meet t, then A mixes the blocks, then s spreads each.
        met = torch.einsum("...jc,icr->...ijr", rows, self.right.to(x.dtype))
        mixed = torch.einsum("...ijr,ikj->...ikr", met, self.rule.to(x.dtype))
        spread = torch.einsum("...ikr,ior->...ko", mixed, self.left.to(x.dtype))
        return spread.reshape(*x.shape[:-1], -1) + self.bias.to(x.dtype)


class KroneckerBottleneck(nn.Module):
    """U σ(D h + b_D) + b_U."""

    def __init__(self, down: Kronecker, up: Kronecker, nonlinearity: Nonlinearity) -> None:
        super().__init__()
        self.down = down
        self.up = up
        self.nonlinearity: Nonlinearity = nonlinearity

    def forward(self, h: Tensor) -> Tensor:
        return self.up(NONLINEARITIES[self.nonlinearity](self.down(h)))


class Compacter(Method):
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
        bibtex="""@inproceedings{mahabadi2021compacter,
  author = {Karimi Mahabadi, Rabeeh and Henderson, James and Ruder, Sebastian},
  title = {{Compacter}: Efficient Low-Rank Hypercomplex Adapter Layers},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year = {2021},
  eprint = {2106.04647},
  archiveprefix = {arXiv},
}""",
        claims=(
            Claim(
                text="On par with full fine-tuning.",
                source="mahabadi2021compacter",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="T5-base on GLUE and SuperGLUE, with 0.05 % to 0.07 % of the parameters",
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

    bottleneck: int = Field(64, ge=1, le=65536, description="width of the adapters")
    divisions: int = Field(
        4, ge=1, le=256, description="number n of products, and size of shared factors"
    )
    rank: int = Field(1, ge=1, le=256, description="rank r of the factors of a layer's own")
    nonlinearity: Nonlinearity = Field("gelu", description="σ between the two projections")
    train_norms: bool = Field(True, description="whether layer normalisation is trained as well, as in the paper")

    def out_of_range(self, anatomy: Anatomy) -> str | None:
        common = math.gcd(anatomy.hidden_size, self.bottleneck)
        if common % self.divisions == 0:
            return None
        valid = ", ".join(str(n) for n in range(1, common + 1) if common % n == 0)
        return (
            f"{self.divisions} divisions do not divide the hidden size {anatomy.hidden_size} and the bottleneck"
            f" {self.bottleneck}; valid are {valid}"
        )

    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        norms = set(anatomy.norm_names)
        for name, parameter in anatomy.backbone_parameters():
            parameter.requires_grad_(self.train_norms and name in norms)
        like, n = anatomy.word_embeddings.weight, self.divisions
        down_rule, up_rule = (nn.Parameter(nn.init.normal_(like.new_empty(n, n, n), std=n**-0.5)) for _ in range(2))
        size, width = anatomy.hidden_size, self.bottleneck
        for layer in anatomy.layers:
            for site in (layer.attention_output, layer.ffn_out):
                down = Kronecker(down_rule, size, width, self.rank, like)
                nn.init.normal_(down.left, std=1.0)
                up = Kronecker(up_rule, width, size, self.rank, like)
                insert_after(site, Residual(KroneckerBottleneck(down, up, self.nonlinearity)))

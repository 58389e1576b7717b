"""LoRA: a low-rank update beside each chosen projection.

    h = W₀ x + (α / r) B A x,   A (r × in), B (out × r)

W₀ is frozen. B starts at zero, so that training starts from the backbone; A is drawn as in the authors' code
(Kaiming uniform). After training W₀ + (α / r) B A takes the place of W₀, and nothing is left to compute.

Hu et al. LoRA: Low-Rank Adaptation of Large Language Models. ICLR 2022. The paper adapts query and value.
"""

from __future__ import annotations

import math

from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from methods.anatomy import Anatomy, Site, SiteName
from methods.base import Card, Claim, Method, TaskInfo
from methods.composition.parameters import LinearUpdate, add_linear_update, merge_linear_updates


class LowRankUpdate(LinearUpdate):
    """ΔW = scale · up · down, with down (rank × in) and up (out × rank)."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.down = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        self.scale = scale
        self.dropout = dropout
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(x, self.dropout, self.training)
        # Scaled where it is cheapest: rank numbers per token rather than out.
        return F.linear(self.scale * F.linear(x, self.down), self.up)

    def matrix(self) -> Tensor:
        return self.scale * self.up @ self.down


class LoRA(Method):
    card = Card(
        name="lora",
        title="LoRA",
        family="low-rank",
        composition="parameter",
        formula=r"h = W_0 x + \frac{\alpha}{r} B A x",
        summary=(
            "Beside each chosen projection a product of two thin matrices is trained, whose rank bounds how far the"
            " projection can change. The backbone is frozen, so gradients and optimiser state are needed for the"
            " thin matrices only, and only they are stored for each task. They can be multiplied out and added to"
            " the weights after training; inference then costs what the backbone costs."
        ),
        citation="hu2022lora",
        bibtex="""@inproceedings{hu2022lora,
  author = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and
    Wang, Shean and Wang, Lu and Chen, Weizhu},
  title = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year = {2022},
  eprint = {2106.09685},
  archiveprefix = {arXiv},
}""",
        claims=(
            Claim(
                text="On par with or better than full fine-tuning.",
                source="hu2022lora",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="RoBERTa, DeBERTa, GPT-2 and GPT-3",
            ),
            Claim(
                text="Once merged, no added latency at inference.",
                source="hu2022lora",
                measure="merged_inference_seconds",
                comparator="full",
                relation="equal",
            ),
            Claim(
                text="Training takes less memory than full fine-tuning.",
                source="hu2022lora",
                measure="peak_memory_bytes",
                comparator="full",
                relation="lower",
                scope="measured for GPT-3 with 175 billion parameters",
            ),
        ),
    )

    rank: int = Field(8, ge=1, le=4096, description="rank r of the update")
    alpha: float = Field(16.0, gt=0, description="the update is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the update's input")
    targets: tuple[SiteName, ...] = Field(("query", "value"), min_length=1, description="projections to adapt")

    @field_validator("targets")
    @classmethod
    def _distinct(cls, targets: tuple[SiteName, ...]) -> tuple[SiteName, ...]:
        if len(set(targets)) < len(targets):
            raise ValueError("a target is named twice")
        return targets

    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        for site in self._sites(anatomy):
            linear = site.module
            if not isinstance(linear, nn.Linear):
                return f"{site.name} is a {type(linear).__name__}, not a Linear layer"
            if self.rank > (widest := min(linear.in_features, linear.out_features)):
                return f"rank {self.rank} exceeds the dimension {widest} of {site.name}"
        return None

    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        for site in self._sites(anatomy):
            linear = site.module
            assert isinstance(linear, nn.Linear)
            add_linear_update(site, LowRankUpdate(linear, self.rank, self.alpha / self.rank, self.dropout))

    def merge(self, model: nn.Module) -> bool:
        return merge_linear_updates(model)

    def _sites(self, anatomy: Anatomy) -> list[Site]:
        return [layer.site(name) for layer in anatomy.layers for name in self.targets]

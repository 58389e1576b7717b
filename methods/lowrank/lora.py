"""LoRA: a low-rank update beside each chosen projection.

    h = W₀ x + (α / r) B A x,   A (r × in), B (out × r)

W₀ is frozen. B starts at zero, so that training starts from the backbone; A is drawn as in the authors' code
(Kaiming uniform). After training W₀ + (α / r) B A takes the place of W₀, and nothing is left to compute.

Hu et al. LoRA: Low-Rank Adaptation of Large Language Models. ICLR 2022. The paper adapts query and value.

Two refinements are options. rsLoRA scales by α / √r, so that the update does not fade as the rank grows
(Kalajdzievski. A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA. 2023). LoRA+ gives B a learning
rate of its own, λ times that of A; the paper finds λ of about 16 (Hayou, Ghosh, Yu. LoRA+: Efficient Low Rank
Adaptation of Large Models. ICML 2024).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from methods.anatomy import Anatomy, Site
from methods.base import Card, Claim, Method, PeftForm, Range, TaskInfo
from methods.composition.exchange import low_rank_form
from methods.composition.parameters import AddedUpdate, add_linear_update, linear_updates, merge_linear_updates
from methods.composition.targets import Targets, missing_target, rank_out_of_range


class LowRankUpdate(AddedUpdate):
    """ΔW = scale · up · down, with down (rank × in) and up (out × rank)."""

    def __init__(self, site: Site, rank: int, scale: float, dropout: float, like: Tensor) -> None:
        super().__init__()
        self.down = nn.Parameter(like.new_empty(rank, site.in_features))
        self.up = nn.Parameter(like.new_zeros(site.out_features, rank))
        self.scale = scale
        self.dropout = dropout
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    @override
    def change(self, x: Tensor) -> Tensor:
        x = F.dropout(x, self.dropout, self.training)
        # Scaled where it is cheapest: rank numbers per token rather than out.
        inner = self.scale * F.linear(x, self.down)  # (…, rank)
        return F.linear(inner, self.up)  # (…, out)

    @override
    def matrix(self) -> Tensor:
        return self.scale * self.up @ self.down


class LowRankMethod(Method):
    """A low-rank update beside each chosen projection, whatever it starts from and is scaled by."""

    rank: int = Field(8, ge=1, le=4096, description="rank r of the update")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the update's input")
    targets: Targets = ("query", "value")
    lr_ratio: float = Field(1.0, gt=0, le=100, description="learning rate of B over that of A (LoRA+)")

    @override
    def out_of_range(self, anatomy: Anatomy) -> str | None:
        return rank_out_of_range(self.rank, anatomy, self.targets)

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        return missing_target(anatomy, self.targets)

    @override
    def parameter_groups(self, anatomy: Anatomy) -> list[dict[str, Any]]:
        """With `lr_ratio` λ, up (the paper's B) learns at λ times the rate of the rest (LoRA+)."""
        ups = {id(u.up) for u in linear_updates(anatomy.model).values() if isinstance(u, LowRankUpdate)}
        trainable = [p for p in anatomy.model.parameters() if p.requires_grad]
        return [
            {"params": [p for p in trainable if id(p) not in ups]},
            {"params": [p for p in trainable if id(p) in ups], "lr": self.lr * self.lr_ratio},
        ]

    @override
    def merge(self, model: nn.Module) -> bool:
        return merge_linear_updates(model)

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        return low_rank_form(anatomy.model, lambda u: (u.up, u.down, u.scale), lora_dropout=self.dropout)


class LoRA(LowRankMethod):
    """Hu et al., ICLR 2022: ΔW = (α / r) B A beside chosen projections."""

    alpha: float = Field(16.0, gt=0, description="the update is scaled by alpha / rank")
    rank_stabilised: bool = Field(False, description="scale by alpha / √rank instead (rsLoRA)")

    @model_validator(mode="after")
    def _one_has_no_other_root(self) -> Self:
        if self.rank == 1:
            self.refuse_idle("rank_stabilised", unless="rank is above 1")
        return self

    @property
    def scaling(self) -> float:
        """The factor of B A."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        like = anatomy.word_embeddings.weight
        for site in anatomy.sites(self.targets):
            add_linear_update(site, LowRankUpdate(site, self.rank, self.scaling, self.dropout, like))

    card: ClassVar[Card] = Card(
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
        search=(Range("lr", 1e-4, 1e-2, "the paper used 2e-4 to 5e-4 on GLUE", "hu2022lora"),),
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
                comparator="backbone",
                relation="at most",
                margin=0.05,
            ),
            Claim(
                text="Training takes less memory than full fine-tuning.",
                source="hu2022lora",
                measure="training_memory_bytes",
                comparator="full",
                relation="lower",
                scope="GPT-3 with 175 billion parameters, a third of the memory",
            ),
            Claim(
                text="Training has a higher throughput than full fine-tuning.",
                source="hu2022lora",
                measure="train_tokens_per_second",
                comparator="full",
                relation="higher",
                scope="GPT-3 with 175 billion parameters, a quarter faster",
            ),
            Claim(
                text="A small rank suffices: a larger one gains little.",
                source="hu2022lora",
                measure="score",
                comparator="lora",
                relation="at most",
                margin=0.01,
                scope="GPT-3 with 175 billion parameters",
                varies="rank",
            ),
            Claim(
                text="Scaled by the root of the rank, the update learns better than scaled by the rank.",
                source="kalajdzievski2023rslora",
                measure="score",
                comparator="lora",
                relation="higher",
                scope="Llama 2 with 7 billion parameters, most at ranks in the hundreds",
                varies="rank_stabilised",
            ),
            Claim(
                text="A larger learning rate for B than for A gets there in fewer steps.",
                source="hayou2024loraplus",
                measure="steps_to_target",
                comparator="lora",
                relation="lower",
                scope="RoBERTa and GPT-2 on GLUE, Llama with 7 billion parameters",
                varies="lr_ratio",
            ),
            Claim(
                text="The best learning rate is about ten times that of full fine-tuning.",
                source="schulman2025lora",
                measure="best_lr",
                comparator="full",
                relation="equal",
                factor=10,
                margin=2,
                scope="Llama 3 and Qwen 3 models, supervised fine-tuning and reinforcement learning",
            ),
            Claim(
                text="Applied to all layers it scores higher than on attention alone.",
                source="schulman2025lora",
                measure="score",
                comparator="lora",
                relation="higher",
                scope="Llama 3 and Qwen 3 models, also with as many parameters",
                varies="targets",
            ),
            Claim(
                text="Larger batches cost it more than full fine-tuning.",
                source="schulman2025lora",
                measure="score",
                comparator="full",
                relation="lower",
                scope="Llama 3 models, batches of some hundred examples",
                untestable="A suite has one batch size for each task: it takes two suites, side by side.",
            ),
            Claim(
                text="A critic's claim: no more stable from run to run than full fine-tuning.",
                source="chen2022revisiting",
                measure="score_spread",
                comparator="full",
                relation="at least",
                scope="RoBERTa on tasks of GLUE and SuperGLUE",
            ),
        ),
    )

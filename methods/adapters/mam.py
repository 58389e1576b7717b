"""MAM, the mix-and-match adapter: prefixes in attention, scaled parallel adapters at the feed-forward blocks.

    attention: softmax(q [K_l; k]ᵀ / √d) [V_l; v];   FFN: h = FFN(x) + s · (U σ(D x + b_D) + b_U)

He, Zhou, Ma, Berg-Kirkpatrick, Neubig. Towards a Unified View of Parameter-Efficient Transfer Learning. ICLR 2022.
The paper takes prefixes of length 30, produced by a network while training, and adapters of width 512 on BART-large;
here the network is an option, and the adapters are by default as wide as the other methods', so that sizes compare. As
in `prefix_tuning`, an encoder-decoder has prefixes in the attention of its decoder to its encoder too.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from typing_extensions import override

from methods.adapters.parallel_adapter import insert_parallel_adapters
from methods.anatomy import Anatomy
from methods.base import Card, Claim, LearningRate, NotInPeft, PeftForm, Range, TaskInfo
from methods.composition.functions import Nonlinearity
from methods.prompts.prefix_tuning import PrefixTuning


class MAM(PrefixTuning):
    """He et al., ICLR 2022: prefixes and parallel adapters."""

    # The rate is the adapters', which hold most of the parameters, and not that of prefixes alone.
    lr: LearningRate = 1e-3
    length: int = Field(30, ge=1, le=1024, description="keys and values per attention")
    bottleneck: int = Field(64, ge=1, le=65536, description="width m of the adapters")
    scale: float = Field(4.0, gt=0, le=100, description="factor s of the adapters' output")
    nonlinearity: Nonlinearity = Field("relu", description="σ between the adapters' two projections")

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        super().adapt(anatomy, task)
        insert_parallel_adapters(anatomy, self.bottleneck, self.scale, self.nonlinearity)

    @override
    def as_peft(self, anatomy: Anatomy) -> PeftForm:
        raise NotInPeft("peft has prefixes, and no parallel adapters to go with them")

    card: ClassVar[Card] = Card(
        name="mam",
        title="MAM adapter",
        family="adapter",
        composition="function",
        formula=r"\mathrm{softmax}(q [K_l; k]^\top / \sqrt{d}) [V_l; v], \quad"
        r" h = \mathrm{FFN}(x) + s \left(U \, \sigma(D x + b_D) + b_U\right)",
        summary=(
            "Two methods at once: a few learned keys and values in every attention of every layer, and a small scaled"
            " network beside every feed-forward block. Both are trained and stored for each task; neither can be"
            " folded into the backbone, so both add to the cost of every pass."
        ),
        citation="he2022unified",
        search=(Range("lr", 1e-4, 1e-2, "two decades around the default"),),
        claims=(
            Claim(
                text="Matches full fine-tuning.",
                source="he2022unified",
                measure="score",
                comparator="full",
                relation="at least",
                margin=0.01,
                scope="BART-large on XSum with 6.7 % of the parameters; RoBERTa-base on MNLI and SST-2 with 0.5 %",
            ),
            Claim(
                text="Prefixes and parallel adapters together do better than prefixes alone.",
                source="he2022unified",
                measure="score",
                comparator="prefix_tuning",
                relation="higher",
                scope="BART-large on XSum",
            ),
        ),
    )

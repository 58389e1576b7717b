"""LT-SFT: lottery-ticket sparse fine-tuning.

    θ' = θ + δ,   ‖δ‖₀ = k = ⌊density · n⌋

1. *select*: fine-tune the whole backbone; keep the k entries of θ that moved furthest.
2. Rewind everything, the head included, to where it started.
3. *tune*: train those k entries alone.

Ansell, Ponti, Korhonen, Vulić. Composable Sparse Fine-Tuning for Cross-Lingual Transfer. ACL 2022. As in the
authors' recipes, layer normalisation stays frozen throughout and is not counted in n. Their L1 pull towards
the pretrained weights is left out. Both phases are paid from the one budget of optimiser steps.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Range, TaskInfo
from methods.composition.parameters import mask_candidates
from methods.sparse.masked import SelectingMethod


class LTSFT(SelectingMethod):
    """Ansell et al., ACL 2022: the entries that moved furthest in full fine-tuning are trained."""

    lr: float = Field(1e-4, gt=0, le=10, description="peak learning rate of AdamW, in both phases")

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        for parameter in mask_candidates(anatomy).values():
            parameter.requires_grad_(True)
        anatomy.remember()

    @override
    def end_selection(self, anatomy: Anatomy) -> dict[str, Tensor]:
        """How far every entry moved. The head starts afresh as well."""
        moved = {name: score for name, score in anatomy.movement().items() if name not in anatomy.head}
        anatomy.rewind()
        return moved

    card = Card(
        name="lt_sft",
        title="LT-SFT",
        family="sparse",
        composition="parameter",
        formula=r"\theta' = \theta + \delta, \quad \Vert\delta\Vert_0 = k",
        summary=(
            "Part of the budget goes into fine-tuning the whole backbone, to see which entries of its weights move"
            " furthest; everything is then rewound, and only those entries are trained. Finding them takes the"
            " memory of full fine-tuning, once; afterwards optimiser state is proportional to the number of chosen"
            " entries. Stored are their positions and values. They are added to the weights, so inference costs"
            " what the backbone costs."
        ),
        citation="ansell2022ltsft",
        search=(Range("lr", 1e-5, 1e-3, "two decades around the default"),),
        claims=(
            Claim(
                text="The entries that move furthest in full fine-tuning are a better choice than random ones.",
                source="ansell2022ltsft",
                measure="score",
                comparator="random_mask",
                relation="higher",
                scope="multilingual BERT and XLM-R, cross-lingual transfer",
                matched=("adapter_parameters",),
            ),
            Claim(
                text="A sparse fine-tuning adds no cost at inference.",
                source="ansell2022ltsft",
                measure="merged_inference_seconds",
                comparator="backbone",
                relation="at most",
                margin=0.05,
            ),
            Claim(
                text="Differences learnt for a task and for a language can be added, and beat stacked adapters.",
                source="ansell2022ltsft",
                measure="score",
                comparator="madx",
                relation="higher",
                scope="multilingual BERT and XLM-R, cross-lingual transfer",
                untestable="It takes tasks in several languages, and no suite here adds what two trainings learnt.",
            ),
        ),
    )

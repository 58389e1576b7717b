"""Random mask: entries chosen by chance, the control of every method that chooses them by a criterion.

    θ' = θ + δ,   ‖δ‖₀ = k = ⌊density · n⌋

All sets of k entries are equally likely, of the n that LT-SFT chooses from: the backbone without normalisation.
Nothing has to be found out first, so that the whole budget goes into training them; a criterion has to make up for
the steps that it costs.

Ansell, Ponti, Korhonen, Vulić. Composable Sparse Fine-Tuning for Cross-Lingual Transfer. ACL 2022, where random
sparse fine-tuning is a baseline; there it is trained for as many steps as LT-SFT's second phase.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from methods.anatomy import Anatomy
from methods.base import Card, LearningRate, Method, TaskInfo
from methods.composition.parameters import (
    add_sparse_delta,
    load_sparse_state,
    mask_candidates,
    random_entries,
    remove_sparse_deltas,
    sparse_state,
    split_entries,
)


class RandomMask(Method):
    card = Card(
        name="random_mask",
        title="Random mask",
        family="sparse",
        composition="parameter",
        formula=r"\theta' = \theta + \delta, \quad \Vert\delta\Vert_0 = k",
        summary=(
            "Entries of the backbone's weights are drawn at random before training, and only they are trained. What"
            " a method gains that chooses its entries by a criterion shows against this one. Optimiser state is"
            " proportional to the number of entries from the first step on; stored are their positions and values."
            " They are added to the weights, so inference costs what the backbone costs."
        ),
        citation="ansell2022ltsft",
    )

    lr: LearningRate = 5e-4
    density: float = Field(0.05, gt=0, le=1, description="share of the backbone's entries that are tuned")

    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()
        candidates = mask_candidates(anatomy)
        total = sum(parameter.numel() for parameter in candidates.values())
        chosen = random_entries(total, max(1, int(self.density * total)))
        for name, indices in split_entries(chosen, candidates).items():
            add_sparse_delta(anatomy.model, name, indices)

    def merge(self, model: nn.Module) -> bool:
        return remove_sparse_deltas(model, merge=True)

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        return sparse_state(model)

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        load_sparse_state(model, state)

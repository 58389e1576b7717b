"""Random mask: entries chosen by chance, the control of every method that chooses them by a criterion.

    θ' = θ + δ,   ‖δ‖₀ = k = ⌊density · n⌋

All sets of k entries are equally likely, of the n that LT-SFT chooses from: the backbone without normalisation.
Nothing has to be found out first, so that the whole budget goes into training them; a criterion has to make up for
the steps that it costs.

Ansell, Ponti, Korhonen, Vulić. Composable Sparse Fine-Tuning for Cross-Lingual Transfer. ACL 2022, where random
sparse fine-tuning is a baseline; there it is trained for as many steps as LT-SFT's second phase.
"""

from __future__ import annotations

from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, LearningRate, Range, TaskInfo
from methods.composition.parameters import mask_candidates, random_entries, split_entries
from methods.sparse.masked import MaskedMethod


class RandomMask(MaskedMethod):
    """Ansell et al., ACL 2022, the baseline: entries drawn by chance are trained."""

    lr: LearningRate = 5e-4

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        candidates = mask_candidates(anatomy)
        total = sum(parameter.numel() for parameter in candidates.values())
        self.tune(anatomy, split_entries(random_entries(total, self.count(candidates)), candidates))

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
        search=(Range("lr", 5e-5, 5e-3, "two decades around the default"),),
    )

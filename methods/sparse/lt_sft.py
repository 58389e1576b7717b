"""Lottery-ticket sparse fine-tuning (Ansell, Ponti, Korhonen, Vulić, ACL 2022, arXiv 2110.07560).

    select:  θ₁ = the backbone after full fine-tuning;  m = the k entries with the largest |θ₁ - θ₀|
    tune:    θ' = θ₀ + m ⊙ δ,  δ trained from zero

Both phases spend from the one budget of optimiser steps. As in the authors' experiments, layer
normalisations stay frozen and are not among the candidates. Between the phases everything is rewound, the
head included. Stored are k indices and k values.
"""

from typing import Any, ClassVar

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn

from methods.base import Card, Claim, LearningRate, Method, Phase
from methods.composition import parameters


class LTSFT(Method):
    card: ClassVar[Card] = Card(
        name="lt_sft",
        title="LT-SFT",
        family="sparse",
        composition="parameter",
        formula=(
            r"\theta' = \theta_0 + m \odot \delta, \quad"
            r" m_i = 1 \; \mathrm{iff} \; |\theta_1 - \theta_0|_i \; \mathrm{is\ among\ the\ top}\ k"
        ),
        summary=(
            "First fine-tunes the whole backbone to find the entries that change most, then rewinds and trains those"
            " alone. The selecting phase costs what full fine-tuning costs, in time and in memory; what is stored is"
            " sparse, adds up with other sparse differences, and leaves inference as it was."
        ),
        citation="ansell2022ltsft",
        bibtex="""@inproceedings{ansell2022ltsft,
  author = {Ansell, Alan and Ponti, Edoardo and Korhonen, Anna and Vuli{\\'c}, Ivan},
  title = {Composable Sparse Fine-Tuning for Cross-Lingual Transfer},
  booktitle = {Proceedings of the 60th Annual Meeting of the Association for Computational Linguistics (ACL)},
  year = {2022},
  eprint = {2110.07560},
  archiveprefix = {arXiv},
}""",
        claims=(
            Claim(
                text="A sparse fine-tuning adds no cost at inference.",
                source="ansell2022ltsft",
                measure="merged_inference_ratio",
                comparator="full",
                relation="equal",
                margin=0.05,
                scope="multilingual BERT and XLM-R, cross-lingual transfer",
            ),
        ),
    )
    lr: LearningRate = 1e-4
    density: float = Field(0.01, gt=0, le=1, description="share of the candidates that is tuned")
    select_share: float = Field(0.5, gt=0, lt=1, description="share of the optimiser steps spent on selecting")

    _start: dict[str, Tensor] = PrivateAttr(default_factory=dict)

    def phases(self):
        return (Phase("select", self.select_share), Phase("tune", 1 - self.select_share))

    def adapt(self, anatomy, task):
        anatomy.freeze()
        norms = {id(p) for m in anatomy.model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
        for parameter in anatomy.backbone.parameters():
            parameter.requires_grad_(id(parameter) not in norms)

    def on_phase(self, anatomy, phase):
        trainable = {name: p for name, p in anatomy.model.named_parameters() if p.requires_grad}
        if phase.name == "select":
            self._start = {name: p.detach().clone() for name, p in trainable.items()}
            return
        with torch.no_grad():
            change = {n: (p - self._start[n]).abs().flatten() for n, p in trainable.items() if n not in anatomy.head}
            for name, parameter in trainable.items():
                parameter.copy_(self._start[name])
        self._start = {}
        parameters.add_sparse(anatomy.model, _largest(change, self.density))

    def merge(self, model):
        return parameters.merge(model)

    def state(self, model):
        return super().state(model) | parameters.sparse_indices(model)

    def load_state(self, model, state):
        indices = parameters.sparse_indices(state)
        parameters.add_sparse(model, parameters.places(indices))
        super().load_state(model, {name: value for name, value in state.items() if name not in indices})


def _largest(change: dict[str, Tensor], density: float) -> dict[str, Tensor]:
    """The flat indices, by parameter, of the `density` largest entries of all the changes together."""
    sizes = [values.numel() for values in change.values()]
    count = max(1, round(density * sum(sizes)))
    chosen = torch.topk(torch.cat(list(change.values())), count, sorted=False).indices.sort().values
    found: dict[str, Any] = {}
    start = 0
    for name, size in zip(change, sizes, strict=True):
        inside = chosen[(chosen >= start) & (chosen < start + size)] - start
        if inside.numel():
            found[name] = inside
        start += size
    return found

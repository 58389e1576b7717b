"""Zero-shot prompting: the backbone as it is, asked in words. Nothing is trained.

    y = argmax_c  log p_θ(c | x) / |c|      for a choice; the likeliest continuation for a free answer

Radford, Wu, Child, Luan, Amodei, Sutskever. Language Models are Unsupervised Multitask Learners. 2019.
"""

from __future__ import annotations

from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, MethodBase, TaskInfo


class ZeroShot(MethodBase):
    """Radford et al., 2019: asked as it is, without training."""

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        return prompting_needs_text(anatomy)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()

    card = Card(
        name="zero_shot",
        title="Zero-shot prompting",
        family="baseline",
        composition="none",
        formula=r"y = \arg\max_c \log p_\theta(c \mid x) / |c|",
        summary=(
            "The backbone is asked in words, without training and without examples; of several possible answers the"
            " likeliest per character counts. What any tuning has to be held against."
        ),
        citation="radford2019language",
    )


def prompting_needs_text(anatomy: Anatomy) -> str | None:
    """A fresh head, untrained, would answer at random."""
    return "a prompt is answered by the language model's own head (form: text)" if anatomy.head else None

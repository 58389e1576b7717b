"""Few-shot prompting (in-context learning): a few training examples stand in the prompt. Nothing is trained.

    y = argmax_c  log p_θ(c | x₁ y₁ … x_k y_k x) / |c|

Brown et al. Language Models are Few-Shot Learners. NeurIPS 2020. The examples are the first k of those that a trained
method gets under the same seed, shown with every question: what is saved in training is paid at inference.
"""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, MethodBase, TaskInfo
from methods.baselines.zero_shot import prompting_needs_text


class FewShot(MethodBase):
    """Brown et al., NeurIPS 2020: `shots` solved examples in the prompt, no training."""

    shots: int = Field(4, ge=1, le=64, description="examples in the prompt")

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        return prompting_needs_text(anatomy)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        anatomy.freeze()

    @override
    def demonstrations(self) -> int:
        return self.shots

    card = Card(
        name="few_shot",
        title="Few-shot prompting",
        family="baseline",
        composition="input",
        formula=r"y = \arg\max_c \log p_\theta(c \mid x_1 y_1 \dots x_k y_k\, x) / |c|",
        summary=(
            "A few training examples with their answers are put before every question; nothing is trained and nothing"
            " is stored but the examples. Every question becomes longer by all of them, and so slower to answer."
        ),
        citation="brown2020language",
    )

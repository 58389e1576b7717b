"""SPoT: a prompt that starts from another task's.

1. *source*: prompt tuning on the source task.
2. *tune*: prompt tuning on the task itself, from the prompt that was learnt; the head goes back to its start.

Vu, Lester, Constant, Al-Rfou, Cer. SPoT: Better Frozen Model Adaptation through Soft Prompt Transfer. ACL 2022. The
paper learns source prompts on a mixture of tasks, or retrieves them from a library by similarity, and does not count
their training; here the source is one task, and both phases are paid from the one budget of optimiser steps.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import Card, Claim, Phase, Range, TaskInfo
from methods.prompts.prompt_tuning import PromptTuning


class SPoT(PromptTuning):
    """Vu et al., ACL 2022: prompt tuning that starts from another task's prompt."""

    source: str = Field("imdb", min_length=1, description="task on which the prompt is learnt first")
    source_share: float = Field(0.5, gt=0, lt=1, description="share of the budget that the source task takes")

    @override
    def unsupported(self, anatomy: Anatomy, task: TaskInfo) -> str | None:
        if self.source in task.members:
            return f"{self.source} is the source of the prompt, and would be its own source"
        return super().unsupported(anatomy, task)

    @override
    def adapt(self, anatomy: Anatomy, task: TaskInfo) -> None:
        super().adapt(anatomy, task)
        anatomy.remember()

    @override
    def phases(self) -> tuple[Phase, ...]:
        return (Phase("source", self.source_share, task=self.source), Phase("tune", 1 - self.source_share))

    @override
    def on_phase(self, anatomy: Anatomy, phase: Phase, steps: int) -> None:
        if phase.name == "tune":
            anatomy.rewind(anatomy.head)

    @override
    def progress(self, anatomy: Anatomy) -> dict[str, Any] | None:
        """Nothing: what the head goes back to is drawn by the seed."""
        return {}

    card = Card(
        name="spot",
        title="SPoT",
        family="soft-prompt",
        composition="input",
        formula=r"y = f_\theta([P; E(x)]), \quad P_0 = \arg\min_P \mathcal{L}_{\mathrm{source}}(P)",
        summary=(
            "Prompt tuning whose vectors start from those learnt on another task. Part of the budget goes into the"
            " source task; the prompt is then carried over, the head is reset, and the rest of the budget goes into"
            " the task itself. What is trained, stored and computed at inference is the same as with prompt tuning."
            " A source prompt can be learnt once and used for many tasks, which the budget here does not credit."
        ),
        citation="vu2022spot",
        search=(Range("lr", 5e-3, 5e-1, "the paper used 0.3", "vu2022spot"),),
        claims=(
            Claim(
                text="Starting from a source task's prompt scores higher than prompt tuning alone.",
                source="vu2022spot",
                measure="score",
                comparator="prompt_tuning",
                relation="higher",
                scope="T5 on GLUE and SuperGLUE, where learning the source prompt is not paid from the budget",
            ),
        ),
    )

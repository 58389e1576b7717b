"""Which form a task takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.forms.base import Form, NoSuchForm
from bench.forms.mixture import Mixture
from bench.forms.sequence import Classification, MultipleChoice, Regression
from bench.forms.text import Generation, LanguageModelling, Likelihood, Prompted, Row
from bench.forms.token import ExtractiveQA, Tagging

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from records.cell import Budget, FormName
    from tasks.base import Task

HEADS: dict[str, type[Form]] = {
    "classification": Classification,
    "regression": Regression,
    "multiple choice": MultipleChoice,
    "tagging": Tagging,
    "extractive QA": ExtractiveQA,
}
TEXTS: dict[str, type[Prompted]] = {
    "classification": Likelihood,
    "multiple choice": Likelihood,
    "generation": Generation,
}


def form_of(
    task: Task, tokenizer: PreTrainedTokenizerBase, budget: Budget, name: FormName, demonstrations: Sequence[Row] = ()
) -> Form:
    """Raises NoSuchForm where the task's kind has no form of that name."""
    if task.kind == "mixture":
        members = [form_of(member, tokenizer, budget, name) for member in task.tasks]  # type: ignore[attr-defined]
        return Mixture(task, tokenizer, budget.max_length, members)
    if task.kind == "language modelling":
        return LanguageModelling(task, tokenizer, budget.max_length)
    if name == "text" and task.kind in TEXTS:
        return TEXTS[task.kind](task, tokenizer, budget.max_length, budget.max_target_length, demonstrations)
    if name == "head" and task.kind in HEADS:
        return HEADS[task.kind](task, tokenizer, budget.max_length)
    raise NoSuchForm(f"{task.kind} has no form {name!r}")

"""Which form a task takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    budget: Budget,
    name: FormName,
    demonstrations: Sequence[Row] = (),
    encoder_decoder: bool = False,
) -> Form:
    """The form of that name for a model that is an encoder-decoder, or not. Raises NoSuchForm where the task's kind has
    none."""
    length = budget.max_length
    if task.kind == "mixture":
        own: Any = task
        members = [form_of(each, tokenizer, budget, name, encoder_decoder=encoder_decoder) for each in own.tasks]
        return Mixture(task, tokenizer, length, members)
    if task.kind == "language modelling":
        return LanguageModelling(task, tokenizer, length, encoder_decoder)
    if name == "text" and task.kind in TEXTS:
        answer = budget.max_target_length
        return TEXTS[task.kind](task, tokenizer, length, answer, demonstrations, encoder_decoder)
    if name == "head" and task.kind in HEADS:
        return HEADS[task.kind](task, tokenizer, length, encoder_decoder)
    raise NoSuchForm(f"{task.kind} has no form {name!r}")

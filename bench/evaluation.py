"""Predictions of a model on a split, and their score."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from bench import ranks
from bench.forms.base import Form, Predicted
from bench.scoring import checked_scores, require_finite

if TYPE_CHECKING:
    from torch import nn


@torch.no_grad()
def ask(
    model: nn.Module, loader: Iterable[dict[str, Any]], form: Form, split: str = "validation", when: str = ""
) -> Predicted:
    """What the model makes of a split, a row per example, in the loader's order. Leaves the model in evaluation mode.
    Raises Diverged, which names the split and `when`, where the loss is not finite."""
    ranks.require_same(model)
    model.eval()
    loss, terms = 0.0, 0
    lists: tuple[list[Any], ...] = ([], [], [], [])
    for found in ranks.gathered([(n, form.predict(model, batch)) for n, batch in ranks.own_batches(loader)]):
        loss, terms = loss + found.loss, terms + found.terms
        for own, more in zip(lists, found[2:], strict=True):
            own += more
    require_finite(loss, split, when)
    return Predicted(loss, terms, *lists)


def evaluate(
    model: nn.Module, loader: Iterable[dict[str, Any]], form: Form, split: str = "validation", when: str = ""
) -> tuple[float, dict[str, float]]:
    """Mean loss per example (per token where the form's loss is one of tokens), and the task's metrics. Raises as `ask`
    does, before anything is scored; ScoreError where the task's scores are not what its card promises."""
    found = ask(model, loader, form, split, when)
    scores = checked_scores(form.task, found.predictions, found.references)
    return found.loss / max(found.terms, 1), scores

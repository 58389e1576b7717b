"""Predictions of a model on a split, and their score."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from bench.forms.base import Form
from bench.scoring import checked_scores, require_finite

if TYPE_CHECKING:
    from torch import nn


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Iterable[dict[str, Any]], form: Form, split: str = "validation", when: str = ""
) -> tuple[float, dict[str, float]]:
    """Mean loss per example (per token where the form's loss is one of tokens), and the task's metrics. Leaves the
    model in evaluation mode. Raises Diverged, which names the split and `when`, where the loss is not finite, before
    anything is scored; ScoreError where the task's scores are not what its card promises."""
    model.eval()
    loss, terms, predictions, references = 0.0, 0, [], []
    for batch in loader:
        found = form.predict(model, batch)
        loss, terms = loss + found.loss, terms + found.terms
        predictions += found.predictions
        references += found.references
    require_finite(loss, split, when)
    return loss / max(terms, 1), checked_scores(form.task, predictions, references)

"""Predictions of a model on a split, and their score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.forms.base import Form

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader, form: Form) -> tuple[float, dict[str, float]]:
    """Mean loss per example (per token where the form's loss is one of tokens), and the task's metrics. Leaves the
    model in evaluation mode."""
    model.eval()
    loss, terms, predictions, references = 0.0, 0, [], []
    for batch in loader:
        found = form.predict(model, batch)
        loss, terms = loss + found.loss, terms + found.terms
        predictions += found.predictions
        references += found.references
    return loss / max(terms, 1), form.task.score(predictions, references)

"""Predictions of a model on a split, and their score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from tasks.base import Task

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader, task: Task) -> tuple[float, dict[str, float]]:
    """Mean cross-entropy per example, and the task's metrics. Leaves the model in evaluation mode."""
    model.eval()
    losses, predictions, references = [], [], []
    for batch in loader:
        labels = batch.pop("labels")
        logits = model(**batch).logits.float()
        losses.append(F.cross_entropy(logits, labels, reduction="sum").item())
        predictions += logits.argmax(-1).tolist()
        references += labels.tolist()
    return sum(losses) / len(references), task.score(predictions, references)

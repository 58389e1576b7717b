"""Metrics by name, all from scikit-learn; fractions, higher is better."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import accuracy_score, f1_score


def classification(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    """Accuracy, and the F1 score averaged over the classes without weights. Raises ValueError unless the
    two are of equal length."""
    return {
        "accuracy": float(accuracy_score(references, predictions)),
        "f1_macro": float(f1_score(references, predictions, average="macro", zero_division=0.0)),
    }

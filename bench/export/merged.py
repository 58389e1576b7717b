"""A cell's method folded into its backbone: a folder that transformers loads, and that needs nothing of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench.backbones.loading import architecture
from bench.export.base import TOLERANCE, ExportError, Learnt, difference, logits, probe

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def merge(learnt: Learnt) -> PreTrainedModel:
    """The plain model with what was learnt in its weights, in full precision. Raises ExportError where the method does
    not merge."""
    inputs = probe(learnt.anatomy.model)
    expected = logits(learnt.anatomy.model, inputs)
    if not learnt.method.merge(learnt.anatomy.model):
        raise ExportError(f"{learnt.method.card.name} cannot be folded into the backbone's weights; use --to native")
    plain = learnt.plain()
    weights = learnt.anatomy.model.state_dict()
    if strange := sorted(plain.state_dict().keys() ^ weights.keys()):
        raise ExportError(f"what it merges into is not the plain backbone ({strange[0]}); use --to native")
    plain.load_state_dict(weights)
    if (gap := difference(expected, logits(plain, inputs))) > TOLERANCE:
        raise ExportError(f"merged, it answers otherwise: logits differ by up to {gap:.2g}; use --to native")
    return plain


def write(folder: Path, plain: PreTrainedModel, labels: Sequence[str], dtype: torch.dtype) -> None:
    """In that precision, with the labels' names in the configuration."""
    if len(labels) == plain.config.num_labels:
        plain.config.id2label = dict(enumerate(labels))
        plain.config.label2id = {label: index for index, label in enumerate(labels)}
    plain.to(dtype).save_pretrained(folder)  # type: ignore[arg-type]


def load(folder: Path, learnt: Learnt, dtype: torch.dtype) -> Any:
    """By transformers' own loader."""
    import transformers

    auto = getattr(transformers, architecture(learnt.head, learnt.anatomy.config))
    return auto.from_pretrained(folder, dtype=dtype, local_files_only=True).eval()

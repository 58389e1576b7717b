"""When it is safe to reuse what was computed from parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fingerprint(module: nn.Module, *others: Tensor) -> tuple[tuple[int, int], ...] | None:
    """Of the values of a module's parameters and of `others`: equal fingerprints mean equal values.

    None where the values may change unseen: fused optimisers write to parameters without raising their
    version, but only while there is a gradient to apply.
    """
    if module.training or torch.is_grad_enabled():
        return None
    marks = []
    for tensor in (*module.parameters(), *others):
        if tensor.grad is not None:
            return None
        marks.append((tensor.data_ptr(), tensor._version))
    return tuple(marks)

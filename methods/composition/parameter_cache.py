"""What is computed from parameters, kept for as long as they stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


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


class ParameterCache(Generic[T]):
    """What was last computed from a module's parameters; empty in training."""

    def __init__(self) -> None:
        self._cached: tuple[object, T] | None = None

    def get(self, compute: Callable[[], T], module: nn.Module) -> T:
        """What `compute` gives, which depends on the module's parameters alone: cached, or computed now."""
        now = fingerprint(module)
        if now is None:
            self._cached = None
            return compute()
        if self._cached is None or self._cached[0] != now:
            self._cached = now, compute()
        return self._cached[1]

"""When it is safe to reuse what was computed from parameters."""

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


class Kept(Generic[T]):
    """What was last computed from a module's parameters, for as long as they stay as they were."""

    def __init__(self) -> None:
        self._kept: tuple[object, T] | None = None

    def get(self, compute: Callable[[], T], module: nn.Module) -> T:
        now = fingerprint(module)
        if now is None:
            self._kept = None
            return compute()
        if self._kept is None or self._kept[0] != now:
            self._kept = now, compute()
        return self._kept[1]

"""What hypernetworks have in common: which tasks a batch is of, and weights that are generated rather than stored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from methods.anatomy import Anatomy
from methods.base import TaskInfo
from methods.composition.functions import Nonlinearity, bottleneck
from methods.composition.parameter_cache import ParameterCache


class Batch:
    """Which of the tasks each example of the present batch is from: `task_ids` (batch,), None for a single task.

    They stay until the next batch, since gradient checkpointing runs layers again in the backward pass.
    """

    def __init__(self, tasks: tuple[str, ...]) -> None:
        self.tasks = tasks
        self.task_ids: Tensor | None = None

    def take_task_ids(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A hook: takes `task_ids` off the model's arguments. Raises ValueError where they are missing."""
        kwargs = dict(kwargs)
        self.task_ids = kwargs.pop("task_ids", None)
        if self.task_ids is None:
            raise ValueError(f"a model of several tasks takes task_ids (batch,), indices into {', '.join(self.tasks)}")
        return args, kwargs


def read_tasks(anatomy: Anatomy, task: TaskInfo) -> Batch:
    """In a mixture, the model takes `task_ids` from here on."""
    batch = Batch(task.members)
    if len(task.members) > 1:
        anatomy.model.register_forward_pre_hook(batch.take_task_ids, with_kwargs=True)
        anatomy.model.takes_task_ids = True  # type: ignore[assignment]
    return batch


class Hypernetwork(nn.Module, ABC):
    """Generates the weights of places in the backbone, for all tasks at once."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.batch = batch

    @abstractmethod
    def generate(self, *place: int) -> tuple[Tensor, ...]:
        """The weights at a place, each (tasks, …)."""

    @override
    def forward(self, *place: int) -> tuple[Tensor, ...]:
        # In full precision: rounding here would be the same for all tokens, and would not average out.
        with torch.autocast(next(self.parameters()).device.type, enabled=False):
            return self.generate(*place)


class GeneratedWeights:
    """The weights of one place: those of the task, or, in a mixture, (batch, …) with each example's own. They are
    generated anew in training, and kept between evaluation batches.

    No module, so that the hypernetwork's parameters are registered once and not with every place.
    """

    def __init__(self, hypernetwork: Hypernetwork, *place: int) -> None:
        self.hypernetwork = hypernetwork
        self.place = place
        self._cache = ParameterCache[tuple[Tensor, ...]]()

    def __call__(self) -> tuple[Tensor, ...]:
        """In the order in which the hypernetwork generates them."""
        weights = self._cache.get(lambda: self.hypernetwork(*self.place), self.hypernetwork)
        batch = self.hypernetwork.batch
        if len(batch.tasks) == 1:
            return tuple(weight[0] for weight in weights)  # from (1, …)
        assert batch.task_ids is not None
        return tuple(weight.index_select(0, batch.task_ids) for weight in weights)  # (tasks, …) to (batch, …)


class AdapterWeights(NamedTuple):
    """Those of one adapter: D (m × d), b_D (m), U (d × m), b_U (d); and γ, β (d) where it ends in a normalisation."""

    down: Tensor
    down_bias: Tensor
    up: Tensor
    up_bias: Tensor
    scale: Tensor | None = None
    shift: Tensor | None = None


class AdapterGenerator(nn.Module):
    """Linear maps from a condition (…, c) to an adapter's weights (…, m, d) and so on.

    Generated matrices start with variance 1 / in, as those of an ordinary layer, and all else from zero; without a
    normalisation, whose γ is zero, so does U. Either way the adapter changes nothing at the start.
    """

    def __init__(self, condition: int, size: int, width: int, norm: bool) -> None:
        super().__init__()
        shapes: dict[str, tuple[int, ...]] = {
            "down": (width, size),
            "down_bias": (width,),
            "up": (size, width),
            "up_bias": (size,),
        }
        self.shapes = shapes | ({"scale": (size,), "shift": (size,)} if norm else {})
        random = ("down", "up") if norm else ("down",)
        self.maps = nn.ModuleDict(
            {name: weight_generator(condition, shape, name in random) for name, shape in self.shapes.items()}
        )

    @override
    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """In the order of `AdapterWeights`."""
        return tuple(
            self.maps[name](condition).view(*condition.shape[:-1], *shape) for name, shape in self.shapes.items()
        )


def weight_generator(condition: int, shape: tuple[int, ...], random: bool) -> nn.Linear:
    """From a condition whose entries are of about unit variance to the entries of a tensor: of variance 1 / in,
    where `in` is its last dimension, if `random`; else zero at the start."""
    linear = nn.Linear(condition, math.prod(shape))
    nn.init.normal_(linear.weight, std=(condition * shape[-1]) ** -0.5 if random else 0.0)
    nn.init.zeros_(linear.bias)
    return linear


class GeneratedAdapter(nn.Module):
    """LN_{γ,β}(U σ(D h + b_D) + b_U) with generated weights, or the same without the normalisation."""

    def __init__(self, source: Callable[[], tuple[Tensor, ...]], nonlinearity: Nonlinearity) -> None:
        super().__init__()
        self.source = source
        self.nonlinearity: Nonlinearity = nonlinearity

    @override
    def forward(self, h: Tensor) -> Tensor:
        w = AdapterWeights(*self.source())
        rows = by_example(h, w.down) if w.down.dim() == 3 else h  # (batch, rows, d), or (…, d) with weights for all
        change = bottleneck(rows, w.down, w.down_bias, w.up, w.up_bias, self.nonlinearity)  # as rows
        if w.scale is not None and w.shift is not None:
            scale, shift = (part.to(change.dtype) for part in (w.scale, w.shift))
            if scale.dim() == 1:
                change = F.layer_norm(change, change.shape[-1:], scale, shift)
            else:
                change = F.layer_norm(change, change.shape[-1:]) * scale[:, None] + shift[:, None]
        return change.reshape(h.shape)


def by_example(x: Tensor, weights: Tensor) -> Tensor:
    """x as (batch, rows, d) for weights (batch, …): an architecture may have joined examples and positions, and a
    model may read every example several times in a row, as beams or choices."""
    return x.reshape(len(weights), -1, x.shape[-1])

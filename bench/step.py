"""The optimiser step, the same one in training and in profiling: what is profiled is what is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from bench import ranks
from bench.data import IDLE, MICRO_BATCHES
from bench.sharding import is_sharded, require_whole
from methods.base import Method, Phase

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn

    from bench.forms.base import Form
    from methods.anatomy import Anatomy
    from records.cell import Budget

# What a step is made of; what belongs to neither pass (clipping, the schedule, the method's own) is the optimiser's.
Part = Literal["forward", "backward", "optimizer"]


class PhaseTrainer:
    """Begins a phase of so many optimiser `steps`, with an optimiser and a schedule of its own, and makes its steps.

    `model` is the anatomy's as the accelerator has prepared it. The optimiser is AdamW over what is trainable in the
    phase, the head included; its learning rates rise linearly from 0 within the budget's warm-up and fall to 0 again;
    with `constant_rate` they stay what they are, as in a profile of a few steps. `state` is what another's `state()`
    was, in the same phase on a model adapted alike: it goes on from there.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        anatomy: Anatomy,
        method: Method,
        phase: Phase,
        steps: int,
        form: Form,
        budget: Budget,
        constant_rate: bool = False,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.model = model
        self.anatomy = anatomy
        self.method = method
        self.form = form
        self.max_grad_norm = budget.max_grad_norm
        method.on_phase(anatomy, phase, steps)
        if state is not None:
            method.load_progress(anatomy, state["method"])
            _load_tensors(anatomy.model, state["tensors"])
        ranks.require_same(anatomy.model)
        self.sharded = is_sharded(model)
        self.optimizer: Optimizer = accelerator.prepare(optimizer_of(anatomy, method, phase))
        share = _constant if constant_rate else partial(_linear, math.ceil(budget.warmup * steps), steps)
        self.schedule = LambdaLR(self.optimizer, share)
        require_whole(self.trained)
        self.done = 0
        self.lr = 0.0
        self._stamp: Callable[[Part], None] | None = None
        if state is not None:
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            self.done, self.lr = state["done"], state["lr"]
        model.train()

    @property
    def trained(self) -> list[Tensor]:
        """Every parameter of every group of the optimiser."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The batch's mean loss, with its graph."""
        return self.form.loss(self.model, batch)

    def backward(self, batch: dict[str, Any]) -> Tensor:
        """Adds the gradients of the batch's mean loss, micro-batch by micro-batch where it has them; returns that loss,
        detached."""
        total = torch.zeros((), device=self.accelerator.device)
        passes = zip_longest(batch.get(MICRO_BATCHES, [batch]), batch.get(IDLE, ()) if self.sharded else ())
        for part, idle in passes:
            losses = []
            if part is not None:
                losses.append(self.loss(batch) if part is batch else self.form.share_of_loss(self.model, part, batch))
            if idle is not None:
                losses.append(0.0 * self.loss(idle))
            loss = sum(losses[1:], losses[0])
            self._ended("forward")
            self.accelerator.backward(loss)
            self._ended("backward")
            total = total + loss.detach()
        return total

    def step(self, batch: dict[str, Any]) -> Tensor:
        """One optimiser step on a batch; returns its loss, detached."""
        loss = ranks.summed(self.trained, partial(self.backward, batch))
        self._ended("backward")
        self.done += 1
        self.method.after_backward(self.anatomy, self.done)
        self.accelerator.clip_grad_norm_(self.trained, self.max_grad_norm)
        self.lr = self.optimizer.param_groups[0]["lr"]
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.method.after_step(self.anatomy, self.done, self.optimizer)
        self._ended("optimizer")
        return loss

    @contextmanager
    def stamped(self, stamp: Callable[[Part], None]) -> Iterator[None]:
        """Within, a step calls `stamp` at the end of each part of it."""
        self._stamp = stamp
        try:
            yield
        finally:
            self._stamp = None

    def _ended(self, part: Part) -> None:
        if self._stamp is not None:
            self._stamp(part)

    def state(self, names: Collection[str]) -> dict[str, Any] | None:
        """All of the model and of the optimiser that the rest of the phase depends on, of parameters those of the
        `names`; None where the method cannot tell what it keeps elsewhere."""
        progress = self.method.progress(self.anatomy)
        if progress is None:
            return None
        model = self.anatomy.model
        parameters = {name: p.detach() for name, p in model.named_parameters() if name in names}
        return {
            "method": progress,
            "tensors": parameters | dict(model.named_buffers()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "done": self.done,
            "lr": self.lr,
        }


def _constant(step: int) -> float:
    return 1.0


def _linear(warmup: int, steps: int, step: int) -> float:
    """Of the learning rate, as transformers' linear schedule has it, whose module takes a second to import."""
    rises = step / max(warmup, 1)
    falls = (steps - step) / max(steps - warmup, 1)
    return rises if step < warmup else max(falls, 0.0)


@torch.no_grad()
def _load_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, value in tensors.items():
        own[name].copy_(value)


def optimizer_of(anatomy: Anatomy, method: Method, phase: Phase) -> AdamW:
    """AdamW over what the method trains in a phase, group by group, each at the phase's share of its learning rate."""
    groups = [{"lr": method.lr} | group for group in method.parameter_groups(anatomy) if group["params"]]
    for group in groups:
        group["lr"] *= phase.lr_scale
    return AdamW(groups, weight_decay=method.weight_decay, fused=True)

"""The one training loop, the same for every method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from bench.data import TaskData, eval_loader, train_loader
from bench.evaluation import evaluate
from bench.scoring import require_finite
from bench.step import PhaseTrainer
from methods.base import Method, Phase
from records.cell import Budget
from records.record import Evaluation

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor

    from methods.anatomy import Anatomy
    from records.cards import Metric


# Reading a loss waits for the device, so it is not done at every step.
STEPS_BETWEEN_LOOKS = 10


@dataclass
class Training:
    """What a training leaves behind, beside the trained model with its best checkpoint restored. `trainable`
    counts the entries of every parameter that the last phase trained."""

    steps: int
    trainable: dict[str, int] = field(default_factory=dict)
    train_tokens: int = 0
    best_step: int = 0
    validation: dict[str, float] = field(default_factory=dict)
    history: list[Evaluation] = field(default_factory=list)


def phase_ends(phases: tuple[Phase, ...], steps: int) -> list[int]:
    """The step after which each phase ends; the last ends at `steps`, and no phase is empty.

    Raises ValueError where there are fewer steps than phases, or the shares do not add up to 1.
    """
    if not math.isclose(sum(phase.share for phase in phases), 1.0):
        raise ValueError(f"the shares of the phases add up to {sum(p.share for p in phases):g}, not to 1")
    if steps < len(phases):
        raise ValueError(f"{steps} optimiser steps are too few for {len(phases)} phases; raise the budget")
    ends, spent = [], 0.0
    for index, phase in enumerate(phases):
        spent += phase.share
        earliest, latest = index + 1, steps - (len(phases) - index - 1)
        ends.append(min(max(round(spent * steps), earliest), latest))
    return ends


def stop_step(stop: float | None, steps: int) -> int:
    """The step after which training ends, of so many."""
    return steps if stop is None else max(1, math.ceil(round(stop * steps, 9)))


def train(
    accelerator: Accelerator,
    anatomy: Anatomy,
    method: Method,
    data: TaskData,
    budget: Budget,
    seed: int,
    progress: Callable[[int, int], None],
    sources: Mapping[str, TaskData] | None = None,
    alive: Callable[[Iterable[dict[str, Any]]], Iterable[dict[str, Any]]] = iter,
    stop: float | None = None,
) -> Training:
    """Trains an adapted model in place within the budget, and restores its best checkpoint: the one with
    the best validation score among those of the last phase, the lower validation loss breaking ties.

    A phase that names a task runs on that one of the `sources`. A method without phases learns nothing and is only
    validated. `progress` is called after every step with (steps done, steps in all), and `alive` hands on the batches
    that are validated on: whoever watches learns that the work goes on. With `stop`, training ends, and is validated,
    after that share of its steps, rounded up: the best checkpoint is then among those of the phase that was reached.
    Raises Diverged where a loss is not finite.
    """
    tasks: list[tuple[str | None, TaskData]] = [(None, data), *(sources or {}).items()]
    streams = {name: TaskStream(accelerator, each, budget, seed) for name, each in tasks}
    model = accelerator.prepare(anatomy.model)
    steps_per_epoch = streams[None].steps_per_epoch
    phases = method.phases()
    result = Training(steps=budget.epochs * steps_per_epoch if phases else 0)
    if not phases:
        _, result.validation = evaluate(model, alive(streams[None].validation), streams[None].form)
        return result
    ends = phase_ends(phases, result.steps)
    last = stop_step(stop, result.steps)
    seen, best, step = _Seen(accelerator.device), _Best(), 0
    for phase, end in zip(phases, ends, strict=True):
        stream = streams[phase.task]
        trainer = PhaseTrainer(accelerator, model, anatomy, method, phase, end - step, stream.form, budget)
        while step < min(end, last):
            batch = next(stream.batches)
            seen.add(batch, trainer.step(batch))
            step += 1
            when = f" at step {step} of {result.steps}"
            validates = step % steps_per_epoch == 0 or step in (end, last)
            if validates or step % STEPS_BETWEEN_LOOKS == 0:
                require_finite(seen.loss.item(), "training", when)
            progress(step, result.steps)
            if validates:
                loss, scores = evaluate(model, alive(stream.validation), stream.form, when=when)
                model.train()
                line = Evaluation(
                    step=step,
                    epoch=step / steps_per_epoch,
                    phase=phase.name,
                    train_loss=seen.mean_loss(),
                    validation_loss=loss,
                    validation=scores,
                )
                result.history.append(line)
                if end >= last:  # of the last phase
                    best.offer(line, stream.form.task.card.primary, partial(method.state, anatomy.model))
        if step == last:
            break
    # Before the checkpoint is loaded: of what was trained, a method may store a result alone.
    result.trainable = {name: p.numel() for name, p in anatomy.model.named_parameters() if p.requires_grad}
    method.load_state(anatomy.model, best.state)
    result.steps = step
    result.best_step, result.validation, result.train_tokens = best.step, best.scores, int(seen.tokens)
    return result


class TaskStream:
    """What a phase trains and validates on: a task's batches without end, epoch after epoch in an order of its own."""

    def __init__(self, accelerator: Accelerator, data: TaskData, budget: Budget, seed: int) -> None:
        self.form = data.form
        loader, self._sampler = train_loader(data.train, self.form, budget.batch_size, seed)
        self.steps_per_epoch = len(loader)
        self._loader = accelerator.prepare(loader)
        self.validation = accelerator.prepare(eval_loader(data.validation, self.form, budget.batch_size * 2))
        self.batches = self._endless()

    def _endless(self) -> Iterator[dict[str, Any]]:
        epoch = 0
        while True:
            self._sampler.set_epoch(epoch)
            yield from self._loader
            epoch += 1


class _Seen:
    """What was trained on: tokens in all, and losses since the last look at their mean. Kept on the device, since
    reading them waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.tokens = torch.zeros((), device=device, dtype=torch.long)
        self.loss = torch.zeros((), device=device)
        self.steps = 0

    def add(self, batch: Mapping[str, Any], loss: Tensor) -> None:
        self.tokens += batch["attention_mask"].sum()
        self.loss += loss
        self.steps += 1

    def mean_loss(self) -> float:
        """Of the steps since it was last asked for."""
        mean = self.loss.item() / self.steps
        self.loss.zero_()
        self.steps = 0
        return mean


class _Best:
    """The best checkpoint so far."""

    def __init__(self) -> None:
        self.standing: tuple[float, float] | None = None
        self.step = 0
        self.scores: dict[str, float] = {}
        self.state: dict[str, Tensor] = {}

    def offer(self, line: Evaluation, primary: Metric, state: Callable[[], dict[str, Tensor]]) -> None:
        """Keeps a copy of the state that it may ask for, if the validation scores are better than any before."""
        loss = math.inf if line.validation_loss is None else line.validation_loss
        standing = (primary.standing(line.validation[primary.name]), -loss)
        if self.standing is None or standing > self.standing:
            self.standing, self.step, self.scores = standing, line.step, line.validation
            self.state = {name: value.clone() for name, value in state().items()}

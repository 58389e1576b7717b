"""The one training loop, the same for every method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import AdamW, Optimizer
from transformers import get_linear_schedule_with_warmup

from bench.data import Splits, eval_loader, train_loader
from bench.evaluation import evaluate
from bench.forms.base import Form
from bench.scoring import require_finite
from methods.base import Method, Phase
from records.cell import Budget
from records.record import Evaluation

if TYPE_CHECKING:
    from accelerate import Accelerator

    from methods.anatomy import Anatomy


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


def optimizer_of(anatomy: Anatomy, method: Method, phase: Phase) -> AdamW:
    """AdamW over what is trainable now, the head included."""
    groups = [{"lr": method.lr} | group for group in method.parameter_groups(anatomy) if group["params"]]
    for group in groups:
        group["lr"] *= phase.lr_scale
    return AdamW(groups, weight_decay=method.weight_decay, fused=True)


def trained_by(optimizer: Optimizer) -> list[torch.Tensor]:
    """Every parameter of every group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@dataclass(frozen=True)
class Material:
    """A task in its form, with its data, ready to be trained and validated on."""

    form: Form
    splits: Splits


def train(
    accelerator: Accelerator,
    anatomy: Anatomy,
    method: Method,
    material: Material,
    budget: Budget,
    seed: int,
    progress: Callable[[int, int], None],
    sources: Mapping[str, Material] | None = None,
    alive: Callable[[Iterable[dict[str, Any]]], Iterable[dict[str, Any]]] = iter,
) -> Training:
    """Trains an adapted model in place within the budget, and restores its best checkpoint: the one with
    the best validation score among those of the last phase, the lower validation loss breaking ties.

    A phase that names a task runs on that one of the `sources`. A method without phases learns nothing and is only
    validated. `progress` is called after every step with (steps done, steps in all), and `alive` hands on the batches
    that are validated on: whoever watches learns that the work goes on. Raises Diverged where a loss is not finite.
    """
    materials: list[tuple[str | None, Material]] = [(None, material), *(sources or {}).items()]
    courses = {name: _Course(accelerator, each, budget, seed) for name, each in materials}
    model = accelerator.prepare(anatomy.model)
    steps_per_epoch = courses[None].steps_per_epoch
    phases = method.phases()
    result = Training(steps=budget.epochs * steps_per_epoch if phases else 0)
    if not phases:
        only = courses[None]
        _, result.validation = evaluate(model, alive(only.validation), only.form)
        return result
    ends = phase_ends(phases, result.steps)
    best: tuple[float, float] | None = None
    checkpoint: dict[str, torch.Tensor] = {}
    step, since = 0, 0
    losses = torch.zeros((), device=accelerator.device)
    tokens = torch.zeros((), device=accelerator.device, dtype=torch.long)
    for phase, end in zip(phases, ends, strict=True):
        course = courses[phase.task]
        start, length = step, end - step
        method.on_phase(anatomy, phase, length)
        optimizer = accelerator.prepare(optimizer_of(anatomy, method, phase))
        schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(budget.warmup * length), length)
        model.train()
        while step < end:
            batch = next(course.batches)
            seen = batch["attention_mask"].sum()
            loss = course.form.loss(model, batch)
            accelerator.backward(loss)
            step += 1
            since += 1
            method.after_backward(anatomy, step - start)
            accelerator.clip_grad_norm_(trained_by(optimizer), budget.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            method.after_step(anatomy, step - start, optimizer)
            losses += loss.detach()
            tokens += seen
            evaluating = step % steps_per_epoch == 0 or step == end
            if evaluating or step % STEPS_BETWEEN_LOOKS == 0:
                require_finite(losses.item(), "training", f" at step {step} of {result.steps}")
            progress(step, result.steps)
            if not evaluating:
                continue
            when = f" at step {step} of {result.steps}"
            validation_loss, scores = evaluate(model, alive(course.validation), course.form, when=when)
            model.train()
            result.history.append(
                Evaluation(
                    step=step,
                    epoch=step / steps_per_epoch,
                    phase=phase.name,
                    train_loss=losses.item() / since,
                    validation_loss=validation_loss,
                    validation=scores,
                )
            )
            losses.zero_()
            since = 0
            primary = course.form.task.card.primary
            standing = (primary.standing(scores[primary.name]), -validation_loss)
            if phase is phases[-1] and (best is None or standing > best):
                best = standing
                result.best_step, result.validation = step, scores
                checkpoint = {name: value.clone() for name, value in method.state(anatomy.model).items()}
    # Before the checkpoint is loaded: of what was trained, a method may store a result alone.
    result.trainable = {name: p.numel() for name, p in anatomy.model.named_parameters() if p.requires_grad}
    method.load_state(anatomy.model, checkpoint)
    result.train_tokens = int(tokens)
    return result


class _Course:
    """What a phase trains and validates on: batches without end, epoch after epoch in an order of its own."""

    def __init__(
        self,
        accelerator: Accelerator,
        material: Material,
        budget: Budget,
        seed: int,
    ) -> None:
        self.form = material.form
        loader, self._sampler = train_loader(material.splits.train, self.form, budget.batch_size, seed)
        self.steps_per_epoch = len(loader)
        self._loader = accelerator.prepare(loader)
        validation = eval_loader(material.splits.validation, self.form, budget.batch_size * 2)
        self.validation = accelerator.prepare(validation)
        self.batches = self._endless()

    def _endless(self) -> Iterator[dict[str, torch.Tensor]]:
        epoch = 0
        while True:
            self._sampler.set_epoch(epoch)
            yield from self._loader
            epoch += 1

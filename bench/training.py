"""The one training loop, the same for every method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from torch.optim import AdamW
from transformers import get_linear_schedule_with_warmup

from bench.cell import Budget
from bench.data import Splits, eval_loader, train_loader
from bench.evaluation import evaluate
from bench.records import Evaluation
from methods.base import Method, Phase
from tasks.base import Task

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn
    from torch.utils.data import DataLoader
    from transformers import PreTrainedTokenizerBase

    from bench.data import LengthBuckets
    from methods.anatomy import Anatomy


# Reading a loss waits for the device, so it is not done at every step.
STEPS_BETWEEN_LOOKS = 10


class Diverged(Exception):
    """A loss is no longer a number."""


@dataclass
class Training:
    """What a training leaves behind, beside the trained model with its best checkpoint restored."""

    steps: int
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


def optimizer_of(model: nn.Module, method: Method) -> AdamW:
    """AdamW over what is trainable now, the head included."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return AdamW(trainable, lr=method.lr, weight_decay=method.weight_decay, fused=True)


def train(
    accelerator: Accelerator,
    anatomy: Anatomy,
    method: Method,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    splits: Splits,
    budget: Budget,
    seed: int,
    progress: Callable[[int, int], None],
) -> Training:
    """Trains an adapted model in place within the budget, and restores its best checkpoint: the one with
    the highest validation score among those of the last phase, the lower validation loss breaking ties.

    `progress` is called with (steps done, steps in all). Raises Diverged where the loss is not finite.
    """
    loader, sampler = train_loader(splits.train, tokenizer, budget.batch_size, seed)
    steps_per_epoch = len(loader)
    validation = accelerator.prepare(eval_loader(splits.validation, tokenizer, budget.batch_size * 2))
    model, loader = accelerator.prepare(anatomy.model, loader)
    result = Training(steps=budget.epochs * steps_per_epoch)
    phases = method.phases()
    ends = phase_ends(phases, result.steps)
    batches = _endless(loader, sampler)
    best: tuple[float, float] | None = None
    checkpoint: dict[str, torch.Tensor] = {}
    step, since = 0, 0
    losses = torch.zeros((), device=accelerator.device)
    tokens = torch.zeros((), device=accelerator.device, dtype=torch.long)
    for phase, end in zip(phases, ends, strict=True):
        method.on_phase(anatomy, phase)
        optimizer = accelerator.prepare(optimizer_of(model, method))
        length = end - step
        schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(budget.warmup * length), length)
        model.train()
        while step < end:
            batch = next(batches)
            labels = batch.pop("labels")
            loss = F.cross_entropy(model(**batch).logits.float(), labels)
            accelerator.backward(loss)
            method.after_backward(anatomy)
            accelerator.clip_grad_norm_(optimizer.param_groups[0]["params"], budget.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            since += 1
            method.after_step(anatomy, step)
            losses += loss.detach()
            tokens += batch["attention_mask"].sum()
            evaluating = step % steps_per_epoch == 0 or step == end
            if evaluating or step % STEPS_BETWEEN_LOOKS == 0:
                if not math.isfinite(losses.item()):
                    raise Diverged(f"the training loss is not finite at step {step} of {result.steps}")
                progress(step, result.steps)
            if not evaluating:
                continue
            validation_loss, scores = evaluate(model, validation, task)
            if not math.isfinite(validation_loss):
                raise Diverged(f"the validation loss is not finite at step {step} of {result.steps}")
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
            standing = (scores[task.card.metrics[0]], -validation_loss)
            if phase is phases[-1] and (best is None or standing > best):
                best = standing
                result.best_step, result.validation = step, scores
                checkpoint = _snapshot(anatomy.model)
    _restore(anatomy.model, checkpoint)
    result.train_tokens = int(tokens)
    return result


def _endless(loader: DataLoader, sampler: LengthBuckets) -> Iterator[dict[str, torch.Tensor]]:
    epoch = 0
    while True:
        sampler.set_epoch(epoch)
        yield from loader
        epoch += 1


def _snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def _restore(model: nn.Module, checkpoint: dict[str, torch.Tensor]) -> None:
    for name, parameter in model.named_parameters():
        if name in checkpoint:
            parameter.copy_(checkpoint[name])

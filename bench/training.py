"""The one training loop, the same for every method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from bench import kernels
from bench.checkpoints import Checkpoints, UnusableCheckpoint, random_state, set_random_state
from bench.data import TaskData, train_loader
from bench.evaluation import FittingSplit, evaluate
from bench.memory import is_out_of_memory
from bench.scoring import require_finite
from bench.sharding import is_sharded
from bench.step import PhaseTrainer
from methods.base import Method, Phase
from records.cell import Budget
from records.record import Evaluation
from records.text import reason

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn

    from methods.anatomy import Anatomy
    from records.cards import Metric


# Hands on batches, and says that the work goes on.
Alive = Callable[[Iterable[dict[str, Any]]], Iterable[dict[str, Any]]]

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
    resumed_from: int | None = None


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
    alive: Alive = iter,
    stop: float | None = None,
    checkpoints: Checkpoints | None = None,
    saved: Mapping[str, Any] | None = None,
) -> Training:
    """Trains an adapted model in place within the budget, and restores its best checkpoint: the one with
    the best validation score among those of the last phase, the lower validation loss breaking ties.

    A phase that names a task runs on that one of the `sources`. A method without phases learns nothing and is only
    validated. `progress` is called after every step with (steps done, steps in all), and `alive` hands on the batches
    that are validated on: whoever watches learns that the work goes on. With `stop`, training ends, and is validated,
    after that share of its steps, rounded up: the best checkpoint is then among those of the phase that was reached.

    It is saved to the `checkpoints` when they are due, and where it stops; `saved` is what another training of the same
    cell had saved, which this one goes on from. Raises Diverged where a loss is not finite, UnusableCheckpoint where
    there is no going on from what was saved.
    """
    tasks: list[tuple[str | None, TaskData]] = [(None, data), *(sources or {}).items()]
    streams = {name: TaskStream(accelerator, each, budget, seed) for name, each in tasks}
    model = accelerator.prepare(anatomy.model)
    if not method.phases():
        _, scores = streams[None].validate(model, alive)
        return Training(steps=0, validation=scores)
    course = _Course(accelerator, model, anatomy, method, streams, budget, stop)
    course.progress, course.alive, course.checkpoints = progress, alive, checkpoints
    course.run(saved)
    return course.finish()


class _Course:
    """A training under way."""

    progress: Callable[[int, int], None]
    alive: Alive
    checkpoints: Checkpoints | None

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        anatomy: Anatomy,
        method: Method,
        streams: Mapping[str | None, TaskStream],
        budget: Budget,
        stop: float | None,
    ) -> None:
        self.accelerator = accelerator
        self.model = model
        self.anatomy = anatomy
        self.method = method
        self.streams = streams
        self.budget = budget
        self.steps_per_epoch = streams[None].steps_per_epoch
        self.steps = budget.epochs * self.steps_per_epoch
        self.last = stop_step(stop, self.steps)
        self.stops = stop is not None
        self.step = 0
        self.resumed_from: int | None = None
        self.trained: set[str] = set()  # the names of all parameters that were trained so far
        self.seen, self.best = _Seen(accelerator.device), _Best()
        self.history: list[Evaluation] = []

    def run(self, saved: Mapping[str, Any] | None) -> None:
        """Phase by phase, from the beginning or from what was saved, to the last step."""
        if saved is not None and not 0 < saved["step"] <= self.last:
            raise UnusableCheckpoint(f"it is of step {saved['step']}, and this training ends at {self.last}")
        phases, begun = self.method.phases(), 0
        for phase, end in zip(phases, phase_ends(phases, self.steps), strict=True):
            if saved is not None and saved["step"] > end:
                # Over before it was cut off: what is left of it is what it made of the model.
                self.method.on_phase(self.anatomy, phase, end - begun)
            else:
                self._phase(phase, begun, end, saved)
                saved = None
            begun = end
            if self.step == self.last:
                break

    def _phase(self, phase: Phase, begun: int, end: int, saved: Mapping[str, Any] | None) -> None:
        stream = self.streams[phase.task]
        trainer = self._trainer(phase, end - begun, stream, saved)
        self.trained |= {name for name, p in self.anatomy.model.named_parameters() if p.requires_grad}
        if saved is not None:
            if end < self.last:
                self.best = _Best()  # a trial that was to stop in this phase has chosen from it, and the whole does not
            self._look(phase, end, trainer, stream)
        free = self.method.acts_between_steps or is_sharded(self.model)
        with nullcontext() if free else kernels.weights_kept():
            while self.step < min(end, self.last):
                batch = next(stream.batches)
                self.seen.add(batch, trainer.step(batch))
                self.step += 1
                stops = self.stops and self.step == self.last
                if self.checkpoints is not None and (self.checkpoints.due or stops):
                    self._save(trainer, self.checkpoints, stops)
                self._look(phase, end, trainer, stream)

    def _trainer(self, phase: Phase, steps: int, stream: TaskStream, saved: Mapping[str, Any] | None) -> PhaseTrainer:
        state = None if saved is None else saved["trainer"]
        parts = self.accelerator, self.model, self.anatomy, self.method
        make = partial(PhaseTrainer, *parts, phase, steps, stream.form, self.budget)
        if saved is None:
            return make()
        try:
            trainer = make(state=state)
            self._take_up(saved)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UnusableCheckpoint(f"it does not fit: {reason(error)}") from error
        return trainer

    def _save(self, trainer: PhaseTrainer, checkpoints: Checkpoints, stops: bool) -> None:
        """Right after a step: what follows it is done again by whoever goes on from there."""
        if (state := trainer.state(self.trained)) is None:
            return
        checkpoints.write(
            {
                "step": self.step,
                "micro_batch": self.budget.micro_batch,
                "trainer": state,
                "trained": sorted(self.trained),
                "places": [(name, stream.epoch, stream.taken) for name, stream in self.streams.items()],
                "seen": vars(self.seen),
                "best": vars(self.best),
                "history": [line.model_dump() for line in self.history],
                "random": random_state(),
            },
            stops,
        )

    def _take_up(self, saved: Mapping[str, Any]) -> None:
        for name, epoch, taken in saved["places"]:
            self.streams[name].go_to(epoch, taken)
        self.trained |= set(saved["trained"])
        vars(self.seen).update(saved["seen"])
        vars(self.best).update(saved["best"])
        self.history = [Evaluation(**line) for line in saved["history"]]
        self.step = self.resumed_from = saved["step"]
        set_random_state(saved["random"])

    def _look(self, phase: Phase, end: int, trainer: PhaseTrainer, stream: TaskStream) -> None:
        """What follows a step: is the loss a number and, where an epoch or a phase ends, how good is the model."""
        when = f" at step {self.step} of {self.steps}, at a learning rate of {trainer.lr:.3g}"
        validates = self.step % self.steps_per_epoch == 0 or self.step in (end, self.last)
        if validates or self.step % STEPS_BETWEEN_LOOKS == 0:
            require_finite(self.seen.loss.item(), "training", when)
        self.progress(self.step, self.steps)
        if not validates:
            return
        loss, scores = stream.validate(self.model, self.alive, when)
        self.model.train()
        line = Evaluation(
            step=self.step,
            epoch=self.step / self.steps_per_epoch,
            phase=phase.name,
            train_loss=self.seen.mean_loss(),
            validation_loss=loss,
            validation=scores,
        )
        self.history.append(line)
        if end >= self.last:  # the last phase that is reached
            self.best.offer(line, stream.form.task.card.primary, partial(self.method.state, self.anatomy.model))

    def finish(self) -> Training:
        """Restores the best checkpoint."""
        # Before that: of what was trained, a method may store a result alone.
        trainable = {name: p.numel() for name, p in self.anatomy.model.named_parameters() if p.requires_grad}
        self.method.load_state(self.anatomy.model, self.best.state)
        return Training(
            steps=self.step,
            trainable=trainable,
            train_tokens=int(self.seen.tokens),
            best_step=self.best.step,
            validation=self.best.scores,
            history=self.history,
            resumed_from=self.resumed_from,
        )


class TaskStream:
    """What a phase trains and validates on: a task's batches without end, epoch after epoch in an order of its own, of
    which so many of the present `epoch` were `taken`."""

    def __init__(self, accelerator: Accelerator, data: TaskData, budget: Budget, seed: int) -> None:
        self.form = data.form
        loader, self._sampler = train_loader(data.train, self.form, budget.batch_size, seed, budget.micro_batch)
        self.steps_per_epoch = len(loader)
        self._loader = accelerator.prepare(loader)
        self._validation = FittingSplit(accelerator, data.validation, self.form, budget.batch_size * 2)
        self.epoch, self.taken = 0, 0
        self.batches = self._endless()

    def _endless(self) -> Iterator[dict[str, Any]]:
        while True:
            self._loader.set_epoch(self.epoch)  # and, with it, the sampler's
            for batch in self._loader:
                self.taken += 1
                yield batch
            self.epoch, self.taken = self.epoch + 1, 0

    def go_to(self, epoch: int, taken: int) -> None:
        """As if all batches before had been taken: no random number but those of later passes is yet to be drawn."""
        whole = taken == self.steps_per_epoch
        self.epoch, self.taken = (epoch + 1, 0) if whole else (epoch, taken)
        if not self.taken:
            return
        self._sampler.skip(taken)
        # A pass draws where it begins, and this one has begun.
        batch = next(self.batches)
        self.taken -= 1
        self.batches = chain(self._again(batch), self.batches)

    def _again(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self.taken += 1
        yield batch

    def validate(self, model: nn.Module, alive: Alive, when: str = "") -> tuple[float, dict[str, float]]:
        """Mean loss and metrics on the validation split, as `evaluate` has them."""
        return self._validation.each(lambda loader: evaluate(model, alive(loader), self.form, when=when))


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

"""A method on a tiny model: adapted, and trained as the engine trains, in a few steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.checks.base import Generators, NotAsked
from bench.checks.models import TASK, batch, head_of, logits, tiny
from bench.step import optimizer_of
from methods.anatomy import Anatomy
from methods.base import Method, Phase

LABELS = (0, 1, 2)
RATE = 0.01


@dataclass(frozen=True)
class Trial:
    """A method on an architecture, at a learning rate at which a tiny model moves within a few steps. `fresh`,
    `adapted` and `trained` make a new model each time."""

    method: Method
    architecture: str

    @classmethod
    def of(cls, method: Method, architecture: str) -> Trial:
        """Of a method at whatever learning rate."""
        return cls(type(method)(**method.hyperparameters() | {"lr": RATE}), architecture)

    def plain(self) -> Anatomy:
        """The backbone as it comes, always with the same weights. Raises NotAsked where the method does not apply."""
        anatomy = Anatomy(model := tiny(self.architecture), head_of(model))
        if reason := self.method.unsupported(anatomy, TASK):
            raise NotAsked(reason)
        return anatomy

    def fresh(self, seed: int = 0) -> Anatomy:
        """Adapted, and not yet in its first phase."""
        anatomy = self.plain()
        Generators.seed(seed)
        self.method.adapt(anatomy, TASK)
        return anatomy

    def adapted(self, seed: int = 0) -> Anatomy:
        """In its last phase, without a step of training."""
        anatomy = self.fresh(seed)
        for phase in self.method.phases():
            self.method.on_phase(anatomy, phase, 1)
        return anatomy

    def trained(self, steps: int = 3, seed: int = 0) -> Anatomy:
        """After so many steps in each phase, without dropout."""
        anatomy = self.fresh(seed)
        for phase in self.method.phases():
            for _ in self.losses(anatomy, phase, steps):
                pass
        return anatomy

    def losses(self, anatomy: Anatomy, phase: Phase, steps: int) -> Iterator[float]:
        """Trains a phase on three examples, with the method's hooks; the loss before each step."""
        method = self.method
        method.on_phase(anatomy, phase, steps)
        optimizer = optimizer_of(anatomy, method, phase)
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            loss = self.loss(anatomy.model)
            loss.backward()
            method.after_backward(anatomy, step)
            optimizer.step()
            method.after_step(anatomy, step, optimizer)
            yield loss.item()
        optimizer.zero_grad()

    def loss(self, model: nn.Module) -> Tensor:
        """With its graph, on three examples of three classes."""
        found: Tensor = model(**batch(self.architecture, seed=1), labels=torch.tensor(LABELS)).loss
        return found

    def logits(self, anatomy: Anatomy) -> Tensor:
        """Of shape (3, 3)."""
        return logits(anatomy.model, batch(self.architecture))

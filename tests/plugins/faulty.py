"""Methods that go wrong, each in its own way, and one that takes its time."""

import dataclasses
import os
import signal
import time
from typing import ClassVar

import torch

from methods.base import Card, Method

CARD = Card(
    name="",
    title="Faulty",
    family="baseline",
    composition="none",
    formula="\\theta",
    summary="Goes wrong.",
    citation="nobody2026",
    bibtex="@misc{nobody2026, title = {Nothing}, author = {Nobody}, year = {2026}}",
)


class Everything(Method):
    """Trains all there is."""

    card: ClassVar[Card]

    def adapt(self, anatomy, task):
        anatomy.model.requires_grad_(True)


class Raises(Everything):
    card = dataclasses.replace(CARD, name="raises")

    def after_step(self, anatomy, step, optimizer):
        raise RuntimeError("the flux capacitor is empty")


class Diverges(Everything):
    card = dataclasses.replace(CARD, name="diverges")

    def after_step(self, anatomy, step, optimizer):
        with torch.no_grad():
            next(anatomy.model.parameters()).fill_(float("nan"))


class Dies(Everything):
    card = dataclasses.replace(CARD, name="dies")

    def after_step(self, anatomy, step, optimizer):
        os.kill(os.getpid(), signal.SIGKILL)


class DiesOnce(Everything):
    """At a step, unless the file that it leaves then is there already."""

    card = dataclasses.replace(CARD, name="dies_once")
    marker: str
    at: int = 5

    def after_step(self, anatomy, step, optimizer):
        if step == self.at and not os.path.exists(self.marker):
            open(self.marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    def progress(self, anatomy):
        return {}


class Greedy(Everything):
    """Trains on so many examples at a time: more do not fit into the memory."""

    card = dataclasses.replace(CARD, name="greedy")
    most: int = 2

    def adapt(self, anatomy, task):
        super().adapt(anatomy, task)
        anatomy.model.register_forward_pre_hook(self._allocate, with_kwargs=True)

    def _allocate(self, model, args, inputs):
        if model.training and len(inputs["input_ids"]) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 PiB")


class Hungry(Everything):
    card = dataclasses.replace(CARD, name="hungry")

    def after_step(self, anatomy, step, optimizer):
        torch.empty(2**60)


class Refuses(Everything):
    card = dataclasses.replace(CARD, name="refuses")

    def unsupported(self, anatomy, task):
        return "this backbone has no flux capacitor"


class Slow(Everything):
    """Announces each step in the file that the environment names, and waits."""

    card = dataclasses.replace(CARD, name="slow")
    pause: float = 0.05

    def after_step(self, anatomy, step, optimizer):
        time.sleep(self.pause)

"""Methods that go wrong in one of several processes."""

import dataclasses
import os
import signal
import time

import torch
from faulty import CARD, Everything

from methods.base import Method, Phase


def second():
    return os.environ.get("RANK") == "1"


class Drifts(Everything):
    """As a method does that learns from its part of a batch alone."""

    card = dataclasses.replace(CARD, name="drifts")

    def after_step(self, anatomy, step, optimizer):
        if second():
            with torch.no_grad():
                next(anatomy.model.parameters()).add_(1e-3)


class Raises(Everything):
    card = dataclasses.replace(CARD, name="raises_on_one")

    def after_step(self, anatomy, step, optimizer):
        if second():
            raise RuntimeError("the flux capacitor is empty")


class Dies(Everything):
    card = dataclasses.replace(CARD, name="dies_on_one")

    def after_step(self, anatomy, step, optimizer):
        if second():
            os.kill(os.getpid(), signal.SIGKILL)


class Hangs(Everything):
    card = dataclasses.replace(CARD, name="hangs_on_one")

    def after_step(self, anatomy, step, optimizer):
        if second():
            time.sleep(1000)


class RaisesFrozen(Raises):
    """The backbone stays as it is."""

    card = dataclasses.replace(CARD, name="raises_on_one_frozen")

    def adapt(self, anatomy, task):
        anatomy.freeze()


class Thaws(Method):
    """The head first, and then a layer as well."""

    card = dataclasses.replace(CARD, name="thaws")

    def adapt(self, anatomy, task):
        anatomy.freeze()

    def phases(self):
        return (Phase("head", 0.5), Phase("layer", 0.5))

    def on_phase(self, anatomy, phase, steps):
        anatomy.layers[0].module.requires_grad_(phase.name == "layer")


class WritesBeside(Method):
    """Adds noise to a frozen weight."""

    card = dataclasses.replace(CARD, name="writes_beside")

    def adapt(self, anatomy, task):
        anatomy.freeze()

    def after_step(self, anatomy, step, optimizer):
        weight = anatomy.layers[0].ffn_in.weight
        weight += 1e-3 * torch.ones(weight.shape)

"""Methods that go wrong in one of several processes."""

import dataclasses
import os
import signal
import time

import torch
from faulty import CARD, Everything


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

"""Methods that break what methods promise, each in one way, and go through a run all the same or end their cells."""

from typing import ClassVar

from torch import nn

from methods.base import Card, Method
from methods.composition.functions import insert_sequential_adapter


def card(name: str) -> Card:
    bibtex = "@misc{nobody2026, title = {Nothing}, author = {Nobody}, year = {2026}}"
    return Card(name, "Broken", "adapter", "function", "h", "Breaks a promise.", "nobody2026", bibtex)


class Scaled(nn.Module):
    def __init__(self, size, factor):
        super().__init__()
        self.scale = nn.Parameter(nn.init.ones_(nn.Linear(1, size).weight[:, 0].detach()))
        self.factor = factor

    def forward(self, h):
        return h * self.scale.to(h.dtype) * self.factor


class Unfrozen(Method):
    card: ClassVar[Card] = card("unfrozen")
    factor: ClassVar[float] = 1.0

    def adapt(self, anatomy, task):
        for layer in anatomy.layers:
            insert_sequential_adapter(layer.ffn_out, Scaled(anatomy.hidden_size, self.factor))


class NotFinite(Unfrozen):
    card = card("not_finite")
    factor: ClassVar[float] = float("inf")

    def adapt(self, anatomy, task):
        anatomy.freeze()
        super().adapt(anatomy, task)


class IdleField(Unfrozen):
    card = card("idle_field")
    unread: int = 3

    def adapt(self, anatomy, task):
        anatomy.freeze()
        super().adapt(anatomy, task)


class WrongSignature(Unfrozen):
    card = card("wrong_signature")

    def adapt(self, anatomy):
        anatomy.freeze()

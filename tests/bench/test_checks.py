"""`bench check` of methods: what is right passes, and each fault is found by the check that is for it."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from pydantic import Field
from torch import nn

from bench.checks import checks, classes
from bench.checks.base import source_of
from bench.registry import Registry
from methods.base import Card, Method
from methods.composition.functions import insert_sequential_adapter
from tests.conftest import PLUGINS
from tests.methods.tiny import IDENTICAL_AT_START, METHODS

BIBTEX = "@misc{me2026, author = {Me}, title = {Mine}, year = {2026}}"
CARD = Card("mine", "Mine", "adapter", "function", "h + u", "Adds a vector.", "me2026", BIBTEX)


class Shift(nn.Module):
    """h + scale · u."""

    def __init__(self, size: int, scale: float, change: Callable[..., Any] | None = None) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(size))
        self.scale, self.change = scale, change

    def forward(self, h):
        shifted = h + self.scale * self.vector.to(h.dtype)
        return self.change(self, h, shifted) if self.change else shifted


class Mine(Method):
    """As it should be; what is broken below is derived from it. `change` is done to what a layer gives."""

    card: ClassVar[Card] = CARD
    change: ClassVar[Any] = None
    scale: float = Field(1.0, gt=0)

    def adapt(self, anatomy, task):
        anatomy.freeze()
        self.insert(anatomy)

    def insert(self, anatomy):
        for layer in anatomy.layers:
            insert_sequential_adapter(layer.ffn_out, Shift(anatomy.hidden_size, self.scale, type(self).change))


class Unfrozen(Mine):
    def adapt(self, anatomy, task):
        self.insert(anatomy)


class HeadFrozen(Mine):
    def adapt(self, anatomy, task):
        super().adapt(anatomy, task)
        for name in anatomy.head:
            anatomy.model.get_parameter(name).requires_grad_(False)


class HeadOnly(Mine):
    scale: ClassVar[float] = 1.0

    def adapt(self, anatomy, task):
        anatomy.freeze()


class NotFinite(Mine):
    change = staticmethod(lambda layer, h, shifted: shifted * (h.mean() / 0.0))


class Idle(Mine):
    unread: int = 3


class IdleBeside(Mine):
    """`width` is read where `wide` is true, and not refused elsewhere."""

    wide: bool = False
    width: int = 3

    def insert(self, anatomy):
        for layer in anatomy.layers:
            insert_sequential_adapter(layer.ffn_out, Shift(anatomy.hidden_size, self.scale * (2 if self.wide else 1)))
        if self.wide:
            anatomy.model.base_model.register_parameter("more", nn.Parameter(torch.zeros(self.width)))


class WrongSignature(Mine):
    def adapt(self, anatomy):
        anatomy.freeze()


class Misspelt(Mine):
    def after_steps(self, anatomy, step, optimizer):
        pass


class Raises(Mine):
    def adapt(self, anatomy, task):
        raise RuntimeError("the flux\ncapacitor is empty")


class Exits(Mine):
    def adapt(self, anatomy, task):
        raise SystemExit(3)


class StartsElsewhere(Mine):
    change = staticmethod(lambda layer, h, shifted: 1.1 * shifted)


class PromisesNothing(StartsElsewhere):
    identical_at_start: ClassVar[bool] = False


class Thaws(Mine):
    def after_step(self, anatomy, step, optimizer):
        with torch.no_grad():
            anatomy.word_embeddings.weight += 0.01


class Forgets(Mine):
    def state(self, model):
        return {name: value for name, value in super().state(model).items() if not name.endswith("vector")}


class MergesFalsely(Mine):
    def merge(self, model):
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(getattr(child, "adapter", None), Shift):
                    setattr(module, name, child.base)
        return True


class Seeds(Mine):
    def adapt(self, anatomy, task):
        torch.manual_seed(17)
        super().adapt(anatomy, task)


class SeedsPython(Mine):
    def after_step(self, anatomy, step, optimizer):
        random.seed(17)


class ChangesDefaults(Mine):
    def after_step(self, anatomy, step, optimizer):
        torch.set_default_dtype(torch.float64)


class ReadsTheClock(Mine):
    def after_step(self, anatomy, step, optimizer):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 + (time.perf_counter_ns() % 100_003) * 1e-8


class Detached(Mine):
    change = staticmethod(lambda layer, h, shifted: shifted.detach() + 0 * h)


class Unlearns(Mine):
    def after_backward(self, anatomy, step):
        for parameter in anatomy.model.parameters():
            if parameter.grad is not None:
                parameter.grad.neg_()


class SinglePrecision(Mine):
    change = staticmethod(lambda layer, h, shifted: torch.zeros(h.shape).index_add_(0, torch.arange(3), shifted))


class SeesPadding(Mine):
    change = staticmethod(lambda layer, h, shifted: shifted + (layer.vector * h).mean(1, keepdim=True))


class WithoutDefault(Mine):
    rank: int


class CitesNobody(Mine):
    card = dataclasses.replace(CARD, citation="me2025")


class OddFamily(Mine):
    card = dataclasses.replace(CARD, family="adapters")


class NoSummary(Mine):
    card = dataclasses.replace(CARD, summary=" ")


BROKEN: dict[type[Method], tuple[set[str], str]] = {
    Unfrozen: ({"trained"}, "the backbone is not frozen"),
    HeadFrozen: ({"trained"}, "the task head is frozen"),
    HeadOnly: ({"trained"}, "nothing but the task head is trained"),
    NotFinite: ({"finite"}, "predictions are not finite before training"),
    Idle: ({"field-unread"}, "the field 'unread' has no effect"),
    IdleBeside: ({"field-width"}, "the field 'width' has no effect"),
    WrongSignature: ({"signatures"}, "adapt cannot be called as adapt(anatomy, task)"),
    Misspelt: ({"signatures"}, "did you mean after_step()?"),
    Raises: ({"state"}, "RuntimeError: the flux capacitor is empty (line "),
    Exits: ({"state"}, "SystemExit: 3"),
    StartsElsewhere: ({"start"}, "identical_at_start: ClassVar[bool] = False"),
    Thaws: ({"frozen"}, "is frozen, and training changes it"),
    Forgets: ({"state"}, "a state that is loaded into a fresh model gives predictions that are"),
    MergesFalsely: ({"merge"}, "merging changes predictions by"),
    Seeds: ({"process"}, "it seeds a generator itself (torch.manual_seed)"),
    SeedsPython: ({"process"}, "it seeds a generator itself (random.seed)"),
    ChangesDefaults: ({"process"}, "torch's default dtype is torch.float64 afterwards"),
    ReadsTheClock: ({"seed"}, "differs between two trainings of one seed"),
    Detached: ({"gradients"}, "and no gradient reaches it"),
    Unlearns: ({"loss"}, "20 steps bring the loss from"),
    SinglePrecision: ({"bf16"}, "must have the same scalar type (line "),
    SeesPadding: ({"padding"}, "four positions of padding change predictions by"),
    WithoutDefault: ({"defaults"}, "the field 'rank' has no default"),
    CitesNobody: ({"card"}, "cites 'me2025', and its bibtex has no such entry"),
    OddFamily: ({"card"}, "the card's family is 'adapters'"),
    NoSummary: ({"card"}, "the card has no summary"),
}


def failing(cls: type, only: set[str] | None = None, **options: Any) -> dict[str, str]:
    """The checks that fail, with what they say; one architecture is enough to see a fault."""
    outcomes = {}
    for check in checks(cls, options, ("bert",)):
        name = str(check).removesuffix("-bert")
        if only is None or name in only or check.first:
            outcomes[name] = check.outcome(source_of(cls))
            if check.first and outcomes[name].status == "failed":
                break
    return {name: f"{each.said}; {each.mend}" for name, each in outcomes.items() if each.status == "failed"}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """What is wrong here shows at the first of them."""
    monkeypatch.setattr(classes, "STEPS", 4)


@pytest.mark.parametrize("cls", [Mine, PromisesNothing], ids=lambda cls: cls.__name__)
def test_what_is_right_passes(cls):
    assert failing(cls) == {}


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_a_fault_is_found_by_the_check_that_is_for_it(cls):
    names, words = BROKEN[cls]
    found = failing(cls, names)
    assert found.keys() == names
    said = found[next(iter(names))]
    assert words in said and "\n" not in said


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("calls os._exit", "SystemExit: os._exit(0)"),
        ("calls sys.exit", "SystemExit: 0"),
        ("changes folder, environment, signals, umask", "the current folder is / afterwards"),
        ("changes the defaults of torch", "torch's default dtype is torch.float64 afterwards"),
    ],
)
def test_what_a_plugin_does_to_the_process_is_told_and_undone(what, said):
    """In this very process, which goes on."""
    before = Path.cwd(), dict(os.environ), torch.get_default_dtype(), torch.get_num_threads()
    umask = os.umask(0o22)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD)}
    vandal = next(each.cls for each in Registry().add(PLUGINS / "vandals.py") if each.name == "vandal")
    try:
        checked = {str(check): check for check in checks(vandal, {"what": what, "at": 1}, ("bert",))}
        outcome = checked["process-bert"].outcome()
    finally:
        os.umask(umask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert outcome.status == "failed" and said in outcome.said
    assert (Path.cwd(), dict(os.environ), torch.get_default_dtype(), torch.get_num_threads()) == before


NAMES = Registry().names("methods")
TRIED = ("zero_shot",)  # trains nothing, and is quick


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in TRIED else [pytest.mark.slow]) for name in NAMES]
)
def test_every_method_of_ours_passes(name, monkeypatch):
    monkeypatch.setattr(classes, "STEPS", 40)
    found = {}
    cls = Registry().get("methods", name).cls
    for check in checks(cls):
        outcome = check.outcome(source_of(cls))
        if outcome.status == "failed":
            found[str(check)] = outcome.said
    assert found == {}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_class_promises_of_its_start_is_what_the_tests_of_methods_hold_it_to(name):
    if name in METHODS:
        assert Registry().get("methods", name).cls.identical_at_start == (name in IDENTICAL_AT_START)

"""No field of any method is without effect: another value changes what is trained, or what training makes of it, or is
refused. Two values that change nothing would be two cells of one result."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import ValidationError
from transformers import PreTrainedModel

from bench.registry import Registry
from bench.step import optimizer_of
from methods.anatomy import Anatomy
from methods.base import Method, MethodBase
from methods.composition.functions import Nonlinearity
from tests.methods.tiny import CONFIGURATIONS, TASK, batch, head_of, logits, tiny

STEPS = 8
# Beside the tests' usual configuration, what makes things happen within so few steps.
SOON: dict[str, dict[str, Any]] = {"spiel": {"every": 4, "accumulate": 2, "rate": 0.9}, "adalora": {"every": 1}}
# What a value of a choice needs beside it.
WITH: dict[tuple[str, Any], dict[str, Any]] = {("init", "text"): {"init_token_ids": (3,)}}
# Other values of fields whose type does not tell any.
OTHERS: dict[str, tuple[Any, ...]] = {
    "targets": (("query", "ffn_in"),),
    "init_token_ids": ((4,),),
    "source": ("elsewhere",),
}

NATIVE = Registry().names("methods")
CLASSES: dict[str, type[MethodBase]] = {name: Registry().get("methods", name).cls for name in NATIVE}
FIELDS = [pytest.param(name, field, id=f"{name}-{field}") for name in NATIVE for field in CLASSES[name].model_fields]


def choices(annotation: Any) -> tuple[Any, ...]:
    if annotation is bool:
        return (False, True)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def others(cls: type[MethodBase], field: str, value: Any) -> list[Any]:
    """Other values, valid or not: enough that one is."""
    annotation = cls.model_fields[field].annotation
    if found := OTHERS.get(field) or choices(annotation):
        return [other for other in found if other != value]
    if annotation is int:
        return [value + 1, value - 1, 2 * value, value // 2]
    if annotation is float:
        return [value / 2 or 0.25, 2 * value or 0.5, 0.75]
    pytest.fail(f"say in OTHERS what else {field!r} of {cls.__name__} can be: its type, {annotation}, does not tell")


def branches(name: str) -> Iterator[dict[str, Any]]:
    """The usual options, and for every choice that a method offers, those with each of its values."""
    usual = CONFIGURATIONS.get(name, {}) | SOON.get(name, {})
    yield usual
    for field, about in CLASSES[name].model_fields.items():
        if about.annotation is not Nonlinearity:  # which the name says decides about nothing else
            for value in choices(about.annotation):
                yield usual | {field: value} | WITH.get((field, value), {})


@cache
def plain() -> PreTrainedModel:
    return tiny("bert", num_hidden_layers=3)  # so that a number of layers has another value


def deeds(method: MethodBase) -> Iterator[Any]:
    """All that a method says of itself and does to a model, bit by bit: what it inserts, and what steps make of it."""
    model = copy.deepcopy(plain())
    anatomy = Anatomy(model, head_of(model))
    yield method.demonstrations(), method.extra_positions, method.phases()
    if method.unsupported(anatomy, TASK):
        return
    assert isinstance(method, Method)
    torch.manual_seed(1)
    method.adapt(anatomy, TASK)
    yield {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    yield logits(model, batch("bert")).tolist()
    for phase in method.phases():
        torch.manual_seed(0)
        method.on_phase(anatomy, phase, STEPS)
        optimizer = optimizer_of(anatomy, method, phase)
        model.train()
        for step in range(1, STEPS + 1):
            torch.manual_seed(step)  # what was drawn before counts for nothing, here or by what this is compared with
            optimizer.zero_grad()
            model(**batch("bert", seed=step), labels=torch.tensor([0, 1, 2])).loss.backward()
            method.after_backward(anatomy, step)
            optimizer.step()
            method.after_step(anatomy, step, optimizer)
            yield [p.sum().item() for p in model.parameters() if p.requires_grad]
        model.eval()
        yield logits(model, batch("bert")).tolist()


def verdict(name: str, field: str, options: dict[str, Any]) -> str:
    """Whether other values have an "effect", are all "refused", or leave everything as it was: "idle"."""
    cls = CLASSES[name]
    method = cls(**options)
    said = "refused"
    for value in others(cls, field, getattr(method, field)):
        try:
            changed = cls(**options | {field: value})
        except ValidationError as error:
            if field not in str(error):
                raise
            continue
        if changed.out_of_range(Anatomy(model := copy.deepcopy(plain()), head_of(model))):
            continue
        if any(one != two for one, two in zip(deeds(method), deeds(changed), strict=False)):
            return "effect"
        said = "idle"
    return said


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_no_field_is_without_effect(name, field):
    found = [(options, verdict(name, field, options)) for options in branches(name)]
    assert [options for options, said in found if said == "idle"] == []
    assert any(said == "effect" for _, said in found), "no value is taken: say in OTHERS which is"


@pytest.mark.parametrize("name", ["lora", "adalora", "spiel", "diff_pruning", "prefix_tuning"])
def test_what_differs_is_the_fields_doing(name):
    """Without a change there is none, or the test above would show nothing."""
    method = CLASSES[name](**next(branches(name)))
    assert list(deeds(method)) == list(deeds(method))


class Careless(CLASSES["lora"]):  # type: ignore[misc,valid-type]
    unread: int = 1


def test_a_field_that_nothing_reads_is_found(monkeypatch):
    """In a method that is made for this, or the test above could not fail."""
    monkeypatch.setitem(CLASSES, "careless", Careless)
    assert verdict("careless", "unread", {"rank": 4}) == "idle"
    assert verdict("careless", "alpha", {"rank": 4}) == "effect"


@pytest.mark.parametrize("name", ["zero_shot", "few_shot"])
def test_what_trains_nothing_takes_no_rate_of_learning(name):
    for field in ("lr", "weight_decay"):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            CLASSES[name](**{field: 0.1})


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("prefix_tuning", {"width": 64}, "width has no effect unless reparametrise is true; leave it out"),
        ("mam", {"width": 64}, "width has no effect unless reparametrise is true; leave it out"),
        ("hyperprompt", {"form": "share", "condition": 8}, "condition has no effect unless form is global"),
        ("lora", {"rank": 1, "rank_stabilised": True}, "rank_stabilised has no effect unless rank is above 1"),
        ("adalora", {"excess": 1, "beta2": 0.5}, "beta2 has no effect unless excess is above 1"),
        ("adalora", {"warm_up": 0.8}, "warm_up 0.8 and settle 0.3 are shares of the steps"),
        ("spiel", {"accumulate": 21}, "accumulate 21 exceeds every 20; it takes 1 to 20"),
        ("spiel", {"rate": 0, "every": 10}, "every has no effect unless rate is above 0"),
        ("prompt_tuning", {"length": 2, "init": "text", "init_token_ids": [3, 4, 5]}, "length 2 has no place for 3"),
    ],
)
def test_a_value_that_would_have_no_effect_is_refused(name, options, told):
    with pytest.raises(ValidationError, match=told):
        CLASSES[name](**options)


def test_a_target_that_is_asked_for_and_missing_does_not_apply_while_all_means_all_there_are():
    anatomy = Anatomy(model := tiny("bert"), head_of(model))
    qlora = CLASSES["qlora"]
    assert qlora().unsupported(anatomy, TASK) is None
    assert qlora(targets=["query", "ffn_gate"]).unsupported(anatomy, TASK) == "the architecture bert has no ffn_gate"


@pytest.mark.parametrize("name", NATIVE)
def test_defaults_written_out_are_the_defaults(name):
    """As a worker gets them: a cell's hyperparameters hold every field, those without effect included."""
    method = CLASSES[name]()
    assert CLASSES[name](**method.hyperparameters()) == method

"""Whether every field of a method has an effect: another value changes what is trained, or what training makes of it,
or is refused. Two values that change nothing would be two cells of one result."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

import torch
from pydantic import ValidationError
from transformers import PreTrainedModel

from bench.checks.models import TASK, batch, head_of, logits, tiny
from bench.step import optimizer_of
from methods.anatomy import Anatomy
from methods.base import Method, MethodBase
from methods.composition.functions import Nonlinearity

STEPS = 8
# What a value of a choice needs beside it.
WITH: dict[tuple[str, Any], dict[str, Any]] = {("init", "text"): {"init_token_ids": (3,)}}
# Other values of fields whose type does not tell any. A plugin gives its own as `Field(…, examples=[…])`.
OTHERS: dict[str, tuple[Any, ...]] = {
    "targets": (("query", "ffn_in"),),
    "init_token_ids": ((4,),),
    "source": ("elsewhere",),
}
Verdict = Literal["effect", "idle", "refused", "unknown"]


def choices(annotation: Any) -> tuple[Any, ...]:
    """All values of a type that lists them; of any other none."""
    if annotation is bool:
        return (False, True)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def others(cls: type[MethodBase], field: str, value: Any) -> list[Any]:
    """Other values, valid or not: enough that one is. None where neither the field's type nor its examples tell any."""
    annotation: Any = cls.model_fields[field].annotation
    if found := OTHERS.get(field) or choices(annotation):
        return [other for other in found if other != value]
    if annotation is int:
        return [value + 1, value - 1, 2 * value, value // 2]
    if annotation is float:
        return [value / 2 or 0.25, 2 * value or 0.5, 0.75]
    return [other for other in cls.model_fields[field].examples or () if other != value]


def small(cls: type[MethodBase]) -> dict[str, Any]:
    """The values with which a method is tried on a tiny model: the first example of each field that has some."""
    return {name: field.examples[0] for name, field in cls.model_fields.items() if field.examples}


def branches(cls: type[MethodBase], usual: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The usual options, and for every choice that a method offers, those with each of its values."""
    yield dict(usual)
    for field, about in cls.model_fields.items():
        annotation: Any = about.annotation
        if annotation is not Nonlinearity:  # which the name says decides about nothing else
            for value in choices(annotation):
                yield {**usual, field: value, **WITH.get((field, value), {})}


@cache
def plain() -> PreTrainedModel:
    """Of three layers, so that a number of layers has another value."""
    return tiny("bert", num_hidden_layers=3)


def deeds(method: MethodBase, steps: int = STEPS) -> Iterator[Any]:
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
        method.on_phase(anatomy, phase, steps)
        optimizer = optimizer_of(anatomy, method, phase)
        model.train()
        for step in range(1, steps + 1):
            torch.manual_seed(step)  # what was drawn before counts for nothing, here or by what this is compared with
            optimizer.zero_grad()
            model(**batch("bert", seed=step), labels=torch.tensor([0, 1, 2])).loss.backward()
            method.after_backward(anatomy, step)
            optimizer.step()
            method.after_step(anatomy, step, optimizer)
            yield [p.sum().item() for p in model.parameters() if p.requires_grad]
        model.eval()
        yield logits(model, batch("bert")).tolist()


def verdict(cls: type[MethodBase], field: str, options: Mapping[str, Any], steps: int = STEPS) -> Verdict:
    """Whether other values have an "effect", are all "refused", or leave everything as it was: "idle". "unknown" where
    the field's type tells no other value."""
    method = cls(**options)
    values = others(cls, field, getattr(method, field))
    said: Verdict = "refused" if values else "unknown"
    for value in values:
        try:
            changed = cls(**{**options, field: value})
        except ValidationError as error:
            if field not in str(error):
                raise
            continue
        if changed.out_of_range(Anatomy(model := copy.deepcopy(plain()), head_of(model))):
            continue
        if any(one != two for one, two in zip(deeds(method, steps), deeds(changed, steps), strict=False)):
            return "effect"
        said = "idle"
    return said

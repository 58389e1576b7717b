"""Every hyperparameter has an effect, and takes what is meant as its value alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError

from bench.registry import Registry
from methods.anatomy import Anatomy
from methods.base import Method
from methods.composition.functions import Nonlinearity
from tests.methods.tiny import CONFIGURATIONS, METHODS, TASK, batch, head_of, logits, tiny

# What a field needs to be read at all: the options that go with it.
TOGETHER: dict[str, dict[str, Any]] = {
    "width": {"reparametrise": True},
    "init_token_ids": {"init": "text", "init_token_ids": (3,)},
    "accumulate": {"every": 6, "accumulate": 2},
    "rate": {"every": 2, "rate": 0.2},
    "after_attention": {"bottleneck": 8},
}
# Another value of a field, where twice as much, or another choice, would be none.
OTHER: dict[str, Any] = {
    "targets": ("query", "ffn_in"), "init": "random", "init_token_ids": (4,), "source": "elsewhere", "divisions": 2,
    "excess": 2.0, "penalty": 0.9, "layers": 2, "rate": 0.9, "every": 3, "warm_up": 0.4, "settle": 0.6,
    "beta1": 0.2, "beta2": 0.2,
}  # fmt: skip
STEPS = 8


def other(cls: type[Method], name: str, value: Any) -> Any:
    annotation = cls.model_fields[name].annotation
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    if annotation is Nonlinearity or isinstance(value, str):
        return next(choice for choice in get_args(annotation) if choice != value)
    if isinstance(value, int):
        return value + 1
    return value / 2 if value else 0.3


def deeds(method: Method) -> Iterator[Any]:
    """All that a method says of itself and does to a model, bit by bit: what it inserts, and what steps make of it."""
    torch.manual_seed(0)
    model = tiny("bert")
    anatomy = Anatomy(model, head_of(model))
    phases = method.phases()
    yield method.demonstrations(), phases
    if method.unsupported(anatomy, TASK):
        return
    torch.manual_seed(1)
    method.adapt(anatomy, TASK)
    yield {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    yield logits(model, batch("bert")).tolist()
    for phase in phases:
        method.on_phase(anatomy, phase, STEPS)
        groups = [group | {"lr": group.get("lr", 1e-3) * phase.lr_scale} for group in method.parameter_groups(anatomy)]
        optimizer = torch.optim.AdamW(groups)
        model.train()
        for step in range(1, STEPS + 1):
            optimizer.zero_grad()
            model(**batch("bert", seed=step), labels=torch.tensor([0, 1, 2])).loss.backward()
            method.after_backward(anatomy, step)
            optimizer.step()
            method.after_step(anatomy, step, optimizer)
            yield [p.sum().item() for p in model.parameters() if p.requires_grad]
        model.eval()
        yield logits(model, batch("bert")).tolist()


NATIVE = sorted({label.partition("@")[0] for label in METHODS} | {"zero_shot", "few_shot"})
FIELDS = [
    pytest.param(name, field, id=f"{name}-{field}")
    for name in NATIVE
    for field in Registry().get("methods", name).cls.model_fields
    if field not in ("lr", "weight_decay")  # which the engine reads
]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_hyperparameter_has_an_effect(name, field):
    cls = Registry().get("methods", name).cls
    options = CONFIGURATIONS.get(name, {}) | {
        key: value for key, value in TOGETHER.get(field, {}).items() if key in cls.model_fields
    }
    method = cls(**options)
    changed = cls(**options | {field: other(cls, field, getattr(method, field))})
    assert getattr(changed, field) != getattr(method, field)
    assert any(one != two for one, two in zip(deeds(method), deeds(changed), strict=False))


@pytest.mark.parametrize("name", ["lora", "adalora", "spiel", "diff_pruning", "prefix_tuning"])
def test_what_differs_is_the_hyperparameters_doing(name):
    """Without a change there is none, or the test above would show nothing."""
    assert list(deeds(METHODS[name])) == list(deeds(METHODS[name]))


NUMBERS = [
    pytest.param(name, field, id=f"{name}-{field}")
    for name in NATIVE
    for field, about in Registry().get("methods", name).cls.model_fields.items()
    if about.annotation in (int, float)
]


@pytest.mark.parametrize(("name", "field"), NUMBERS)
def test_no_number_is_infinite_or_nothing_at_all(name, field):
    """Truth values in place of numbers are the suite's to refuse: see tests/bench/test_suite.py."""
    cls = Registry().get("methods", name).cls
    for wrong in (math.nan, math.inf, -math.inf, None):
        with pytest.raises(ValidationError, match=field):
            cls(**{field: wrong})


def test_a_seed_that_torch_refuses_is_refused():
    cls = Registry().get("methods", "vera").cls
    torch.Generator().manual_seed(cls(seed=2**63 - 1).seed)
    with pytest.raises(ValidationError, match="seed"):
        cls(seed=2**64)


@pytest.mark.parametrize("name", NATIVE)
def test_a_method_says_how_many_positions_it_takes(name):
    """As the backbone sees them: what it embeds beside the words that it was given."""
    method = Registry().get("methods", name).cls(**CONFIGURATIONS.get(name, {}))
    model = tiny("bert")
    anatomy = Anatomy(model, head_of(model))
    if method.unsupported(anatomy, TASK) is None:
        method.adapt(anatomy, TASK)
    seen = []
    model.base_model.embeddings.register_forward_hook(lambda module, args, output: seen.append(output.shape[1]))
    model(**batch("bert"))
    assert seen == [10 + method.extra_positions]

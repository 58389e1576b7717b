"""A hyperparameter takes what is meant as its value alone. That each has an effect: test_fields.py."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from bench.registry import Registry
from methods.anatomy import Anatomy
from tests.methods.tiny import CONFIGURATIONS, METHODS, TASK, batch, head_of, tiny

NATIVE = sorted({label.partition("@")[0] for label in METHODS} | {"zero_shot", "few_shot"})
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

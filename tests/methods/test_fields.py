"""No field of any method is without effect: another value changes what is trained, or what training makes of it, or is
refused. Two values that change nothing would be two cells of one result."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bench.checks.fields import branches, deeds, verdict
from bench.registry import Registry
from methods.anatomy import Anatomy
from methods.base import MethodBase
from tests.methods.tiny import CONFIGURATIONS, TASK, head_of, tiny

# Beside the tests' usual configuration, what makes things happen within so few steps.
SOON: dict[str, dict[str, Any]] = {"spiel": {"every": 4, "accumulate": 2, "rate": 0.9}, "adalora": {"every": 1}}

NATIVE = Registry().names("methods")
CLASSES: dict[str, type[MethodBase]] = {name: Registry().get("methods", name).cls for name in NATIVE}
FIELDS = [pytest.param(name, field, id=f"{name}-{field}") for name in NATIVE for field in CLASSES[name].model_fields]


def usual(name: str) -> dict[str, Any]:
    return CONFIGURATIONS.get(name, {}) | SOON.get(name, {})


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_no_field_is_without_effect(name, field):
    found = [(options, verdict(CLASSES[name], field, options)) for options in branches(CLASSES[name], usual(name))]
    assert all(said != "unknown" for _, said in found), "say in OTHERS of bench/checks/fields.py what else it can be"
    assert [options for options, said in found if said == "idle"] == []
    assert any(said == "effect" for _, said in found), "no value is taken: say in OTHERS which is"


@pytest.mark.parametrize("name", ["lora", "adalora", "spiel", "diff_pruning", "prefix_tuning"])
def test_what_differs_is_the_fields_doing(name):
    """Without a change there is none, or the test above would show nothing."""
    method = CLASSES[name](**usual(name))
    assert list(deeds(method)) == list(deeds(method))


class Careless(CLASSES["lora"]):  # type: ignore[misc,valid-type]
    unread: int = 1


def test_a_field_that_nothing_reads_is_found():
    """In a method that is made for this, or the test above could not fail."""
    assert verdict(Careless, "unread", {"rank": 4}) == "idle"
    assert verdict(Careless, "alpha", {"rank": 4}) == "effect"


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

"""How a card's metrics are read: direction and range, said or known by name, and never guessed in silence."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.registry import Registry
from tasks.base import Card, Metric
from tasks.mixture import get


def card(*metrics: str | Metric, name: str = "made") -> Card:
    return Card(name, name, "classification", metrics, "", "", "", "", "", labels=("a", "b"))


@pytest.mark.parametrize(
    ("name", "higher", "low", "high"),
    [
        ("accuracy", True, 0, 1),
        ("f1_entity", True, 0, 1),
        ("rouge_l", True, 0, 1),
        ("recall@5", True, 0, 1),
        ("matthews", True, -1, 1),
        ("pearson", True, -1, 1),
        ("error_rate", False, 0, 1),
        ("wer", False, 0, None),  # more words can be put in than there were
        ("rmse", False, 0, None),
        ("perplexity_per_token", False, 0, None),
    ],
)
def test_a_name_that_the_field_knows_is_read_as_the_field_does(name: str, higher: bool, low: float, high: float | None):
    made = card(name)
    assert made.primary == Metric(name, higher, low, high)
    assert made.assumed == ()


def test_another_name_is_assumed_to_be_a_fraction_and_said_to_be_assumed():
    made = card("accuracy", "margin", Metric("gap", higher_is_better=False))
    assert made.metrics == ("accuracy", "margin", "gap")
    assert made.assumed == ("margin",)
    assert made.scales["margin"] == Metric("margin", True, 0, 1)
    assert not made.scales["gap"].higher_is_better


def test_a_card_made_of_another_reads_its_metrics_alike():
    made = card(Metric("gap", higher_is_better=False, low=-3, high=None), "margin")
    other = replace(made, name="other")
    assert other.primary == made.primary
    assert other.assumed == ("margin",)
    assert replace(made, metrics=("accuracy",)).scales == {"accuracy": Metric("accuracy")}


def test_a_range_holds_its_ends_and_what_is_undefined():
    percent = Metric("share", high=100.0)
    assert all(percent.allows(value) for value in (0.0, 100.0, 100.0 + 1e-6, math.nan, math.inf))
    assert not any(percent.allows(value) for value in (-0.1, 100.1))
    assert all(Metric("rmse", high=None).allows(value) for value in (0.0, 1e30))


def test_the_better_score_stands_higher_and_an_undefined_one_lowest():
    less, more = Metric("wer", higher_is_better=False, high=None), Metric("accuracy")
    assert less.standing(0.1) > less.standing(0.2) > less.standing(math.nan)
    assert more.standing(0.2) > more.standing(0.1) > more.standing(math.inf)


def test_a_mixture_averages_fractions_alone():
    registry = Registry()
    made = get("cola+sst2", registry)
    assert [(each.low, each.high) for each in made.card.scales.values()] == [(-1, 1), (-1, 1), (0, 1)]
    lower = SimpleNamespace(card=card("error_rate", name="lower"), kind="classification")
    plugin = SimpleNamespace(cls=lambda: lower, revision="1")
    with pytest.raises(ValueError, match="lower is scored by error_rate"):
        get("lower+other", SimpleNamespace(get=lambda kind, name: plugin))

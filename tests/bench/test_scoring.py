"""A task's scores, held against its card."""

from __future__ import annotations

import fractions
import math
from types import SimpleNamespace

import numpy as np
import pytest

from bench.scoring import Diverged, ScoreError, checked_scores, require_finite
from tasks.base import Card, Metric


def checked(found, *metrics: str | Metric, kind: str = "classification"):
    def score(predictions, references):
        return found() if callable(found) else found

    card = Card(
        name="mine", title="Mine", kind=kind, metrics=metrics or ("accuracy",), summary="", split="", licence="",
        citation="", bibtex="",
    )  # fmt: skip
    return checked_scores(SimpleNamespace(name="mine", kind=kind, card=card, score=score), [], [])


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), fractions.Fraction(1, 2)])
def test_any_real_number_becomes_a_float(value):
    found = checked({"accuracy": value})["accuracy"]
    assert type(found) is float and found == 0.5
    assert checked({"accuracy": np.int64(1)})["accuracy"] == 1.0


@pytest.mark.parametrize("value", [None, "0.5", True, np.bool_(True), np.array([0.5]), [0.5], 0.5j, 10**400])
def test_what_is_no_number_is_refused_with_its_name_and_value(value):
    with pytest.raises(ScoreError, match=r"^task mine: score\(\) returned accuracy = ") as caught:
        checked({"accuracy": value})
    assert "\n" not in str(caught.value)


def test_undefined_scores_stay():
    found = checked({"accuracy": math.nan, "odds": -math.inf})
    assert math.isnan(found["accuracy"]) and found["odds"] == -math.inf


def test_a_metric_that_is_lacking_is_told_to_the_author():
    with pytest.raises(
        ScoreError, match=r"^task mine: score\(\) returned accuracy, f1, and not mcc, which its card names$"
    ):
        checked({"accuracy": 1.0, "f1": 1.0}, "mcc", "accuracy")
    with pytest.raises(ScoreError, match="returned nothing, and not accuracy"):
        checked({})
    with pytest.raises(ScoreError, match=r"returned 0\.5 \(float\), and not a dictionary"):
        checked(0.5)


@pytest.mark.parametrize(
    ("metric", "value", "advice"),
    [
        ("accuracy", 95.8, r'between 0 and 1; return a fraction, 0\.958, or .* Metric\("accuracy", high=100\)'),
        ("margin", -0.5, r'between 0 and 1; .* Metric\("margin", low=\.\.\.\)'),
        ("mcc", -1.5, r"between -1 and 1"),
        ("perplexity", -1.0, r"between 0 and any number"),
        ("points", 1000.0, r'Metric\("points", high=\.\.\.\)'),
        (Metric("accuracy", high=100), 100.5, r"between 0 and 100"),
    ],
)
def test_a_score_outside_its_range_says_what_to_write(metric, value, advice):
    name = metric if isinstance(metric, str) else metric.name
    with pytest.raises(ScoreError, match=advice):
        checked({name: value}, metric)


def test_scores_within_their_ranges_pass():
    assert checked({"mcc": -1.0}, "mcc") == {"mcc": -1.0}
    assert checked({"accuracy": 95.8}, Metric("accuracy", high=100)) == {"accuracy": 95.8}
    assert checked({"perplexity": 1e6}, "perplexity") == {"perplexity": 1e6}


def test_the_primary_metric_comes_first_and_others_may_follow():
    assert list(checked({"extra": 7.0, "f1": 0.1, "accuracy": 0.2}, "accuracy", "f1")) == ["accuracy", "f1", "extra"]


def test_a_score_that_raises_is_told_with_its_error():
    with pytest.raises(ScoreError, match=r"^task mine: score\(\) raised ZeroDivisionError: division by zero$"):
        checked(lambda: 1 / 0)


def test_a_loss_that_is_no_number_is_a_divergence():
    require_finite(0.0, "test")
    for loss in (math.nan, math.inf, -math.inf):
        with pytest.raises(Diverged, match=r"^the test loss is not finite at step 3$"):
            require_finite(loss, "test", " at step 3")

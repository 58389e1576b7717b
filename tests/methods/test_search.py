"""Where searches look for hyperparameters: the same width for every method, and the paper's own rates within it."""

from __future__ import annotations

import re

import pytest

from bench.registry import Registry
from methods.base import Method
from records.cards import Range

NATIVE = Registry().names("methods")
TRAINED = [name for name in NATIVE if issubclass(Registry().get("methods", name).cls, Method)]


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_has_two_decades_of_learning_rates_with_its_default_in_them(name: str):
    cls = Registry().get("methods", name).cls
    (space,) = cls.card.search
    assert space.name == "lr"
    assert space.high == pytest.approx(100 * space.low)
    assert space.low <= cls.model_fields["lr"].get_default() <= space.high
    assert not space.source or f"{{{space.source}," in cls.card.bibtex


@pytest.mark.parametrize("name", TRAINED)
def test_rates_that_a_paper_names_lie_in_the_range(name: str):
    (space,) = Registry().get("methods", name).cls.card.search
    named = [float(rate) for rate in re.findall(r"\d[\d.]*e-\d|0\.\d+", space.text)]
    assert bool(named) == bool(space.source)
    # Lester et al. went lower by a factor of five than two decades below their highest rate.
    assert all(space.low <= rate <= space.high for rate in named if "upper part" not in space.text)


def test_what_only_prompts_has_no_search():
    assert all(not Registry().get("methods", name).cls.card.search for name in {*NATIVE} - {*TRAINED})


def test_places_in_a_range_are_logarithmic():
    space = Range("lr", 1e-4, 1e-2, "")
    assert [space.at(share) for share in (0.0, 0.5, 1.0)] == [1e-4, 1e-3, 1e-2]
    assert space.at(1 / 3) == 4.64159e-4  # 10 ** (-4 + 2 / 3), to six digits
    assert space.place(1e-3) == pytest.approx(0.5)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1e-2, 1e-4), (1e-3, 1e-3), (-1, 1)])
def test_a_range_without_a_logarithm_is_refused(low: float, high: float):
    with pytest.raises(ValueError, match="the range of 'lr' goes from a number above 0 to a higher one"):
        Range("lr", low, high, "")

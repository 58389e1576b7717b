"""A small part of `make statistics`: verdicts are false as rarely as promised, and intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from tests.simulation.suites import METHODS, Design
from tests.simulation.verdicts import judge

SUITES = 200
# A rate of at most 5 % shows as at most 9 % in 200 suites, but for one time in a hundred.
HIGHEST = 0.09
# Of 1,600 intervals, those of one suite share their reference.
LEAST_COVERED = 0.93

DESIGNS = [
    Design(seeds=3, examples=2_000, margin=0.02, spread=0.01),
    # Satterthwaite's degrees of freedom give a false word in 18 of 100 such suites.
    Design(seeds=3, examples=600, margin=0.03, spread=0.05),
    Design(seeds=5, examples=400, margin=0.05, spread=0.0),
]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: f"{design.seeds}x{design.examples}")
def test_words_are_false_as_rarely_as_promised(design: Design):
    none = judge(design, np.zeros(METHODS), SUITES, 1)
    edge = judge(design, np.full(METHODS, design.margin), SUITES, 2)
    for name in none:
        assert none[name].suites_with_false("better", "worse") <= HIGHEST
        assert edge[name].suites_with_false("practically equal") <= HIGHEST
    for name in ("examples", "examples and seeds"):
        assert min(none[name].covered.mean(), edge[name].covered.mean()) >= LEAST_COVERED


def test_words_are_given_where_they_are_true():
    design = Design(seeds=5, examples=400, margin=0.05, spread=0.003)
    assert judge(design, np.full(METHODS, -0.08), 20)["examples and seeds"].given("worse") > 0.9
    assert judge(design, np.zeros(METHODS), 20)["examples and seeds"].given("practically equal") > 0.8

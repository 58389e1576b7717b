"""Suites that were never run: who is right on which example with which seed, and how far apart they truly are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

METHODS = 8


@dataclass(frozen=True)
class Design:
    """Eight methods against a reference on one task. `margin` and `spread`, the standard deviation over seeds of a
    method's accuracy, are shares; `base` is the reference's accuracy."""

    seeds: int
    examples: int
    margin: float
    spread: float
    base: float = 0.85


class Suites(NamedTuple):
    """Answers by suite, configuration (the reference first), seed and example, true where they are right; and the true
    differences to the reference by suite and method: of these models on any example, and of any seeds."""

    right: np.ndarray
    of_models: np.ndarray
    of_methods: np.ndarray


# Beside how hard an example is (1), what a method, and a seed, make of it. Two methods then disagree on a tenth of the
# examples, and two seeds of one on a fourteenth, as fine-tuned models of one backbone do.
OWN = 0.3


def simulate(design: Design, differences: np.ndarray, suites: int, rng: np.random.Generator) -> Iterator[Suites]:
    """In batches that fit into memory. An answer is right where a sum of normal variables is above zero (a probit
    model), so that the truth is known in closed form."""
    seeds, examples, configurations = design.seeds, design.examples, METHODS + 1
    within = np.sqrt(1 + 2 * OWN**2)
    # A shift of the sum moves the accuracy by so much.
    slope = np.exp(-(special.ndtri(design.base) ** 2) / 2) / np.sqrt(2 * np.pi) / within
    between = design.spread / slope
    accuracy = design.base + np.array([0.0, *differences])
    ability = special.ndtri(accuracy) * np.hypot(within, between)
    most = max(1, 2_000_000 // (configurations * seeds * examples))
    for start in range(0, suites, most):
        n = min(most, suites - start)

        def normal(*shape: int, n: int = n) -> np.ndarray:
            return rng.standard_normal((n, *shape), dtype=np.float32)

        trained = ability[None, :, None] + between * normal(configurations, seeds)
        known = normal(1, 1, examples) + np.float32(OWN) * normal(configurations, 1, examples)
        noise = np.float32(OWN) * normal(configurations, seeds, examples)
        right = noise + known > -trained[..., None].astype(np.float32)
        truth = special.ndtr(trained / within).mean(axis=-1)
        of_methods = np.broadcast_to(np.asarray(differences, dtype=float), (n, METHODS))
        yield Suites(right, truth[:, 1:] - truth[:, :1], of_methods)

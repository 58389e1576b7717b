"""How often verdicts on differences are false, how often they are given, and how often intervals hold the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from reports.analysis.crossed import Estimate, crossed
from reports.analysis.decisions import word
from reports.analysis.statistics import holm
from tests.simulation.suites import METHODS, Design, simulate

SUITES = 1_000
# Widest first, as a report takes the first that is decided.
POPULATIONS = ("examples and seeds", "examples")
SPREADS = (0.0, 0.01, 0.03)
DESIGNS = (
    Design(seeds=3, examples=2_000, margin=0.02, spread=0.0),
    Design(seeds=5, examples=400, margin=0.05, spread=0.0),
    Design(seeds=5, examples=4_000, margin=0.01, spread=0.0),
    Design(seeds=3, examples=2_000, margin=0.01, spread=0.0, base=0.97),
)


@dataclass(frozen=True)
class Found:
    """Words by suite and method, with whether each is false of its population; and whether 95 % intervals hold."""

    words: np.ndarray
    false: np.ndarray
    covered: np.ndarray

    def given(self, *words: str) -> float:
        """The share of pairs that get one of the words."""
        return float(np.isin(self.words, words).mean())

    def suites_with_false(self, *words: str) -> float:
        """The share of suites with at least one of the words where it is false."""
        return float((self.false & np.isin(self.words, words)).any(axis=1).mean())


def judge(design: Design, differences: np.ndarray, suites: int, seed: int = 0) -> dict[str, Found]:
    """By population, and as `shown` in a report: the first of them that is decided."""
    rng = np.random.default_rng(seed)
    made: dict[str, list[Found]] = {name: [] for name in (*POPULATIONS, "shown")}
    for right, of_models, of_methods in simulate(design, differences, suites, rng):
        layout = crossed(right[:, 1:], right[:, :1], unit=1.0)
        wide = layout.other_seeds()
        assert wide is not None
        found = {
            "examples and seeds": _found(wide, of_methods, design.margin),
            "examples": _found(layout.these_models(), of_models, design.margin),
        }
        first, then = found.values()
        wider = first.words != "undecided"
        shown = (np.where(wider, getattr(first, name), getattr(then, name)) for name in ("words", "false", "covered"))
        for name, each in {**found, "shown": Found(*shown)}.items():
            made[name].append(each)
    return {name: _together(parts) for name, parts in made.items()}


def _found(estimate: Estimate, truth: np.ndarray, margin: float) -> Found:
    different, equal = (
        np.array([holm(family) for family in p]) for p in (estimate.p_different(), estimate.p_equivalent(margin))
    )
    words = np.vectorize(word, otypes=["U20"])(estimate.mean, different, equal)
    low, high = estimate.interval()
    # A truth at the margin is one that "practically equal" would be false of.
    false = {"better": truth <= 0, "worse": truth >= 0, "practically equal": np.abs(truth) >= margin - 1e-12}
    wrong = np.any([(words == name) & where for name, where in false.items()], axis=0)
    return Found(words, wrong, (low <= truth) & (truth <= high))


def _together(parts: list[Found]) -> Found:
    return Found(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("words", "false", "covered")))


def section() -> str:
    """Of the page: two tables, with what they say."""
    return "\n".join([PROSE, *_errors(), POWER_PROSE, *_powers()])


PROSE = f"""## Verdicts on differences

Each suite has {METHODS} methods against a reference on one task, every one with the same seeds and test examples.
Answers are right or wrong; two methods disagree on about a tenth of the examples. `spread` is the standard deviation
of a method's accuracy over seeds. The families are corrected by Holm's procedure as in a report. The population
*examples and seeds* is about any seeds on any examples, *examples* about the very models on any examples; a report
*shows* the wider one where it is decided.

False: in how many of {SUITES:,} suites at least one word was false. "Better" and "worse" are tried where no method
differs from the reference, and where half of them truly are five points below it, which leaves Holm's procedure
milder levels for the rest; "practically equal" is tried where all lie exactly at the margin. Coverage: how many of all
95 % intervals hold the truth. It is above 95 % for few seeds on purpose: Satterthwaite's degrees of freedom covered
as said on the whole, and erred in up to 18 of 100 suites with three seeds, where a spread of a point or three was
taken for none by chance.
"""

POWER_PROSE = """
Power: how many of all pairs get the word, if all eight methods have the same true difference, and the spread over
seeds is half a point. Where there is little for examples and seeds, more seeds would help, and a report says how many.
"""


def _errors() -> Iterator[str]:
    yield (
        "| seeds × examples | accuracy | margin | spread | false better/worse: examples and seeds | examples | shown |"
        " false equal: examples and seeds | examples | shown | coverage: examples and seeds | examples |"
    )
    yield "| --- " * 3 + "| ---: " * 9 + "|"
    for at, design in enumerate(replace(d, spread=spread) for d in DESIGNS for spread in SPREADS):
        none = judge(design, np.zeros(METHODS), SUITES, 3 * at)
        half = judge(design, np.repeat([0.0, -0.05], METHODS // 2), SUITES, 3 * at + 1)
        edge = judge(design, np.full(METHODS, -design.margin), SUITES, 3 * at + 2)
        unequal = [
            max(found[name].suites_with_false("better", "worse") for found in (none, half))
            for name in (*POPULATIONS, "shown")
        ]
        equal = [edge[name].suites_with_false("practically equal") for name in (*POPULATIONS, "shown")]
        covered = [float(np.mean([found[name].covered for found in (none, half, edge)])) for name in POPULATIONS]
        yield _row(design, f"{100 * design.spread:g} points", *unequal, *equal, *covered)


def _powers() -> Iterator[str]:
    yield (
        "| seeds × examples | accuracy | margin | true difference | better/worse: examples and seeds | examples |"
        " practically equal: examples and seeds | examples |"
    )
    yield "| --- " * 4 + "| ---: " * 4 + "|"
    for at, design in enumerate(replace(d, spread=0.005) for d in DESIGNS):
        sizes = dict(zip(("none", "¼ margin", "½ margin"), (0, 0.25 * design.margin, 0.5 * design.margin), strict=True))
        for name, size in (sizes | {"1 point": 0.01, "2 points": 0.02, "5 points": 0.05}).items():
            found = judge(design, np.full(METHODS, -size), SUITES, 1_000 + at)
            shares = [found[of].given(*words) for words in (("worse",), ("practically equal",)) for of in POPULATIONS]
            yield _row(design, name, *shares)


def _row(design: Design, name: str, *shares: float) -> str:
    first = f"{design.seeds} × {design.examples:,} | {100 * design.base:g} % | {100 * design.margin:g} points | {name}"
    return f"| {first} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |"

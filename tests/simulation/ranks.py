"""How often the confidence sets of ranks and the states of Pareto fronts are right, over simulated suites of which the
truth is known.

    python -m tests.simulation.ranks

prints the section that docs/statistics.md has on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.analysis.front_states import Span, front_states
from reports.analysis.joint import Joint, joint
from reports.analysis.rank_sets import DRAWS, rank_sets
from reports.outcomes import Outcomes

SUITES, SEEDS, SIZES = 1000, 3, (400, 2000)
# Standard deviations on the scale of a probit model: of how hard an example is, of how hard it is for one
# configuration, and for one run of it. Two runs of a configuration then differ on an eighth of the examples, two
# configurations on a sixth.
EXAMPLE, CONFIGURATION, RUN = 1.0, 0.4, 0.5
SPREAD = 0.06


@dataclass(frozen=True)
class Scenario:
    """What is true of a suite: the accuracy of each configuration on all examples and seeds there are, the cheapest
    first, and by how much each varies over seeds on the probit scale (0.06: about 1.5 points)."""

    name: str
    scores: tuple[float, ...]
    spreads: tuple[float, ...]


def _evenly(best: float, step: float, n: int) -> tuple[float, ...]:
    return tuple(round(best - step * i, 6) for i in range(n))


# Of the scores that are not all alike, the order is another than that of costs.
_MIXED = (3, 0, 7, 1, 10, 5, 2, 9, 4, 11, 6, 8)
SCENARIOS = (
    Scenario("12 alike", (0.8,) * 12, (SPREAD,) * 12),
    Scenario("12 alike, no spread over seeds", (0.8,) * 12, (0.0,) * 12),
    Scenario("12 alike, half of which vary three times as much", (0.8,) * 12, (SPREAD, 3 * SPREAD) * 6),
    Scenario("12, each 0.2 points apart", tuple(_evenly(0.8, 0.002, 12)[i] for i in _MIXED), (SPREAD,) * 12),
    Scenario("12, better by 0.05 points with each step of cost", _evenly(0.8, -0.0005, 12), (SPREAD,) * 12),
    Scenario("12, each 1 point apart", tuple(_evenly(0.85, 0.01, 12)[i] for i in _MIXED), (SPREAD,) * 12),
    Scenario("12, three groups of four alike, 4 points apart", (0.84, 0.8, 0.76) * 4, (SPREAD,) * 12),
    Scenario("4 alike, half of which vary three times as much", (0.8,) * 4, (SPREAD, 3 * SPREAD) * 2),
)


def suites(scenario: Scenario, examples: int, n: int, seeds: int = SEEDS) -> Iterator[Joint]:
    """`n` suites as reports see them: outcomes of all examples by every seed of every configuration."""
    rng = np.random.default_rng([examples, len(scenario.name)])
    p = len(scenario.scores)
    spread = np.array(scenario.spreads)[:, None]
    deviation = np.sqrt(EXAMPLE**2 + CONFIGURATION**2 + RUN**2 + spread**2)
    ability = stats.norm.ppf(np.array(scenario.scores))[:, None] * deviation
    ids = tuple(map(str, range(examples)))
    for _ in range(n):
        level = ability + spread * rng.normal(size=(p, seeds))
        hard = EXAMPLE * rng.normal(size=examples) + CONFIGURATION * rng.normal(size=(p, examples))
        right = level[:, :, None] + hard[:, None, :] + RUN * rng.normal(size=(p, seeds, examples)) > 0
        outcomes = {f"m{k}": {s: right[k, s].astype(float) for s in range(seeds)} for k in range(p)}
        scores = {label: {s: float(values.mean()) for s, values in of.items()} for label, of in outcomes.items()}
        found = joint(scores, Outcomes("backbone", "task", ids, outcomes))
        assert found is not None
        yield found


@dataclass
class Counts:
    """Over `n` suites: in how many all true ranks lay in their sets at once, the sum of the shares of pairs that were
    told apart, and in how many a state of the front was wrong: one that is in truth dominated said to be on it, or the
    other way round; and the same where states go by the share of resamples instead (`naive`)."""

    n: int = 0
    covered: int = 0
    told: float = 0.0
    decided: float = 0.0
    wrongly_on: int = 0
    wrongly_off: int = 0
    naive_wrong: int = 0


def count(scenario: Scenario, examples: int, n: int) -> Counts:
    """Of one scenario."""
    truth = np.array(scenario.scores)
    best, worst = 1 + (truth[:, None] < truth).sum(axis=1), len(truth) - (truth[:, None] > truth).sum(axis=1)
    # Costs rise: one is on the front where it is better than all that are cheaper. A tie is dominated.
    on_front = truth > np.concatenate([[-np.inf], np.maximum.accumulate(truth)[:-1]])
    counts = Counts()
    for found in suites(scenario, examples, n):
        ranks = rank_sets(found, "backbone", ("task",))
        sets = list(ranks.sets.values())
        # Of several that are alike, none may be excluded from any of the ranks that they share.
        counts.covered += all(s.low <= b and s.high >= w for s, b, w in zip(sets, best, worst, strict=True))
        counts.told += len(ranks.better) / (len(truth) * (len(truth) - 1) / 2)
        states = list(front_states({f"m{i}": Span(i, i) for i in range(len(truth))}, ranks.better).values())
        counts.decided += float(np.mean([state != "undecided" for state in states]))
        counts.wrongly_on += any(s == "on the front" and not on for s, on in zip(states, on_front, strict=True))
        counts.wrongly_off += any(s == "dominated" and on for s, on in zip(states, on_front, strict=True))
        share = _share_on_front(found)
        counts.naive_wrong += bool((share[~on_front] >= 0.95).any() or (share[on_front] <= 0.05).any())
        counts.n += 1
    return counts


def _share_on_front(of: Joint) -> np.ndarray:
    """In how many resamples each is on the front, where costs rise."""
    drawn = of.scores + of.errors(DRAWS)
    cheaper = np.maximum.accumulate(drawn, axis=1)[:, :-1]
    return np.concatenate([[1.0], (drawn[:, 1:] > cheaper).mean(axis=0)])


def section(n: int = SUITES) -> str:
    """The section, as Markdown, from `n` suites for every row."""
    lines = [
        "## Ranks and fronts",
        "",
        f"{n:,} simulated suites for each row, with {SEEDS} seeds: outcomes of test examples follow a probit model with"
        " examples and seeds crossed.",
        "*Covered*: all true ranks lie in their sets at once, where of configurations that are alike none may be"
        " excluded from any of their ranks. At least 95 % are promised;"
        f" {n:,} suites tell that to ±{196 * np.sqrt(0.05 * 0.95 / n):.1f} points.",
        "*Told apart*: the share of pairs of which one is shown to be better.",
        "*Front decided*: the share of configurations that are said to be on the front or dominated, where costs are"
        " known and no two are the same.",
        "*Wrong*: suites in which at least one that is in truth dominated is said to be on the front, or at least one"
        " that is on the front to be dominated.",
        "*By share*: suites with such a fault if states went by the share of resamples in which a configuration is on"
        " the front (95 % or more, 5 % or less).",
        "",
        "| suite | examples | covered | told apart | front decided | wrongly on | wrongly off | by share |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for scenario in SCENARIOS:
        for examples in SIZES:
            found = count(scenario, examples, n)
            shares = (found.covered, found.told, found.decided, found.wrongly_on, found.wrongly_off, found.naive_wrong)
            written = " | ".join(f"{100 * share / found.n:.1f} %" for share in shares)
            lines.append(f"| {scenario.name} | {examples:,} | {written} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(section(), end="")

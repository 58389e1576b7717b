"""Every configuration against the reference: differences of scores, paired by seed, tested as one family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.analysis.statistics import ALPHA, Comparison, compare_paired, holm, seeds_needed
from reports.analysis.summaries import Summaries, seeds_of
from reports.results import Results


@dataclass(frozen=True)
class Contrast:
    """A label against the reference on one task; `adjusted` is Holm's p over all contrasts of the run."""

    backbone: str
    task: str
    label: str
    comparison: Comparison
    ids: tuple[str, ...]
    adjusted: float | None = None


def compare_with_reference(results: Results, scored: Summaries) -> list[Contrast]:
    """Every label with the reference, paired by seed, for every backbone and task that has both."""
    found: list[Contrast] = []
    reference = results.reference
    if reference is None:
        return found
    for backbone in results.backbones:
        for task in results.tasks:
            theirs = scored.cells(backbone, task, reference)
            for label in results.labels:
                own = scored.cells(backbone, task, label)
                comparison = compare_paired(seeds_of(own), seeds_of(theirs))
                if label != reference and comparison.n:
                    found.append(Contrast(backbone, task, label, comparison, (*own.index, *theirs.index)))
    adjusted = iter(holm([c.comparison.p for c in found if c.comparison.p is not None]))
    return [c if c.comparison.p is None else replace(c, adjusted=next(adjusted)) for c in found]


@dataclass(frozen=True)
class Tested:
    """What contrasts show: how many are `tested`, and which are `shown` to be differences after correction.

    `pairs` is the greatest number of seeds in common. `sd`, a fraction, is the median standard deviation of the paired
    differences of scores in points, None without any; `seeds` is how many a test needs, given it, to find a difference
    of one point with 80 % power before correction (None: more than 1,000).
    """

    tested: int
    shown: tuple[Contrast, ...]
    pairs: int
    sd: float | None
    seeds: int | None


ONE_POINT = 0.01


def tested(results: Results, contrasts: Sequence[Contrast]) -> Tested:
    """Counts what is tested among the contrasts."""
    made = [c for c in contrasts if c.adjusted is not None]
    spreads = [c.comparison.sd for c in contrasts if c.comparison.sd and results.scale(c.task).in_points]
    sd = float(np.median(spreads)) if spreads else None
    return Tested(
        tested=len(made),
        shown=tuple(c for c in made if c.adjusted is not None and c.adjusted < ALPHA),
        pairs=max((c.comparison.n for c in contrasts), default=0),
        sd=sd,
        seeds=None if sd is None else seeds_needed(sd, ONE_POINT),
    )

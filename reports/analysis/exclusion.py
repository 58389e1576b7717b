"""Which configurations the data exclude from being the best of those that meet somebody's constraints.

All that is used of scores is which configuration is shown to be worse than which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from reports.analysis.rank_sets import Ranks
from reports.analysis.summaries import Summaries, seeds_of
from reports.results import Results

LEVEL = 0.95

# By backbone and task (None: the mean over all tasks that may be averaged), for each configuration with a score those
# that it is shown to be worse than.
ShownWorse = dict[tuple[str, str | None], dict[str, frozenset[str]]]


def shown_worse(results: Results, scored: Summaries, ranks: Ranks) -> ShownWorse:
    """By the pairs that confidence sets of ranks tell apart, which are corrected for their number. Where there are no
    such sets, one configuration is shown to be worse than another where the interval of its mean score over seeds lies
    wholly below the other's (Student's, each for itself): a careful criterion, corrected for no number of comparisons.
    With one seed that shows nothing."""
    made: ShownWorse = {}
    for backbone in results.backbones:
        averaged = results.averaged(results.tasks)
        for task in (*results.tasks, *([None] if len(results.tasks) > 1 and averaged else [])):
            over = averaged if task is None else (task,)
            sets = ranks.over_all(backbone) if task is None else ranks.of(backbone, (task,))
            if sets is not None:
                better = {label: [a for a, b in sets.better if b == label] for label in sets.sets}
                made[backbone, task] = {label: frozenset(than) for label, than in better.items()}
                continue
            intervals = {label: interval(_by_seed(scored, backbone, over, label)) for label in results.labels}
            made[backbone, task] = _below({label: found for label, found in intervals.items() if found})
    return made


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's interval of the mean; unbounded for one value, None for none."""
    if not len(values):
        return None
    mean, n = float(np.mean(values)), len(values)
    if n == 1:
        return -np.inf, np.inf
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return mean - reach, mean + reach


def _by_seed(scored: Summaries, backbone: str, tasks: Sequence[str], label: str) -> list[float]:
    """The mean over tasks of each seed that has a score on all of them."""
    found = [seeds_of(scored.cells(backbone, task, label)) for task in tasks]
    shared = set.intersection(*(set(of) for of in found))
    return [float(np.mean([of[seed] for of in found])) for seed in sorted(shared)]


def _below(intervals: Mapping[str, tuple[float, float]]) -> dict[str, frozenset[str]]:
    return {
        label: frozenset(other for other, (low, _) in intervals.items() if high < low)
        for label, (_, high) in intervals.items()
    }

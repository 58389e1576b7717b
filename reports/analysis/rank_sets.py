"""Which configurations the data tell apart, all at once, and from that between which ranks each of them lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.analysis.joint import Joint, Population, joint, over_tasks
from reports.analysis.summaries import Summaries, seeds_of
from reports.outcomes import Outcomes
from reports.results import Results

LEVEL = 0.95
DRAWS = 4000
# Differences that vary less than this are the same number up to rounding: no test is made of them.
LEAST_ERROR = 1e-12


@dataclass(frozen=True)
class RankSet:
    """A configuration's `mean` score as it is held, its rank by that (1 is best, ties share the better one), and the
    `low`est and `high`est rank that the data do not exclude."""

    mean: float
    rank: int
    low: int
    high: int


@dataclass(frozen=True)
class RankSets:
    """The configurations that take part, over the given tasks' mean, in the suite's order. `absent` ones have a score,
    but neither outcomes of the examples nor seeds enough on every task.

    `better` holds (a, b) where a is shown to be better than b. All that is said here, and all that follows from it, is
    true at once with the probability `level`, about the `population`.
    """

    backbone: str
    tasks: tuple[str, ...]
    population: Population
    sets: dict[str, RankSet]
    better: frozenset[tuple[str, str]]
    level: float = LEVEL
    absent: tuple[str, ...] = ()

    def unbeaten(self, among: Sequence[str]) -> tuple[str, ...]:
        """Those than which none of the others is shown to be better. One that takes no part is among them."""
        return tuple(label for label in among if not any((other, label) in self.better for other in among))


def told_apart(of: Joint, level: float = LEVEL) -> np.ndarray:
    """Booleans (p, p): whether the score in the row is shown to be above that in the column. The probability that any
    of these statements is wrong is at most 1 - `level`.

    Mogstad, Romano, Shaikh and Wilhelm (2024), their stepwise procedure: differences over their standard errors are
    held against a quantile of the greatest of them, were there no difference, which is drawn from the errors' joint
    distribution; those beyond it are left out, and it is drawn again from the rest. Of a pair that is told apart, the
    opposite is still a hypothesis.
    """
    order = np.argsort(-of.scores, kind="stable")
    above, below = np.triu_indices(len(order), 1)
    above, below = order[above], order[below]
    error = of.standard_errors()[above, below]
    varies = error > LEAST_ERROR
    above, below, error = above[varies], below[varies], error[varies]
    shown = np.zeros((len(order), len(order)), dtype=bool)
    if not above.size:
        return shown
    drawn = of.errors(DRAWS)
    drawn = (drawn[:, above] - drawn[:, below]) / error
    found = (of.scores[above] - of.scores[below]) / error
    told = np.zeros(above.size, dtype=bool)
    while True:
        greatest = np.maximum(
            np.abs(drawn[:, ~told]).max(axis=1, initial=0.0), (-drawn[:, told]).max(axis=1, initial=0.0)
        )
        now = found > np.quantile(greatest, level)
        if (now == told).all():
            break
        told = now
    shown[above[told], below[told]] = True
    return shown


def rank_sets(of: Joint, backbone: str, tasks: tuple[str, ...], level: float = LEVEL) -> RankSets:
    """Confidence sets of all ranks at once: a configuration comes after all that are shown to be better, and before all
    that are shown to be worse."""
    above = told_apart(of, level)
    p = len(of.labels)
    ranks = 1 + (of.scores[:, None] < of.scores[None, :]).sum(axis=1)
    low, high = 1 + above.sum(axis=0), p - above.sum(axis=1)
    sets = {
        label: RankSet(float(of.scores[i]), int(ranks[i]), int(low[i]), int(high[i]))
        for i, label in enumerate(of.labels)
    }
    better = frozenset((of.labels[i], of.labels[j]) for i, j in np.argwhere(above))
    return RankSets(backbone, tasks, of.population, sets, better, level)


class Ranks:
    """The rank sets of every backbone and every task or mean over tasks, each computed once, when first asked for."""

    def __init__(
        self,
        results: Results,
        scored: Summaries,
        outcomes: Mapping[tuple[str, str], Outcomes],
        otherwise: Mapping[tuple[str, str], Joint] | None = None,
    ) -> None:
        """`otherwise` is what is known, by backbone and task, where neither outcomes nor seeds tell of errors."""
        self._results, self._scored, self._outcomes = results, scored, outcomes
        self._otherwise = otherwise or {}
        self._joint: dict[tuple[str, str], Joint | None] = {}
        self._found: dict[tuple[str, tuple[str, ...]], RankSets | None] = {}

    def of(self, backbone: str, tasks: Sequence[str]) -> RankSets | None:
        """Of the mean over `tasks`, all of which may be averaged. None where neither examples' outcomes nor seeds
        enough are known."""
        key = (backbone, tuple(tasks))
        if key not in self._found:
            parts = [part for task in tasks if (part := self.joint(backbone, task)) is not None]
            whole = over_tasks(parts) if parts and len(parts) == len(tasks) else None
            self._found[key] = (
                None if whole is None else replace(rank_sets(whole, *key), absent=self._absent(whole, *key))
            )
        return self._found[key]

    def _absent(self, of: Joint, backbone: str, tasks: Sequence[str]) -> tuple[str, ...]:
        labels = [label for label in self._results.labels if label not in of.labels]
        return tuple(label for label in labels if any(len(self._scored.cells(backbone, t, label)) for t in tasks))

    def by_task(self, backbone: str, tasks: Iterable[str]) -> list[RankSets]:
        """Of each of the tasks, where there are any."""
        return [found for task in tasks if (found := self.of(backbone, (task,))) is not None]

    def over_all(self, backbone: str) -> RankSets | None:
        """Of the mean over the backbone's tasks that have scores which may be averaged."""
        cells = self._results.scored
        there = set(cells.loc[cells["backbone"] == backbone, "task"])
        tasks = self._results.averaged([task for task in self._results.tasks if task in there])
        return self.of(backbone, tasks) if tasks else None

    def joint(self, backbone: str, task: str) -> Joint | None:
        """What is known of the errors of scores on one task."""
        if (backbone, task) not in self._joint:
            cells = {label: self._scored.cells(backbone, task, label) for label in self._results.labels}
            scores = {label: seeds_of(rows) for label, rows in cells.items() if len(rows)}
            found = joint(scores, self._outcomes.get((backbone, task)))
            self._joint[backbone, task] = found or self._otherwise.get((backbone, task))
        return self._joint[backbone, task]

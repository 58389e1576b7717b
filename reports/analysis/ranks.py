"""Configurations over several tasks: interquartile means with intervals, and average ranks with their critical
difference."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.analysis.joint import Joint, Population
from reports.analysis.rank_sets import Ranks
from reports.analysis.statistics import ALPHA, MIN_PAIRS
from reports.analysis.summaries import Summaries, seeds_of
from reports.results import Results

# task → seed → value
Scores = Mapping[str, Mapping[int, float]]

# Demšar (2006) has Friedman's test over ten data sets or more; below five even its least p-value says little.
MIN_TASKS = 5
RESAMPLES = 5000


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; `low` and `high` are None where there are too few values."""

    estimate: float
    low: float | None
    high: float | None
    n: int
    level: float = 0.95


def interquartile_mean(scores: Scores, level: float = 0.95) -> Interval:
    """Mean of the middle half of all tasks' and seeds' values (Agarwal et al. 2021), robust to outliers.

    The interval is the percentile one of a bootstrap stratified by task: seeds are drawn within each task, so
    it too is about these tasks. None where a task has fewer than MIN_PAIRS seeds: with three seeds on two
    tasks an interval of 95 % covers about 85 %, with five about 90 %, with ten 94 %.
    """

    strata = [values for by_seed in scores.values() if (values := _finite(by_seed)).size]
    if not strata:
        return Interval(float("nan"), None, None, 0, level)
    pooled = np.concatenate(strata)
    estimate = float(stats.trim_mean(pooled, 0.25))
    if min(values.size for values in strata) < MIN_PAIRS or np.ptp(pooled) < 1e-12:
        return Interval(estimate, None, None, pooled.size, level)

    def of_drawn(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        means: np.ndarray = stats.trim_mean(np.concatenate(drawn, axis=axis), 0.25, axis=-1)
        return means

    # scipy draws from each of several samples by itself: these are the strata.
    found = stats.bootstrap(
        strata,
        of_drawn,
        confidence_level=level,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(estimate, float(found.low), float(found.high), pooled.size, level)


def interquartile_mean_by_examples(scores: Scores, errors: Mapping[str, np.ndarray], level: float = 0.95) -> Interval:
    """The same estimate. The interval is that of other examples, and of other seeds where there are several: all scores
    of a task are shifted alike by its `errors` (draws,), and the middle half is taken again."""
    values = {task: _finite(by_seed) for task, by_seed in scores.items()}
    pooled = np.concatenate(list(values.values()))
    drawn = np.concatenate([errors[task][:, None] + of for task, of in values.items()], axis=1)
    low, high = np.quantile(stats.trim_mean(drawn, 0.25, axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(stats.trim_mean(pooled, 0.25)), float(low), float(high), pooled.size, level)


def _finite(by_seed: Mapping[int, float]) -> np.ndarray:
    values = np.array([by_seed[seed] for seed in sorted(by_seed)], dtype=float)
    finite: np.ndarray = values[np.isfinite(values)]
    return finite


@dataclass(frozen=True)
class Ranking:
    """Average ranks over tasks (1 is best) with Friedman's test and Nemenyi's critical difference, which are
    None below MIN_TASKS tasks or three labels. `groups` are the largest sets of labels, of two or more, whose
    average ranks lie within the critical difference, best first."""

    ranks: dict[str, float]
    friedman_p: float | None
    critical_difference: float | None
    groups: tuple[tuple[str, ...], ...] = ()


def average_ranks(means: Mapping[str, Mapping[str, float]], alpha: float = ALPHA) -> Ranking:
    """From each label's mean score per task, over the tasks that all labels have; ties share their mean rank.

    Tasks, not seeds, are the blocks (Demšar 2006): seeds of one task are no independent evidence of how
    methods rank on another. Best first.
    """
    labels = list(means)
    shared = [task for task in _tasks(means) if all(np.isfinite(means[label].get(task, np.nan)) for label in labels)]
    if not shared:
        return Ranking({}, None, None)
    table = np.array([[means[label][task] for label in labels] for task in shared])
    ranks = stats.rankdata(-table, axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    ranked = {labels[i]: float(ranks[i]) for i in order}
    if len(shared) < MIN_TASKS or len(labels) < 3:
        return Ranking(ranked, None, None)
    p = float(stats.friedmanchisquare(*table.T).pvalue)
    k = len(labels)
    quantile = float(stats.studentized_range.ppf(1 - alpha, k, np.inf)) / np.sqrt(2)
    critical = float(quantile * np.sqrt(k * (k + 1) / (6 * len(shared))))
    return Ranking(ranked, p if np.isfinite(p) else None, critical, _groups(ranked, critical))


def _tasks(means: Mapping[str, Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(task for by_task in means.values() for task in by_task))


def _groups(ranked: dict[str, float], critical: float) -> tuple[tuple[str, ...], ...]:
    labels, found, reached = list(ranked), [], 0
    for start in range(len(labels)):
        end = sum(ranked[label] - ranked[labels[start]] <= critical for label in labels)
        if end > reached and end - start > 1:
            found.append(tuple(labels[start:end]))
        reached = max(reached, end)
    return tuple(found)


@dataclass(frozen=True)
class Standing:
    """The configurations of one backbone over its `tasks` whose scores may be averaged: those that have all of them;
    `incomplete` ones lack some. `means` are interquartile means as scores are held, in the suite's order; `population`
    says what their intervals are about."""

    backbone: str
    tasks: tuple[str, ...]
    ranking: Ranking
    means: dict[str, Interval]
    incomplete: tuple[str, ...]
    population: Population = "seeds"

    @property
    def highest(self) -> str:
        """The configuration with the best interquartile mean."""
        return max(self.means, key=lambda label: self.means[label].estimate)


def standings(results: Results, scored: Summaries, ranks: Ranks) -> list[Standing]:
    """One per backbone with two configurations or more over two tasks or more."""
    made = []
    for backbone in results.backbones:
        there = [t for t in results.tasks if any(scored.of("score", backbone, t, each)[0].n for each in results.labels)]
        tasks = results.averaged(there)
        scores = {
            label: {task: seeds_of(scored.cells(backbone, task, label)) for task in tasks} for label in results.labels
        }
        incomplete = tuple(label for label, of in scores.items() if any(of.values()) and not all(of.values()))
        scores = {label: by_task for label, by_task in scores.items() if by_task and all(by_task.values())}
        if len(tasks) < 2 or len(scores) < 2:
            continue
        means = {label: {task: scored.of("score", backbone, task, label)[0].mean for task in tasks} for label in scores}
        joints = {task: of for task in tasks if (of := ranks.joint(backbone, task))}
        population = _population(joints, tasks, scores)
        if population == "seeds":
            intervals = {label: interquartile_mean(by_task) for label, by_task in scores.items()}
        else:
            intervals = _by_examples(scores, joints)
        made.append(Standing(backbone, tasks, average_ranks(means), intervals, incomplete, population))
    return made


def _by_examples(scores: Mapping[str, Scores], joints: Mapping[str, Joint]) -> dict[str, Interval]:
    # Tasks have examples and seeds of their own, and so streams.
    drawn = {task: of.errors(RESAMPLES, stream) for stream, (task, of) in enumerate(joints.items())}
    return {
        label: interquartile_mean_by_examples(
            by_task, {task: drawn[task][:, of.labels.index(label)] for task, of in joints.items()}
        )
        for label, by_task in scores.items()
    }


def _population(joints: Mapping[str, Joint], tasks: Sequence[str], labels: Collection[str]) -> Population:
    """Examples are among it where those of every task and configuration are known."""
    found = {of.population for of in joints.values()}
    if len(joints) < len(tasks) or any(set(labels) - set(of.labels) for of in joints.values()):
        return "seeds"
    return found.pop() if len(found) == 1 else "seeds"

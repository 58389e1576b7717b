"""The few scores that an abstract and a conclusion name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports.analysis.summaries import Summaries
from reports.results import Results, select


@dataclass(frozen=True)
class Range:
    """The configurations with the lowest and the highest mean test score on a task, over all backbones; scores as they
    are held."""

    task: str
    lowest: str
    low: float
    highest: str
    high: float


@dataclass(frozen=True)
class Best:
    """The configuration with the best mean validation score on a task, with its mean test score and, where there is
    one, that of full fine-tuning; scores as they are held."""

    task: str
    label: str
    score: float
    reference: float | None


def ranges(results: Results) -> list[Range]:
    """Of the tasks with a score."""
    made = []
    for task in results.tasks:
        cells = select(results.scored, task=task)
        if len(cells):
            means = cells.groupby("label")["score"].mean()
            made.append(Range(task, str(means.idxmin()), means.min(), str(means.idxmax()), means.max()))
    return made


def best(results: Results, scored: Summaries, labels: Iterable[str], backbone: str) -> list[Best]:
    """Among `labels`, by task, on one backbone; of the tasks where any of them has a test and a validation score."""
    labels, made = list(labels), []
    for task in results.tasks:
        tested = _means(scored, "score", backbone, task, results.labels)
        judged = _means(scored, "validation_score", backbone, task, [label for label in labels if label in tested])
        if judged:
            label = max(judged, key=judged.__getitem__)
            made.append(Best(task, label, tested[label], tested.get(results.reference or "")))
    return made


def _means(scored: Summaries, column: str, backbone: str, task: str, labels: Iterable[str]) -> dict[str, float]:
    """Of the labels that have any."""
    found = {label: scored.of(column, backbone, task, label)[0] for label in labels}
    return {label: summary.mean for label, summary in found.items() if summary.n}

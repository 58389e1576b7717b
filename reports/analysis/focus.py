"""Which configurations a topic's main part shows."""

from __future__ import annotations

from dataclasses import replace

from reports.analysis.summaries import summary_of
from reports.model.topics import Topic
from reports.results import Results, select

# A table of more labels than this is cut to the topic's own and one of every other family.
FEW_LABELS = 12


def focus(results: Results, topic: Topic) -> Results:
    """The results that the topic's main part shows: its own family, the baselines, and of every other family the
    label with the best mean validation score. All of them where they are few, or where the topic is all."""
    own = {label for label in results.labels if results.family_of(label) in (topic.family, "baseline")}
    if topic.family is None or len(results.labels) <= FEW_LABELS:
        return results
    others: dict[str, str] = {}
    for label in results.labels:
        family = results.family_of(label)
        if label not in own:
            best = others.setdefault(family, label)
            if _validation(results, label) > _validation(results, best):
                others[family] = label
    return restrict(results, own | set(others.values()))


def restrict(results: Results, labels: set[str]) -> Results:
    """The same results with these labels only."""
    return replace(
        results,
        cells=results.cells[results.cells["label"].isin(labels)],
        history=results.history[results.history["label"].isin(labels)],
        labels=tuple(label for label in results.labels if label in labels),
    )


def _validation(results: Results, label: str) -> float:
    """Mean of the mean validation scores over tasks that have one scale, else over the first; a task without one counts
    as the least that its scale has."""
    cells, found = select(results.cells, label=label), []
    for task in results.averaged(results.tasks) or results.tasks[:1]:
        summary, scale = summary_of(select(cells, task=task), "validation_score")[0], results.scale(task)
        found.append(summary.mean if summary.n else scale.worst)
    return sum(found) / max(1, len(found))

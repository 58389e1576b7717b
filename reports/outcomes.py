"""What is known of each test example, from the predictions that cells have kept: paired over cells, as scores are held.

Folders without predictions have none of this, and report all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from records import predictions
from records.store import RecordStore, ResultsError
from reports.results import Results, select


@dataclass(frozen=True)
class Outcomes:
    """A task's primary metric on its test examples, for one backbone.

    `scores` has for each label and seed the values by example (n,), in the order of `examples`, held such that more is
    better (`reports.scales`); the cell's score is their mean. Where the metric is no mean over examples that is empty,
    and `draws` has for each label and seed its values on the same RESAMPLES draws of the examples. `lacking` are the
    ids of scored cells that kept no predictions, or of other examples than most cells have.
    """

    backbone: str
    task: str
    examples: tuple[str, ...] = ()
    scores: Mapping[str, Mapping[int, np.ndarray]] = field(default_factory=dict)
    draws: Mapping[str, Mapping[int, np.ndarray]] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    @property
    def by_example(self) -> bool:
        """Whether the metric is a mean over examples."""
        return bool(self.scores)

    def __bool__(self) -> bool:
        return bool(self.scores or self.draws)

    def of(self, labels: Collection[str]) -> Outcomes:
        """Those of the labels alone."""
        scores, draws = (
            {label: found for label, found in values.items() if label in labels} for values in (self.scores, self.draws)
        )
        return replace(self, scores=scores, draws=draws)


def read_all(results: Results) -> dict[tuple[str, str], Outcomes]:
    """By backbone and task; only where predictions were kept."""
    pairs = [(backbone, task) for backbone in results.backbones for task in results.tasks]
    found = {pair: read_outcomes(results, *pair) for pair in pairs}
    return {pair: outcomes for pair, outcomes in found.items() if outcomes}


def read_outcomes(results: Results, backbone: str, task: str) -> Outcomes:
    """Cells whose files are broken are among the lacking."""
    own = select(results.scored, backbone=backbone, task=task)
    found = dict(_found(results, [str(cell) for cell in own.index], task))
    # Most cells' examples: of others, trained from another version of the data, say, nothing can be paired.
    sets = Counter(frozenset(outcome.examples) for outcome in found.values())
    shared = max(sets, key=sets.__getitem__, default=frozenset())
    examples = np.array(sorted(shared))
    sign = results.scale(task).raw(1.0)
    scores: dict[str, dict[int, np.ndarray]] = {}
    draws: dict[str, dict[int, np.ndarray]] = {}
    lacking = []
    for cell_id, label, seed in zip(own.index, own["label"], own["seed"], strict=True):
        outcome = found.get(cell_id)
        if outcome is None or frozenset(outcome.examples) != shared:
            lacking.append(str(cell_id))
        elif outcome.scores is not None:
            ordered = outcome.scores[np.argsort(outcome.examples)]
            scores.setdefault(label, {})[int(seed)] = sign * ordered
        elif outcome.draws is not None:
            draws.setdefault(label, {})[int(seed)] = sign * outcome.draws
    return Outcomes(backbone, task, tuple(map(str, examples)), scores, draws, tuple(lacking))


@dataclass(frozen=True)
class Proportion:
    """A score that is the share of `examples` test examples that a model gets `right`."""

    label: str
    seed: int
    right: int
    examples: int
    cell: str

    @property
    def score(self) -> float:
        """As a fraction."""
        return self.right / self.examples


# The metrics that are a share of examples.
SHARES = ("accuracy", "exact_match")


def read_proportions(results: Results, backbone: str, task: str) -> list[Proportion]:
    """Of the cells that kept no predictions: all that is known of how their scores depend on the examples is how many
    there are. Left out are scores that are no whole number of right answers, as when the examples were others."""
    if results.metric_key(task) not in SHARES:
        return []
    found = []
    own = select(results.scored, backbone=backbone, task=task)
    for cell_id, label, seed, score in zip(own.index, own["label"], own["seed"], own["score"], strict=True):
        record = results.records[str(cell_id)]
        n = record.data.test if record.data else None
        if not n or "predictions.parquet" in record.kept:
            continue
        right = round(score * n)
        if abs(score * n - right) < 1e-6 * n:
            found.append(Proportion(str(label), int(seed), right, n, str(cell_id)))
    return found


def _found(results: Results, cells: list[str], task: str) -> Iterator[tuple[str, predictions.Outcome]]:
    store, metric = RecordStore(results.root), results.metric_key(task)
    for cell in cells:
        try:
            data = store.kept(results.records[cell], "predictions.parquet")
            outcome = None if data is None else predictions.outcome(data, metric)
        except (ResultsError, predictions.UnusablePredictions):
            continue
        if outcome is not None and len(set(outcome.examples)) == len(outcome.examples) > 0:
            yield cell, outcome

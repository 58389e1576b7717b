"""Whether a model is right as often as it is sure: reliability diagrams and the expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reports.analysis.statistics import Summary, summarise
from reports.answers import Answers

BINS = 10


class Reliability(NamedTuple):
    """Of answers in bins of equal width of confidence, (BINS,) each: how many, the mean confidence and the share of
    right ones; NaN in empty bins."""

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance between confidence and share of right answers, each bin
        weighted by its answers."""
        there = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[there]
        return float(np.average(gaps, weights=self.counts[there]))


@dataclass(frozen=True)
class Calibration:
    """Of one configuration. `error` (see `Reliability`), `confidence` and `accuracy` are over its seeds, `cells` the
    ids behind them."""

    label: str
    error: Summary
    confidence: Summary
    accuracy: Summary
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Calibrations:
    """On one task, for one backbone. `families` are diagrams of all answers of a family's cells; `without` are the
    configurations that kept no probabilities, since they have no head."""

    backbone: str
    task: str
    found: tuple[Calibration, ...]
    families: dict[str, Reliability]
    without: tuple[str, ...]


def reliability(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """Bins are open below and closed above, as in Guo et al. (2017); `confidence` is a probability, (n,)."""
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence, side="left")
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        sure, hit = (np.bincount(bins, weights=w, minlength=BINS) / counts for w in (confidence, right.astype(float)))
    return Reliability(counts, sure, hit)


def calibrations(answers: Answers, families: Sequence[str]) -> Calibrations | None:
    """`families` has that of each cell. None where no cell kept probabilities."""
    right, confidence = answers.right, answers.confidence
    if right is None or confidence is None:
        return None
    there = np.isfinite(confidence).all(axis=1)
    if not there.any():
        return None
    found = []
    for label in dict.fromkeys(answers.labels):
        rows = [row for row in answers.rows(label) if there[row]]
        if rows:
            errors = [reliability(confidence[row], right[row]).error for row in rows]
            sure, hit = summarise(list(confidence[rows].mean(axis=1))), summarise(list(right[rows].mean(axis=1)))
            found.append(Calibration(label, summarise(errors), sure, hit, tuple(answers.ids[row] for row in rows)))
    of = np.array(families)
    diagrams = {}
    for family in dict.fromkeys(of[there].tolist()):
        chosen = there & (of == family)
        diagrams[family] = reliability(confidence[chosen].ravel(), right[chosen].ravel())
    named = {one.label for one in found}
    without = tuple(label for label in dict.fromkeys(answers.labels) if label not in named)
    return Calibrations(answers.backbone, answers.task, tuple(found), diagrams, without)

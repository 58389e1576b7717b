"""How far configurations agree in what they answer: Cohen's kappa, and who is right where another is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from reports.answers import Answers


@dataclass(frozen=True)
class Pair:
    """Two families, or one with itself: means over pairs of different configurations of theirs with the same seed, of
    which there are `n`. `kappa` is NaN where it is undefined: all answers were alike. The four shares add up to 1."""

    first: str
    second: str
    n: int
    kappa: float
    both_right: float
    first_alone: float
    second_alone: float
    both_wrong: float


@dataclass(frozen=True)
class Agreement:
    """On one task. `kappas` has Cohen's kappa of every two configurations, in the order of `labels`, the mean over the
    seeds that both have; on the diagonal that of a configuration with itself, over all pairs of its seeds; NaN where
    there is none. `again` is the mean of that diagonal by family. `on_labels` says whether kappa is about the labels
    that were answered; else it is about being right."""

    labels: tuple[str, ...]
    kappas: np.ndarray
    pairs: tuple[Pair, ...]
    again: dict[str, float]
    on_labels: bool

    @property
    def between_seeds(self) -> float:
        """Mean kappa of a configuration with itself under another seed: the agreement that training again leaves."""
        return mean(np.diag(self.kappas))

    @property
    def within_families(self) -> float:
        """Mean kappa of two configurations of one family."""
        return mean(np.repeat([pair.kappa for pair in self._pairs(True)], [pair.n for pair in self._pairs(True)]))

    @property
    def between_families(self) -> float:
        """Mean kappa of two configurations of different families."""
        return mean(np.repeat([pair.kappa for pair in self._pairs(False)], [pair.n for pair in self._pairs(False)]))

    def _pairs(self, within: bool) -> list[Pair]:
        return [pair for pair in self.pairs if (pair.first == pair.second) == within]


def over_tasks(found: Sequence[Agreement]) -> tuple[list[Pair], dict[str, float]]:
    """The pairs of families and their agreement with themselves, means over those tasks that have them."""
    keys = dict.fromkeys((pair.first, pair.second) for one in found for pair in one.pairs)
    pairs = []
    for first, second in keys:
        own = [pair for one in found for pair in one.pairs if (pair.first, pair.second) == (first, second)]
        shares = ("kappa", "both_right", "first_alone", "second_alone", "both_wrong")
        means = {name: mean([getattr(pair, name) for pair in own]) for name in shares}
        pairs.append(Pair(first, second, sum(pair.n for pair in own), **means))
    families = dict.fromkeys(family for one in found for family in one.again)
    return pairs, {family: mean([one.again.get(family, np.nan) for one in found]) for family in families}


def mean(values: Sequence[float] | np.ndarray) -> float:
    """Of the finite values; NaN of none."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    return float(array.mean()) if array.size else float("nan")


def cohen_kappa(answers: np.ndarray) -> np.ndarray:
    """Cohen's kappa (Cohen 1960) of every two rows of categories (raters, examples): (raters, raters). NaN where
    chance alone agrees always, since both gave one and the same answer throughout."""
    raters, n = answers.shape
    observed, expected = np.zeros((raters, raters)), np.zeros((raters, raters))
    for category in np.unique(answers):
        given = (answers == category).astype(np.float32)  # counts up to 2^24 are exact
        share = given.mean(axis=1, dtype=float)
        observed += (given @ given.T).astype(float) / n
        expected += np.outer(share, share)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa: np.ndarray = np.where(expected < 1 - 1e-12, (observed - expected) / (1 - expected), np.nan)
    return kappa


def agreement(answers: Answers, families: Sequence[str]) -> Agreement | None:
    """`families` has that of each cell. None where answers are neither right nor wrong, or of one cell only."""
    right = answers.right
    if right is None or len(right) < 2:
        return None
    on_labels = answers.predicted is not None
    kappas = cohen_kappa(answers.predicted if answers.predicted is not None else right)
    labels = tuple(dict.fromkeys(answers.labels))
    seeds, numbers = np.array(answers.seeds), np.array([labels.index(label) for label in answers.labels])
    alike, paired = numbers[:, None] == numbers, seeds[:, None] == seeds
    by_label = _means(kappas, np.where(alike, ~paired, paired), numbers[:, None] == np.arange(len(labels)))
    pairs = _of_families(kappas, right, np.array(families), ~alike & paired)
    family = dict(zip(answers.labels, families, strict=True))
    again = {of: mean([by_label[i, i] for i, label in enumerate(labels) if family[label] == of]) for of in families}
    return Agreement(labels, by_label, pairs, again, on_labels)


def _means(kappas: np.ndarray, compared: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Means over the cells of every two groups (cells, groups) that are compared; NaN where there are none."""
    there, of = compared & np.isfinite(kappas), groups.astype(float)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = (of.T @ np.where(there, kappas, 0.0) @ of) / (of.T @ there @ of)
    return means


def _of_families(kappas: np.ndarray, right: np.ndarray, of: np.ndarray, paired: np.ndarray) -> tuple[Pair, ...]:
    held = right.astype(np.float32)
    both = (held @ held.T).astype(float) / right.shape[1]
    own = right.mean(axis=1)
    made = []
    for first, second in combinations_with_replacement(dict.fromkeys(of.tolist()), 2):
        rows, columns = np.nonzero(np.outer(of == first, of == second) & paired)
        if not len(rows):
            continue
        hit = float(both[rows, columns].mean())
        one, other = float(own[rows].mean()) - hit, float(own[columns].mean()) - hit
        pairs = len(rows) // 2 if first == second else len(rows)
        kappa = mean(kappas[rows, columns])
        made.append(Pair(first, second, pairs, kappa, hit, one, other, 1 - hit - one - other))
    return tuple(made)

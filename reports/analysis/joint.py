"""How far the scores of several configurations may lie, together, from what other examples and other seeds would give.

Configurations are compared on the same examples, so that most of what the choice of examples does, it does to all of
them alike: it is one covariance. What seeds do is each configuration's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reports.analysis.statistics import MIN_PAIRS
from reports.outcomes import Outcomes

# What the conclusions are about: these models on other examples, other seeds on these examples, or both.
Population = Literal["examples", "seeds", "seeds and examples"]

# From fewer, the mean of a difference between two models, which most examples do not tell apart, is far from normal.
MIN_EXAMPLES = 50
# For how many degrees of freedom the spread over seeds of all configurations together stands beside each one's own, at
# the most. Three seeds tell next to nothing of a spread: of many that are estimated so, some are far too small.
PRIOR_DOF = 4


@dataclass(frozen=True)
class Joint:
    """`scores` (p,) are means as scores are held. Their errors are the sum of two: one with the covariance `examples`
    (p, p), one that is each configuration's own, with variances `seeds` (p,) that have `dof` (p,) degrees of freedom.
    """

    labels: tuple[str, ...]
    scores: np.ndarray
    examples: np.ndarray
    seeds: np.ndarray
    dof: np.ndarray
    population: Population

    def errors(self, draws: int, stream: int = 0) -> np.ndarray:
        """Draws of all errors at once (draws, p); of one stream the same ones each time."""
        rng = np.random.default_rng(stream)
        p = len(self.labels)
        # Rounding leaves eigenvalues below zero, which count as zero.
        found: np.ndarray = rng.multivariate_normal(
            np.zeros(p), self.examples, draws, check_valid="ignore", method="eigh"
        )
        if self.seeds.any():
            found = found + np.sqrt(self.seeds) * rng.standard_t(self.dof, (draws, p))
        return found

    def standard_errors(self) -> np.ndarray:
        """Of all differences (p, p)."""
        own = np.diag(self.examples) + self.seeds
        variances = own[:, None] + own[None, :] - 2 * self.examples
        np.fill_diagonal(variances, 0.0)
        errors: np.ndarray = np.sqrt(np.maximum(variances, 0.0))
        return errors


def joint(by_seed: Mapping[str, Mapping[int, float]], outcomes: Outcomes | None) -> Joint | None:
    """Of one task, from each configuration's scores by seed.

    Where the examples' outcomes are known of two or more, those take part that have them; their seeds count too if any
    has two or more. Else those take part that have MIN_PAIRS seeds or more. None where there are not two of them.
    """
    values = {label: np.array([by[seed] for seed in sorted(by)], dtype=float) for label, by in by_seed.items()}
    values = {label: finite for label, of in values.items() if (finite := of[np.isfinite(of)]).size}
    known = {label: rows for label, rows in _outcomes(outcomes).items() if label in values}
    known = known if len(known) > 1 else {}
    labels = [label for label, of in values.items() if label in known or (not known and of.size >= MIN_PAIRS)]
    if len(labels) < 2:
        return None
    rows = [known[label] for label in labels if known]
    examples = np.cov([of.mean(axis=0) for of in rows]) if known else np.zeros((len(labels), len(labels)))
    seeds, dof = _moderated([values[label] for label in labels], [_noise(of) for of in rows])
    scores = np.array([values[label].mean() for label in labels])
    population: Population = "seeds and examples" if seeds.any() else "examples"
    return Joint(tuple(labels), scores, examples, seeds, dof, population if known else "seeds")


def over_tasks(parts: Sequence[Joint]) -> Joint | None:
    """Of the mean over tasks, for the configurations that all of them have. Tasks have examples and seeds of their own,
    so that errors are independent; degrees of freedom are the fewest of any task (see `statistics.mean_difference`).
    None where tasks do not say something of the same population, or share less than two configurations."""
    labels = [label for label in parts[0].labels if all(label in part.labels for part in parts)] if parts else []
    if len(labels) < 2 or len({part.population for part in parts}) > 1:
        return None
    at = [[part.labels.index(label) for label in labels] for part in parts]
    n = len(parts)
    return Joint(
        tuple(labels),
        np.mean([part.scores[i] for part, i in zip(parts, at, strict=True)], axis=0),
        np.sum([part.examples[np.ix_(i, i)] for part, i in zip(parts, at, strict=True)], axis=0) / n**2,
        np.sum([part.seeds[i] for part, i in zip(parts, at, strict=True)], axis=0) / n**2,
        np.min([part.dof[i] for part, i in zip(parts, at, strict=True)], axis=0),
        parts[0].population,
    )


def _outcomes(outcomes: Outcomes | None) -> dict[str, np.ndarray]:
    """For each label an array (seeds, m), any two columns of which vary as two test sets of this size do: values on
    draws of the examples or, where the metric is their mean, the examples' own, on the scale of a mean."""
    if outcomes is None or len(outcomes.examples) < MIN_EXAMPLES:
        return {}
    scale = math.sqrt(len(outcomes.examples)) if outcomes.by_example else 1.0
    found = {
        label: np.stack([by_seed[seed] for seed in sorted(by_seed)]) / scale
        for label, by_seed in (outcomes.scores or outcomes.draws).items()
    }
    return {label: rows for label, rows in found.items() if np.isfinite(rows).all()}


def _noise(rows: np.ndarray) -> float | None:
    """How much scores of seeds differ merely because of which examples there are: the variance of what is neither the
    seed's nor the column's own (seeds, m). None for one seed."""
    own = rows - rows.mean(axis=0) - rows.mean(axis=1, keepdims=True) + rows.mean()
    return float((own**2).sum() / (len(rows) - 1) / (rows.shape[1] - 1)) if len(rows) > 1 else None


def _moderated(values: list[np.ndarray], noise: list[float | None]) -> tuple[np.ndarray, np.ndarray]:
    """The variance of each mean over seeds (p,) and its degrees of freedom (p,); zeros and ones where none has two.

    Moderated as in Smyth (2004): beside a configuration's own spread, that of all together counts for PRIOR_DOF degrees
    of freedom, or for a sixth of those that all together have, if that is less. Of theirs, `noise` is taken away, which
    is counted with the examples. Of a configuration's own it is not: what is left of two degrees of freedom could be
    nothing. Nor is what all have in common for a seed: errors are then too large if anything.
    """
    own = np.array([of.size - 1 for of in values], dtype=float)
    if not own.sum():
        return np.zeros(len(values)), np.ones(len(values))
    spread = np.array([of.var(ddof=1) if of.size > 1 else 0.0 for of in values])
    counted = [each for each in noise if each is not None]
    together = max(0.0, (own * spread).sum() / own.sum() - (sum(counted) / len(counted) if counted else 0.0))
    prior = min(PRIOR_DOF, own.sum() / 6)
    dof = prior + own
    return (prior * together + own * spread) / dof / (own + 1), dof

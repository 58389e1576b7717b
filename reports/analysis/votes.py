"""What a vote over families gains over one model: members are chosen on validation data, so that the test score of the
vote owes nothing to the choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.analysis.statistics import Summary, summarise
from reports.answers import Answers

# Of two, a vote is what the first of them says.
MIN_MEMBERS = 3
LEVEL = 0.95


@dataclass(frozen=True)
class Vote:
    """On one task: `members` are one configuration per family, the one with the best mean validation score, the best of
    all first; it breaks ties, and is what the vote is held against. Shares of right answers, by seed.

    `gain` is the vote's mean share of right answers over that of the first member; `low` and `high` bound it for other
    test examples and these very models. `again` is what a vote of the first member's own seeds gains over one of
    them, None with fewer than MIN_MEMBERS.
    """

    members: tuple[str, ...]
    vote: Summary
    single: Summary
    gain: float
    low: float
    high: float
    again: float | None
    seeds: tuple[int, ...]
    cells: tuple[str, ...]


def majority(answers: np.ndarray) -> np.ndarray:
    """The commonest of each column (members, examples); of several equally common that which the earliest member
    gave."""
    counts = (answers[:, None, :] == answers[None, :, :]).sum(axis=1)
    # argmax is the first of the greatest: the earliest member whose answer is the commonest.
    found: np.ndarray = np.take_along_axis(answers, counts.argmax(axis=0)[None], axis=0)[0]
    return found


def vote(answers: Answers, families: Sequence[str], validation: Mapping[str, float]) -> Vote | None:
    """`families` has that of each cell, `validation` the mean validation score of each configuration, held such that
    more is better. None where answers are no labels, or fewer than MIN_MEMBERS families have a configuration with a
    validation score and a seed in common with the others."""
    if answers.predicted is None or answers.expected is None:
        return None
    family = dict(zip(answers.labels, families, strict=True))
    best: dict[str, str] = {}
    for label in sorted(
        (label for label in family if np.isfinite(validation.get(label, np.nan))), key=_key(validation)
    ):
        best.setdefault(family[label], label)
    members = tuple(sorted(best.values(), key=_key(validation)))
    rows = {label: {answers.seeds[row]: row for row in answers.rows(label)} for label in members}
    seeds = sorted(set.intersection(*(set(of) for of in rows.values()))) if rows else []
    if len(members) < MIN_MEMBERS or not seeds:
        return None
    voted = [majority(answers.predicted[[rows[label][seed] for label in members]]) for seed in seeds]
    right = np.array([one == answers.expected for one in voted])
    first = answers.predicted[[rows[members[0]][seed] for seed in seeds]] == answers.expected
    gains = right.mean(axis=0) - first.mean(axis=0)
    reach = _reach(gains)
    return Vote(
        members=members,
        vote=summarise(list(right.mean(axis=1))),
        single=summarise(list(first.mean(axis=1))),
        gain=float(gains.mean()),
        low=float(gains.mean()) - reach,
        high=float(gains.mean()) + reach,
        again=_again(answers, members[0]),
        seeds=tuple(seeds),
        cells=tuple(answers.ids[rows[label][seed]] for label in members for seed in seeds),
    )


def _key(validation: Mapping[str, float]) -> Callable[[str], tuple[float, str]]:
    """The best first."""
    return lambda label: (-validation[label], label)


def _reach(gains: np.ndarray) -> float:
    """Half the width of Student's interval of a mean over examples."""
    n = len(gains)
    return float(stats.t.ppf(0.5 + LEVEL / 2, n - 1) * gains.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")


def _again(answers: Answers, label: str) -> float | None:
    assert answers.predicted is not None and answers.expected is not None
    own = answers.predicted[answers.rows(label)]
    if len(own) < MIN_MEMBERS:
        return None
    singles = (own == answers.expected).mean()
    return float((majority(own) == answers.expected).mean() - singles)

"""Which test examples are answered wrongly, by whom, and with what in common: from the predictions that were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from records.store import RecordStore
from reports.analysis.agreement import Agreement, agreement
from reports.analysis.calibration import Calibrations, calibrations
from reports.analysis.examples import Example, Writer, label_name
from reports.analysis.summaries import Summaries
from reports.analysis.votes import Vote, vote
from reports.answers import Answers, read_answers
from reports.results import Results

# Examples that are shown of a task: the hardest, and for each family those on which it stands alone; and of all tasks
# together, which share what there is.
HARDEST, ALONE, MOST_SHOWN = 60, 20, 1_000
# Parts of equal size into which examples are cut by their length.
PARTS = 4


@dataclass(frozen=True)
class Slice:
    """Test examples with something in common: a class, or a length from `low` to `high` tokens. `values` are means by
    configuration over cells and examples, `families` means of those."""

    kind: Literal["class", "length"]
    name: str
    low: int
    high: int
    n: int
    values: dict[str, float]
    families: dict[str, float]


@dataclass(frozen=True)
class Errors:
    """On one task, for one backbone. `n` is the number of test examples, `cells` are the ids behind all of it.

    `judged` says whether answers are right or wrong; else they are more or less good, and there is no agreement, vote
    or count. `wrong_by_all` counts examples that every cell answered wrongly, `right_by_all` rightly; `wrong_alone` and
    `right_alone`, by family, those on which it stands alone (see `Example`).
    """

    backbone: str
    task: str
    n: int
    families: tuple[str, ...]
    labels: tuple[str, ...]
    cells: tuple[str, ...]
    judged: bool
    examples: tuple[Example, ...]
    slices: tuple[Slice, ...]
    wrong_by_all: int = 0
    right_by_all: int = 0
    wrong_alone: dict[str, int] = field(default_factory=dict)
    right_alone: dict[str, int] = field(default_factory=dict)
    agreement: Agreement | None = None
    vote: Vote | None = None
    calibration: Calibrations | None = None


def errors(results: Results, scored: Summaries) -> list[Errors]:
    """Of every backbone and task of which predictions were kept; where they say nothing of single examples, nothing."""
    texts: dict[str, dict[str, Any]] | None = None
    found: list[Errors] = []
    share = MOST_SHOWN // max(1, len(results.backbones) * len(results.tasks))
    for backbone in results.backbones:
        for task in results.tasks:
            answers = read_answers(results, backbone, task)
            if answers is None or answers.values is None:
                continue
            texts = RecordStore(results.root).texts() if texts is None else texts
            found.append(_errors(results, scored, answers, texts, max(1, share)))
    return found


def _errors(
    results: Results, scored: Summaries, answers: Answers, texts: Mapping[str, Mapping[str, Any]], most: int
) -> Errors:
    families = [results.family_of(label) for label in answers.labels]
    held = _by_family(answers, families)
    names, right = tuple(held), answers.right
    labels = tuple(dict.fromkeys(answers.labels))
    validation = {
        label: scored.of("validation_score", answers.backbone, answers.task, label)[0].mean for label in labels
    }
    alone = _alone(np.array(list(held.values()))) if right is not None else {}
    shown = _shown(results, answers, alone, most)
    writer = Writer(results, answers, families, validation, texts)
    return Errors(
        backbone=answers.backbone,
        task=answers.task,
        n=len(answers.examples),
        families=names,
        labels=labels,
        cells=answers.ids,
        judged=right is not None,
        examples=tuple(writer.example(at, held, alone) for at in shown),
        slices=tuple(_slices(results, answers, families)),
        wrong_by_all=0 if right is None else int((~right).all(axis=0).sum()),
        right_by_all=0 if right is None else int(right.all(axis=0).sum()),
        wrong_alone={names[i]: len(at) for (i, wrong), at in alone.items() if wrong},
        right_alone={names[i]: len(at) for (i, wrong), at in alone.items() if not wrong},
        agreement=agreement(answers, families),
        vote=vote(answers, families, validation),
        calibration=calibrations(answers, families),
    )


def _by_family(answers: Answers, families: Sequence[str]) -> dict[str, np.ndarray]:
    """The mean value of each example (examples,) over a family's cells."""
    assert answers.values is not None
    of = np.array(families)
    return {family: answers.values[of == family].mean(axis=0) for family in dict.fromkeys(families)}


def _alone(shares: np.ndarray) -> dict[tuple[int, bool], np.ndarray]:
    """Of shares of right answers (families, examples): by family and whether it is wrong, the examples on which it
    stands alone, those first on which it differs most."""
    if len(shares) < 2:
        return {}
    right = shares > 0.5
    found = {}
    for family in range(len(shares)):
        others = np.delete(shares, family, axis=0)
        for wrong in (True, False):
            stands = (right[family] != wrong) & (np.delete(right, family, axis=0) == wrong).all(axis=0)
            at = np.flatnonzero(stands)
            distance = np.abs(others.mean(axis=0) - shares[family])[at]
            found[family, wrong] = at[np.argsort(-distance, kind="stable")]
    return found


def _shown(
    results: Results,
    answers: Answers,
    alone: Mapping[tuple[int, bool], np.ndarray],
    most: int,
) -> list[int]:
    """Which examples are shown, the hardest first."""
    assert answers.values is not None
    value = answers.values.mean(axis=0)
    better = 1 if answers.right is not None else results.scale(answers.task).raw(1.0)
    hardest = np.argsort(better * value, kind="stable")
    each = min(ALONE, most // max(1, 2 * len(alone)))
    chosen = {int(i) for at in alone.values() for i in at[:each]}
    chosen |= {int(i) for i in hardest[: min(HARDEST, most - len(chosen))]}
    return [int(i) for i in hardest if int(i) in chosen]


def _slices(results: Results, answers: Answers, families: Sequence[str]) -> list[Slice]:
    assert answers.values is not None
    labels = tuple(dict.fromkeys(answers.labels))
    means = np.array([answers.values[answers.rows(label)].mean(axis=0) for label in labels])
    family = dict(zip(answers.labels, families, strict=True))

    def cut(kind: Literal["class", "length"], name: str, at: np.ndarray, low: int = 0, high: int = 0) -> Slice:
        values = dict(zip(labels, means[:, at].mean(axis=1).tolist(), strict=True))
        of = {f: float(np.mean([values[label] for label in labels if family[label] == f])) for f in family.values()}
        return Slice(kind, name, low, high, int(at.sum()), values, of)

    made = []
    if answers.tokens is not None and np.isfinite(answers.tokens).all():
        edges = np.quantile(answers.tokens, np.arange(1, PARTS) / PARTS)
        part = np.searchsorted(edges, answers.tokens, side="left")
        for number in np.unique(part):
            own = answers.tokens[part == number]
            made.append(cut("length", "", part == number, int(own.min()), int(own.max())))
    if answers.kind == "classification" and answers.expected is not None:
        for label in np.unique(answers.expected):
            made.append(cut("class", label_name(results, answers.task, int(label)), answers.expected == label))
    return made

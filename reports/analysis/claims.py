"""What papers claim of their methods, held against what a results folder measured.

A verdict on a figure that differs from run to run (a score, a time) needs a one-sided paired test at ALPHA,
two of them for equality (TOST), corrected by Holm over every claim that is tested: a suite puts dozens to the
test at once, and one in twenty would come out wrong. A figure that is counted and not timed (parameters, bytes,
FLOPs) is the same on every run; there the pairs are compared exactly and all must agree. A claim that a test
cannot decide is inconclusive: neither the paper nor the measurement is thereby wrong. Where a paper says "on par"
and gives no figure, the margin is the card's choice, one point as a rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from records.cards import Claim
from reports.analysis.contrasts import Kept, layout_of
from reports.analysis.crossed import MeanOverTasks, over_tasks
from reports.analysis.decisions import Population
from reports.analysis.pairing import Setting, comparator, entrants, out_of_scope, pairs_of, why_no_pairs
from reports.analysis.statistics import ALPHA, MIN_PAIRS, Effect, holm, mean_difference, spread_ratio
from reports.results import Results

# Those that say most come first, wherever verdicts are counted or listed.
Outcome = Literal["contradicted", "supported", "inconclusive", "not testable here"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
# Why pairs gave no test: there are too few, or they are too much alike (or all of one task but one).
Untested = Literal["", "few", "alike"]
# The interval whose ends a one-sided test at ALPHA decides about.
LEVEL = 1 - 2 * ALPHA
# Counts that differ by less are equal.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verdict:
    """One claim about one label on one backbone, in numbers; `reports.model.claim_words` says it in words.

    `other` is the label, or "backbone", that was compared with (None where there is none, and `reason` says why).
    `effect`, `low` and `high` are in `unit`: "points" (already times 100) for a difference in score, "ratio" for the
    measure over the comparator's. The interval covers `level`, uncorrected; for counted measures it is the range over
    the pairs. `n` is the number of pairs of task and seed (or, of one profile that was timed `in_rounds`, of these),
    `by_task` the effect on each task, `p` the one-sided p-value of the direction observed, Holm-corrected over all
    tested claims (None where no test was made, and `untested` says why), `population` what the test is about where that
    is known of examples too: else other seeds on these examples.
    `trials` learning rates were searched for the label. `backbone_parameters` (None: unknown) and
    `train_examples`, the most that a cell had, are the scale of what was measured; `cells` are the ids of the records.
    """

    label: str
    method: str
    backbone: str
    claim: Claim
    verdict: Outcome
    other: str | None = None
    reason: str = ""
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    unit: Literal["points", "ratio"] = "points"
    by_task: Mapping[str, float] = field(default_factory=dict)
    in_rounds: bool = False
    untested: Untested = ""
    trials: int = 1
    backbone_parameters: float | None = None
    train_examples: int = 0
    cells: tuple[str, ...] = ()
    level: float = LEVEL
    p: float | None = None
    population: Population | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """The effects, in `unit`, at which the claim's margin ends on either side."""
        return limits(self.claim)

    @property
    def tasks_disagree(self) -> bool:
        """Whether the claim, as it stands, holds on one task and not on another."""
        return len({_holds(value, self.claim) for value in self.by_task.values()}) > 1


def tally(verdicts: Iterable[Verdict]) -> dict[Outcome, int]:
    """How many verdicts there are of each outcome that occurs."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def assess(results: Results, kept: Kept | None = None) -> list[Verdict]:
    """A verdict for every claim of every label's card on every backbone, in the suite's order. Of labels that differ
    in nothing but what is tuned, the one with the best validation score stands for all. `kept` is what is known of test
    examples: with it, claims on scores are about other examples too."""
    found = []
    for backbone in results.backbones:
        taking_part = entrants(results, backbone)
        for label, entrant in taking_part.items():
            for claim in results.method_card(entrant.method).claims:
                found.append(_assess(Setting(results, backbone, label, claim, taking_part), kept or {}))
    adjusted = iter(holm([v.p for v in found if v.p is not None]))
    return [_corrected(v, next(adjusted)) if v.p is not None else v for v in found]


def _corrected(verdict: Verdict, p: float) -> Verdict:
    """Only what the corrected p-value still shows stays a verdict."""
    return replace(verdict, p=p, verdict=verdict.verdict if p < ALPHA else "inconclusive")


def _assess(setting: Setting, kept: Kept) -> Verdict:
    claim = setting.claim
    if reason := claim.untestable or out_of_scope(setting):
        return _verdict(setting, "not testable here", reason=reason)
    other, reason = comparator(setting)
    if other is None:
        return _verdict(setting, "not testable here", reason=reason)
    pairs = pairs_of(setting, other)
    if pairs.empty:
        return _verdict(setting, "not testable here", reason=why_no_pairs(setting, other))
    found = {"other": other, "n": len(pairs), "cells": _ids(pairs)}
    if setting.measure.kind == "counted":
        return _counted(setting, pairs, found)
    return _tested(setting, pairs, found, _by_example(setting, other, pairs, kept))


def _verdict(setting: Setting, outcome: Outcome, **fields: Any) -> Verdict:
    rows = setting.entrant.cells
    size = rows["backbone_parameters"].max()
    budgets = [setting.results.manifest.cells[str(cell)].budget for cell in rows.index]
    return Verdict(
        label=setting.label,
        method=setting.entrant.method,
        backbone=setting.backbone,
        claim=setting.claim,
        verdict=outcome,
        unit="points" if setting.claim.measure == "score" else "ratio",
        trials=setting.entrant.trials,
        backbone_parameters=float(size) if np.isfinite(size) else None,
        train_examples=max(budget.train_examples if budget else 0 for budget in budgets),
        **fields,
    )


def _counted(setting: Setting, pairs: pd.DataFrame, found: dict[str, Any]) -> Verdict:
    ratios = (pairs["a"] / pairs["b"]).to_numpy()
    low, high = limits(setting.claim)
    match setting.claim.relation:
        case "higher":
            holds = ratios > high
        case "lower":
            holds = ratios < low
        case relation:
            holds = np.full(ratios.size, True)
            if relation in ("at least", "equal"):
                holds &= ratios >= low * (1 - TOLERANCE)
            if relation in ("at most", "equal"):
                holds &= ratios <= high * (1 + TOLERANCE)
    outcome: Outcome = "supported" if holds.all() else "contradicted" if not holds.any() else "inconclusive"
    ends = {"effect": float(np.median(ratios)), "low": float(ratios.min()), "high": float(ratios.max())}
    return _verdict(setting, outcome, **ends, **found)


def _by_example(setting: Setting, other: str, pairs: pd.DataFrame, kept: Kept) -> MeanOverTasks | None:
    """A difference of scores by seed and example, where all its cells have kept what they answered."""
    if setting.measure.kind != "score":
        return None
    factor, layouts = setting.claim.factor, []
    for task, rows in pairs.groupby("task", sort=False):
        scores = (dict(zip(rows["seed"], rows["a"], strict=True)), dict(zip(rows["seed"], rows["b"], strict=True)))
        layout = layout_of(kept.get((setting.backbone, str(task))), (setting.label, other), scores, 1.0, factor)
        if layout is None or layout.seeds < len(rows):
            return None
        # Of a share of errors, the share of what is right, as in the pairs.
        errors = not setting.results.scale(str(task)).higher_is_better
        layouts.append(replace(layout, mean=layout.mean + (1 - factor) * errors))
    return over_tasks(layouts)


def _tested(setting: Setting, pairs: pd.DataFrame, found: dict[str, Any], by_example: MeanOverTasks | None) -> Verdict:
    claim, is_score = setting.claim, setting.measure.kind == "score"
    by_task = {str(task): rows for task, rows in pairs.groupby("task", sort=False)}
    effect = by_example or _effect(setting, by_task)
    if not np.isfinite(effect.mean):
        return _verdict(setting, "inconclusive", untested="alike", **found)

    def shown(value: float) -> float:
        return 100 * value if is_score else claim.factor * float(np.exp(value))

    outcome: Outcome = "inconclusive"
    p = None
    supports, contradicts = _p_values(effect, claim, is_score)
    if supports is not None and contradicts is not None:
        outcome, p = ("supported", supports) if supports <= contradicts else ("contradicted", contradicts)
    low, high = effect.interval(LEVEL) or (None, None)
    few = effect.n - effect.tasks < MIN_PAIRS - 1
    return _verdict(
        setting,
        outcome,
        effect=shown(effect.mean),
        low=None if low is None else shown(low),
        high=None if high is None else shown(high),
        by_task={task: shown(_effect(setting, {task: rows}).mean) for task, rows in by_task.items()},
        in_rounds=bool(pairs["id"].duplicated().any()),
        untested="" if effect.p_above() is not None else "few" if few else "alike",
        p=p,
        population=None if by_example is None else by_example.population,
        **(found | {"n": effect.n}),
    )


def _effect(setting: Setting, by_task: Mapping[str, pd.DataFrame]) -> Effect:
    """A difference of scores, or the logarithm of a ratio to `factor` times the comparator's."""
    factor = setting.claim.factor
    if setting.measure.kind == "spread":
        own, other = ({task: rows[column].tolist() for task, rows in by_task.items()} for column in ("a", "b"))
        return spread_ratio(own, {task: [factor * value for value in values] for task, values in other.items()})
    if setting.measure.kind == "score":
        return mean_difference({task: (rows["a"] - factor * rows["b"]).tolist() for task, rows in by_task.items()})
    # Times vary by factors: their logarithms are nearer to normal.
    return mean_difference({task: np.log(rows["a"] / (factor * rows["b"])).tolist() for task, rows in by_task.items()})


def _p_values(found: Effect, claim: Claim, is_score: bool) -> tuple[float | None, float | None]:
    """One-sided p-values of the claim and of its opposite."""
    margin = claim.margin if is_score else float(np.log1p(claim.margin))
    match claim.relation:
        case "higher":
            return found.p_above(margin), found.p_below(margin)
        case "at least":
            return found.p_above(-margin), found.p_below(-margin)
        case "lower":
            return found.p_below(-margin), found.p_above(-margin)
        case "at most":
            return found.p_below(margin), found.p_above(margin)
    beyond = (found.p_above(margin), found.p_below(-margin))
    # Either side would contradict equality, so that their smaller p-value counts twice.
    return found.p_equivalent(margin), None if None in beyond else min(1.0, 2 * min(p for p in beyond if p is not None))


def limits(claim: Claim) -> tuple[float, float]:
    """The effects, in the verdict's unit, at which the margin ends on either side."""
    if claim.measure == "score":
        return -100 * claim.margin, 100 * claim.margin
    return claim.factor * (1 / (1 + claim.margin)), claim.factor * (1 + claim.margin)


def _holds(value: float, claim: Claim) -> bool:
    """Whether an effect, as shown, meets the claim as it stands, without a test."""
    low, high = limits(claim)
    met = {
        "higher": value > high,
        "at least": value >= low,
        "lower": value < low,
        "at most": value <= high,
        "equal": low <= value <= high,
    }
    return met[claim.relation]


def _ids(pairs: pd.DataFrame) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*pairs["id"].astype(str), *pairs["id_other"].astype(str)]))

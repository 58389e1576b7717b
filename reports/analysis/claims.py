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
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from records.cards import Claim
from reports.analysis.pairing import Setting, comparator, entrants, out_of_scope, pairs_of, why_no_pairs
from reports.analysis.statistics import ALPHA, MIN_PAIRS, Effect, holm, mean_difference, spread_ratio
from reports.model.writing import count
from reports.results import Results

# Those that say most come first, wherever verdicts are counted or listed.
Outcome = Literal["contradicted", "supported", "inconclusive", "not testable here"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
# The interval whose ends a one-sided test at ALPHA decides about.
LEVEL = 1 - 2 * ALPHA


@dataclass(frozen=True)
class Verdict:
    """One claim about one label on one backbone.

    `claim` is the card's. `effect`, `low` and `high` are in `unit` and ready to print:
    "points" (already times 100) for a difference in score, "ratio" for the measure over the comparator's. The
    interval covers `level`, uncorrected; for counted measures it is the range over the pairs. `n` is the number
    of pairs of task and seed, `p` the one-sided p-value of the direction observed, Holm-corrected over all
    tested claims (None where no test was made). `measured` is one plain sentence of what was measured, `caveat`
    what limits it, `cells` the ids of the records.
    """

    label: str
    method: str
    backbone: str
    claim: Claim
    verdict: Outcome
    effect: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    measured: str
    caveat: str
    cells: tuple[str, ...]
    level: float = LEVEL
    p: float | None = None


def tally(verdicts: Iterable[Verdict]) -> dict[Outcome, int]:
    """How many verdicts there are of each outcome that occurs."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def assess(results: Results) -> list[Verdict]:
    """A verdict for every claim of every label's card on every backbone, in the suite's order. Of labels that differ
    in nothing but what is tuned, the one with the best validation score stands for all."""
    found = []
    for backbone in results.backbones:
        taking_part = entrants(results, backbone)
        for label, entrant in taking_part.items():
            for claim in results.method_card(entrant.method).claims:
                found.append(_assess(Setting(results, backbone, label, claim, taking_part)))
    adjusted = iter(holm([v.p for v in found if v.p is not None]))
    return [_corrected(v, next(adjusted)) if v.p is not None else v for v in found]


def _corrected(verdict: Verdict, p: float) -> Verdict:
    """Only what the corrected p-value still shows stays a verdict."""
    return replace(verdict, p=p, verdict=verdict.verdict if p < ALPHA else "inconclusive")


def _assess(setting: Setting) -> Verdict:
    claim = setting.claim
    if claim.untestable:
        return _verdict(setting, "not testable here", claim.untestable)
    if reason := out_of_scope(setting):
        return _verdict(setting, "not testable here", reason)
    other, reason = comparator(setting)
    if other is None:
        return _verdict(setting, "not testable here", reason)
    pairs = pairs_of(setting, other)
    if pairs.empty:
        return _verdict(setting, "not testable here", why_no_pairs(setting, other))
    return _counted(setting, other, pairs) if setting.measure.kind == "counted" else _tested(setting, other, pairs)


def _verdict(setting: Setting, outcome: Outcome, measured: str, **fields: Any) -> Verdict:
    unit = "points" if setting.claim.measure == "score" else "ratio"
    empty = {"effect": None, "low": None, "high": None, "n": 0, "caveat": _scale(setting), "cells": ()}
    return Verdict(setting.label, setting.entrant.method, setting.backbone, setting.claim, outcome,
                   **(empty | {"unit": unit, "measured": measured} | fields))  # fmt: skip


def _counted(setting: Setting, other: str, pairs: pd.DataFrame) -> Verdict:
    ratios = (pairs["a"] / pairs["b"]).to_numpy()
    low, high = _limits(setting.claim)
    factor = setting.claim.factor
    match setting.claim.relation:
        case "higher":
            holds = ratios > factor * high
        case "lower":
            holds = ratios < factor * low
        case relation:
            tolerance = 1e-9
            holds = np.full(ratios.size, True)
            if relation in ("at least", "equal"):
                holds &= ratios >= factor * low * (1 - tolerance)
            if relation in ("at most", "equal"):
                holds &= ratios <= factor * high * (1 + tolerance)
    outcome: Outcome = "supported" if holds.all() else "contradicted" if not holds.any() else "inconclusive"
    effect = float(np.median(ratios))
    text = f"The {setting.measure.words} is {_ratio(effect)} times {_possessive(other)}"
    if np.ptp(ratios) > 1e-9 * effect:
        text += f" in the median of {_n(len(pairs), 'pair')} ({_ratio(ratios.min())} to {_ratio(ratios.max())})"
    return _verdict(setting, outcome, f"{text}; the claim holds if that is {asked(setting.claim)}.", effect=effect,
                           low=float(ratios.min()), high=float(ratios.max()), n=len(pairs),
                           caveat=_caveat(setting, other), cells=_ids(pairs))  # fmt: skip


def _tested(setting: Setting, other: str, pairs: pd.DataFrame) -> Verdict:
    claim, is_score = setting.claim, setting.measure.kind == "score"
    factor = claim.factor
    by_task = {str(task): rows for task, rows in pairs.groupby("task", sort=False)}
    found = _effect(setting, by_task)
    if not np.isfinite(found.mean):
        text = f"{_n(len(pairs), 'pair')} of scores, too few or too alike for a standard deviation of each task."
        return _verdict(setting, "inconclusive", text, n=len(pairs), caveat=_caveat(setting, other), cells=_ids(pairs))
    supports, contradicts = _p_values(found, claim, is_score)

    def shown(value: float) -> float:
        return 100 * value if is_score else factor * float(np.exp(value))

    outcome: Outcome = "inconclusive"
    p = None
    if supports is not None and contradicts is not None:
        outcome, p = ("supported", supports) if supports <= contradicts else ("contradicted", contradicts)
    low, high = found.interval(LEVEL) or (None, None)
    tasks = {task: shown(_effect(setting, {task: rows}).mean) for task, rows in by_task.items()}
    return _verdict(setting, 
        outcome, _sentence(setting, other, shown(found.mean), tasks, found), effect=shown(found.mean),
        low=None if low is None else shown(low), high=None if high is None else shown(high), n=found.n,
        caveat=_caveat(setting, other, tasks), cells=_ids(pairs), p=p,
    )  # fmt: skip


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


def _limits(claim: Claim) -> tuple[float, float]:
    """Ratios to `factor` times the comparator's at which the margin ends."""
    return 1 / (1 + claim.margin), 1 + claim.margin


def _sentence(setting: Setting, other: str, effect: float, tasks: dict[str, float], found: Effect) -> str:
    claim = setting.claim
    over = f" over {_n(found.n, 'pair')} of seeds on {_n(found.tasks, 'task')}"
    if setting.measure.kind == "score":
        part = "" if claim.factor == 1 else f"{claim.factor:g} times "
        text = f"The test score minus {part}{_possessive(other)} is {_points(effect)} points{over}"
        each = [f"{task} {_points(value)}" for task, value in tasks.items()]
    else:
        text = f"The {setting.measure.words} is {_ratio(effect)} times {_possessive(other)}{over}"
        each = [f"{task} {_ratio(value)}" for task, value in tasks.items()]
    if len(each) > 1:
        text += f" ({', '.join(each)})"
    text += f"; the claim holds if that is {asked(claim)}."
    if found.p_above() is None:
        few = found.n - found.tasks < MIN_PAIRS - 1
        text += f" {'Too few pairs' if few else 'Pairs too alike, or a task with one only,'} for a test."
    return text


def asked(claim: Claim) -> str:
    """What the claim asks of the effect, in the effect's unit."""
    margin, relation = claim.margin, claim.relation
    words = {"higher": "more than", "lower": "less than"}.get(relation, relation)
    if claim.measure == "score":
        if relation == "equal":
            return f"no more than {100 * margin:g} points either way"
        return f"{words} {_points(100 * (margin if relation in ('higher', 'at most') else -margin))} points"
    low, high = (claim.factor * limit for limit in _limits(claim))
    if relation == "equal":
        return f"{_ratio(low)} to {_ratio(high)}"
    return f"{words} {_ratio(high if relation in ('higher', 'at most') else low)}"


def _caveat(setting: Setting, other: str, tasks: Mapping[str, float] | None = None) -> str:
    parts = [_scale(setting)]
    if other not in (setting.claim.comparator, "backbone"):
        parts.append(f"Compared with the suite's {other}.")
    if setting.entrant.trials > 1:
        parts.append(f"Its learning rate is the best of {setting.entrant.trials} on validation data.")
    if setting.claim.measure == "training_memory_bytes":
        parts.append("Memory is the sum of weights, gradients, optimiser state and kept activations.")
    if setting.measure.kind == "timed":
        parts.append("Evaluations are few, steps are known to the nearest." if "steps" in setting.claim.measure
                     else "Timed on one machine.")  # fmt: skip
    if tasks and len({_holds(value, setting.claim) for value in tasks.values()}) > 1:
        parts.append("The tasks' means disagree about it.")
    return " ".join(part for part in parts if part)


def _holds(value: float, claim: Claim) -> bool:
    """Whether an effect, as shown, meets the claim as it stands, without a test."""
    if claim.measure == "score":
        low, high = -100 * claim.margin, 100 * claim.margin
    else:
        low, high = (claim.factor * limit for limit in _limits(claim))
    return {"higher": value > high, "at least": value >= low, "lower": value < low, "at most": value <= high,
            "equal": low <= value <= high}[claim.relation]  # fmt: skip


def _scale(setting: Setting) -> str:
    """Where the claim was made, and how large what was measured here is."""
    rows = setting.entrant.cells
    backbone = rows["backbone_parameters"].max()
    examples = max(setting.results.manifest.cells[str(cell)].budget.train_examples for cell in rows.index)
    size = f" of {count(backbone)} parameters" if np.isfinite(backbone) else ""
    here = f"Here: a backbone{size}, at most {examples:,} training examples."
    scope = setting.claim.scope
    return f"The paper: {scope[:1].upper()}{scope[1:]}. {here}" if scope else here


def _ids(pairs: pd.DataFrame) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*pairs["id"].astype(str), *pairs["id_other"].astype(str)]))


def _possessive(label: str) -> str:
    return "the backbone's" if label == "backbone" else f"{label}'s"


def _points(value: float) -> str:
    return "0" if round(value, 1) == 0 else f"{value:+.1f}".replace("-", "−")


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _n(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"

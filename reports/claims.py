"""What papers claim of their methods, held against what a results folder measured.

A verdict on a figure that differs from run to run (a score, a time) needs a one-sided paired test at ALPHA,
two of them for equality (TOST), corrected by Holm over every claim that is tested: a suite puts dozens to the
test at once, and one in twenty would come out wrong. A figure that is counted and not timed (parameters, bytes,
FLOPs) is the same on every run; there the pairs are compared exactly and all must agree. A claim that a test
cannot decide is inconclusive: neither the paper nor the measurement is thereby wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from reports.frame import Results, select
from reports.quantities import count
from reports.statistics import ALPHA, MIN_PAIRS, MeanDifference, holm, mean_difference
from reports.structure import listing

Outcome = Literal["supported", "contradicted", "inconclusive", "not testable here"]
# The interval whose ends a one-sided test at ALPHA decides about.
LEVEL = 1 - 2 * ALPHA
# Two configurations have the same number of parameters if the counts differ by less than this share.
SAME_SIZE = 0.1
TUNED = frozenset({"lr", "weight_decay"})


class Measure(NamedTuple):
    """What a claim may be about. `kind` decides how it is compared: scores by difference, the rest by ratio."""

    words: str
    kind: Literal["score", "timed", "counted"]
    backbone: str | None = None


MEASURES: dict[str, Measure] = {
    "score": Measure("test score", "score"),
    "adapter_parameters": Measure("number of trained parameters, the head apart", "counted", "backbone_parameters"),
    "stored_bytes": Measure("storage per task", "counted"),
    "training_memory_bytes": Measure("counted memory of a training step", "counted"),
    "weights_bytes": Measure("memory of the weights", "counted"),
    "train_flops": Measure("FLOPs of a training step", "counted"),
    "inference_flops": Measure("FLOPs of inference", "counted"),
    "peak_memory_bytes": Measure("peak memory in training", "timed"),
    "step_seconds": Measure("time of a training step", "timed"),
    "train_tokens_per_second": Measure("training throughput", "timed"),
    "inference_seconds": Measure("inference time", "timed", "backbone_inference_seconds"),
    "merged_inference_seconds": Measure("inference time once merged", "timed", "backbone_inference_seconds"),
    "steps_to_target": Measure("number of steps to the best validation score that both reach", "timed"),
}
_MEMORY = ["weights_bytes", "gradient_bytes", "optimizer_bytes", "activation_bytes"]


@dataclass(frozen=True)
class Verdict:
    """One claim about one label on one backbone.

    `claim` is the card's claim as plain data. `effect`, `low` and `high` are in `unit` and ready to print:
    "points" (already times 100) for a difference in score, "ratio" for the measure over the comparator's. The
    interval covers `level`, uncorrected; for counted measures it is the range over the pairs. `n` is the number
    of pairs of task and seed, `p` the one-sided p-value of the direction observed, Holm-corrected over all
    tested claims (None where no test was made). `measured` is one plain sentence of what was measured, `caveat`
    what limits it, `cells` the ids of the records.
    """

    label: str
    method: str
    backbone: str
    claim: dict[str, Any]
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


def assess(results: Results) -> list[Verdict]:
    """A verdict for every claim of every label's card on every backbone, in the suite's order."""
    found = [
        _assess(_Setting(results, backbone, label, _with_defaults(claim)))
        for backbone in results.backbones
        for label in results.labels
        if len(select(results.cells, backbone=backbone, label=label))
        for claim in results.card("methods", results.method_of(label)).get("claims") or ()
    ]
    adjusted = iter(holm([v.p for v in found if v.p is not None]))
    return [_corrected(v, next(adjusted)) if v.p is not None else v for v in found]


def _corrected(verdict: Verdict, p: float) -> Verdict:
    """Only what the corrected p-value still shows stays a verdict."""
    return replace(verdict, p=p, verdict=verdict.verdict if p < ALPHA else "inconclusive")


def _with_defaults(claim: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {"margin": 0.0, "scope": "", "factor": 1.0, "matched": (), "varies": "", "untestable": ""}
    return defaults | dict(claim)


@dataclass(frozen=True)
class _Setting:
    """A claim about `label` on `backbone`, with the cells that bear on it."""

    results: Results
    backbone: str
    label: str
    claim: dict[str, Any]

    @property
    def measure(self) -> Measure:
        return MEASURES[self.claim["measure"]]

    def cells(self, label: str) -> pd.DataFrame:
        rows = select(self.results.cells, backbone=self.backbone, label=label)
        return rows.assign(training_memory_bytes=rows[_MEMORY].sum(axis=1, skipna=False))

    def verdict(self, outcome: Outcome, measured: str, **fields: Any) -> Verdict:
        unit = "points" if self.claim["measure"] == "score" else "ratio"
        empty = {"effect": None, "low": None, "high": None, "n": 0, "caveat": _scale(self), "cells": ()}
        method = self.results.method_of(self.label)
        return Verdict(self.label, method, self.backbone, self.claim, outcome,
                       **(empty | {"unit": unit, "measured": measured} | fields))  # fmt: skip


def _assess(setting: _Setting) -> Verdict:
    claim = setting.claim
    if claim["untestable"]:
        return setting.verdict("not testable here", claim["untestable"])
    if claim["measure"] not in MEASURES:
        return setting.verdict("not testable here", f"No figure named {claim['measure']} is measured.")
    other, reason = _comparator(setting)
    if other is None:
        return setting.verdict("not testable here", reason)
    pairs = _pairs(setting, other)
    if pairs.empty:
        return setting.verdict("not testable here", _why_no_pairs(setting, other))
    return _counted(setting, other, pairs) if setting.measure.kind == "counted" else _tested(setting, other, pairs)


def _comparator(setting: _Setting) -> tuple[str | None, str]:
    """The label to compare with, or why there is none."""
    claim, results = setting.claim, setting.results
    if claim["varies"]:
        return _smaller(setting)
    name = claim["comparator"]
    if name == "backbone":
        if setting.measure.backbone is None:
            return None, f"The {setting.measure.words} is not known of the backbone alone."
        return "backbone", ""
    labels = [label for label in results.labels if results.method_of(label) == name and len(setting.cells(label))]
    if not labels:
        return None, f"The suite does not compare with {name}."
    labels = [label for label in labels if all(_agree(setting, label, field) for field in claim["matched"])]
    if not labels:
        fields = listing([field.replace("_", " ") for field in claim["matched"]])
        return None, f"The suite has no {name} of the same {fields}."
    return (name if name in labels else labels[0]), ""


def _hyperparameters(setting: _Setting, label: str) -> dict[str, Any]:
    return setting.results.manifest.cells[str(setting.cells(label).index[0])].hyperparameters


def _agree(setting: _Setting, label: str, field: str) -> bool:
    if field == "adapter_parameters":
        own, other = (setting.cells(each)[field].mean() for each in (setting.label, label))
        return bool(abs(own - other) <= SAME_SIZE * max(own, other))
    own, other = (_hyperparameters(setting, each).get(field) for each in (setting.label, label))
    return own is not None and own == other


def _smaller(setting: _Setting) -> tuple[str | None, str]:
    """The label of the same method with the next smaller value of what varies."""
    varies, results = setting.claim["varies"], setting.results
    own = _hyperparameters(setting, setting.label)

    def rest(hyperparameters: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in hyperparameters.items() if name not in TUNED | {varies}}

    found = {
        label: theirs[varies]
        for label in results.labels
        if results.method_of(label) == results.method_of(setting.label) and len(setting.cells(label))
        if (theirs := _hyperparameters(setting, label)).get(varies) is not None
        if varies in own and rest(theirs) == rest(own) and theirs[varies] < own[varies]
    }
    if not found:
        return (
            None,
            f"The suite has no second configuration that differs in a smaller {varies.replace('_', ' ')} alone.",
        )
    return max(found, key=found.__getitem__), ""


def _pairs(setting: _Setting, other: str) -> pd.DataFrame:
    """Columns task, seed, a, b (the figure of the label and of the comparator) and the ids of their cells."""
    column = setting.claim["measure"]
    own = setting.cells(setting.label).reset_index()
    theirs = own if other == "backbone" else setting.cells(other).reset_index()
    merged = own.merge(theirs, on=["task", "seed"], suffixes=("", "_other"))
    if column == "steps_to_target":
        steps = [_steps_to_target(setting, *ids) for ids in zip(merged["id"], merged["id_other"], strict=True)]
        merged[["a", "b"]] = np.array(steps, dtype=float).reshape(-1, 2)
    else:
        merged["a"] = merged[column]
        merged["b"] = merged[setting.measure.backbone if other == "backbone" else f"{column}_other"]
    kept = merged["a"].notna() & merged["b"].notna()
    if setting.measure.kind != "score":
        kept &= merged["b"] > 0
    return merged.loc[kept, ["task", "seed", "a", "b", "id", "id_other"]]


def _steps_to_target(setting: _Setting, own: str, other: str) -> tuple[float, float]:
    """Optimiser steps until each run's validation score first reaches the lower of their best scores, which
    both reach; as fine as the evaluations lie. NaN without a history."""
    history = setting.results.history
    runs = [history[history["id"] == cell].sort_values("step") for cell in (own, other)]
    if any(run["score"].notna().sum() == 0 for run in runs):
        return float("nan"), float("nan")
    target = min(run["score"].max() for run in runs)
    first = [float(run.loc[run["score"] >= target, "step"].iloc[0]) for run in runs]
    return first[0], first[1]


def _why_no_pairs(setting: _Setting, other: str) -> str:
    rows = setting.cells(setting.label)
    reasons = rows.loc[rows["status"] == "n/a", "reason"].dropna()
    if len(reasons) == len(rows):
        return f"The method does not apply here: {reasons.iloc[0]}"
    for label in dict.fromkeys((setting.label, other)):
        column = setting.measure.backbone if label == "backbone" else setting.claim["measure"]
        if label != "backbone" and column in rows and setting.cells(label)[column].isna().all():
            return f"The {setting.measure.words} of {label} was not measured."
    return f"No task and seed has the {setting.measure.words} of both {setting.label} and {other}."


def _counted(setting: _Setting, other: str, pairs: pd.DataFrame) -> Verdict:
    ratios = (pairs["a"] / pairs["b"]).to_numpy()
    low, high = _limits(setting.claim)
    factor = setting.claim["factor"]
    match setting.claim["relation"]:
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
    return setting.verdict(outcome, f"{text}; the claim asks for {_asked(setting.claim)}.", effect=effect,
                           low=float(ratios.min()), high=float(ratios.max()), n=len(pairs),
                           caveat=_caveat(setting, other), cells=_ids(pairs))  # fmt: skip


def _tested(setting: _Setting, other: str, pairs: pd.DataFrame) -> Verdict:
    claim, is_score = setting.claim, setting.measure.kind == "score"
    factor = claim["factor"]
    # Times vary by factors: their logarithms are nearer to normal, and differences of those are ratios.
    values = pairs["a"] - factor * pairs["b"] if is_score else np.log(pairs["a"] / (factor * pairs["b"]))
    by_task = {str(task): values[rows].tolist() for task, rows in pairs.groupby("task", sort=False).groups.items()}
    found = mean_difference(by_task)
    supports, contradicts = _p_values(found, claim, is_score)

    def shown(value: float) -> float:
        return 100 * value if is_score else factor * float(np.exp(value))

    outcome: Outcome = "inconclusive"
    p = None
    if supports is not None and contradicts is not None:
        outcome, p = ("supported", supports) if supports <= contradicts else ("contradicted", contradicts)
    low, high = found.interval(LEVEL) or (None, None)
    tasks = {task: shown(float(np.mean(differences))) for task, differences in by_task.items()}
    return setting.verdict(
        outcome, _sentence(setting, other, shown(found.mean), tasks, found), effect=shown(found.mean),
        low=None if low is None else shown(low), high=None if high is None else shown(high), n=found.n,
        caveat=_caveat(setting, other, tasks), cells=_ids(pairs), p=p,
    )  # fmt: skip


def _p_values(found: MeanDifference, claim: dict[str, Any], is_score: bool) -> tuple[float | None, float | None]:
    """One-sided p-values of the claim and of its opposite."""
    margin = claim["margin"] if is_score else float(np.log1p(claim["margin"]))
    match claim["relation"]:
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


def _limits(claim: dict[str, Any]) -> tuple[float, float]:
    """Ratios to `factor` times the comparator's at which the margin ends."""
    return 1 / (1 + claim["margin"]), 1 + claim["margin"]


def _sentence(setting: _Setting, other: str, effect: float, tasks: dict[str, float], found: MeanDifference) -> str:
    claim = setting.claim
    over = f" over {_n(found.n, 'pair')} of seeds on {_n(found.tasks, 'task')}"
    if setting.measure.kind == "score":
        part = "" if claim["factor"] == 1 else f"{claim['factor']:g} times "
        text = f"The test score minus {part}{_possessive(other)} is {_points(effect)} points{over}"
        each = [f"{task} {_points(value)}" for task, value in tasks.items()]
    else:
        text = f"The {setting.measure.words} is {_ratio(effect)} times {_possessive(other)}{over}"
        each = [f"{task} {_ratio(value)}" for task, value in tasks.items()]
    if len(each) > 1:
        text += f" ({', '.join(each)})"
    text += f"; the claim asks for {_asked(claim)}."
    if found.se is None:
        few = found.n - found.tasks < MIN_PAIRS - 1
        text += f" {'Too few pairs' if few else 'Pairs too alike, or a task with one only,'} for a test."
    return text


def _asked(claim: dict[str, Any]) -> str:
    """What the claim asks of the effect, in the effect's unit."""
    margin, relation = claim["margin"], claim["relation"]
    words = {"higher": "more than", "lower": "less than"}.get(relation, relation)
    if claim["measure"] == "score":
        if relation == "equal":
            return f"no more than {100 * margin:g} points either way"
        return f"{words} {_points(100 * (margin if relation in ('higher', 'at most') else -margin))} points"
    low, high = (claim["factor"] * limit for limit in _limits(claim))
    if relation == "equal":
        return f"{_ratio(low)} to {_ratio(high)}"
    return f"{words} {_ratio(high if relation in ('higher', 'at most') else low)}"


def _caveat(setting: _Setting, other: str, tasks: Mapping[str, float] | None = None) -> str:
    parts = [_scale(setting)]
    if other not in (setting.claim["comparator"], "backbone"):
        parts.append(f"Compared with the suite's {other}.")
    if setting.claim["measure"] == "training_memory_bytes":
        parts.append("Memory is the sum of weights, gradients, optimiser state and kept activations.")
    if setting.measure.kind == "timed":
        parts.append("Evaluations are few, steps are known to the nearest." if "steps" in setting.claim["measure"]
                     else "Timed on one machine.")  # fmt: skip
    if tasks and len({_holds(value, setting.claim) for value in tasks.values()}) > 1:
        parts.append("The tasks' means disagree about it.")
    return " ".join(part for part in parts if part)


def _holds(value: float, claim: dict[str, Any]) -> bool:
    """Whether an effect, as shown, meets the claim as it stands, without a test."""
    if claim["measure"] == "score":
        low, high = -100 * claim["margin"], 100 * claim["margin"]
    else:
        low, high = (claim["factor"] * limit for limit in _limits(claim))
    return {"higher": value > high, "at least": value >= low, "lower": value < low, "at most": value <= high,
            "equal": low <= value <= high}[claim["relation"]]  # fmt: skip


def _scale(setting: _Setting) -> str:
    """Where the claim was made, and how large what was measured here is."""
    rows = setting.cells(setting.label)
    backbone = rows["backbone_parameters"].max()
    examples = max(setting.results.manifest.cells[str(cell)].budget.train_examples for cell in rows.index)
    size = f" of {count(backbone)} parameters" if np.isfinite(backbone) else ""
    here = f"Here: a backbone{size}, at most {examples:,} training examples."
    scope = str(setting.claim["scope"])
    return f"The paper: {scope[:1].upper()}{scope[1:]}. {here}" if scope else here


def _ids(pairs: pd.DataFrame) -> tuple[str, ...]:
    def each() -> Iterator[str]:
        yield from pairs["id"].astype(str)
        yield from pairs["id_other"].astype(str)

    return tuple(dict.fromkeys(each()))


def _possessive(label: str) -> str:
    return "the backbone's" if label == "backbone" else f"{label}'s"


def _points(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _ratio(value: float) -> str:
    return f"{value:.3g}"


def _n(number: int, noun: str, words: Sequence[str] = ("", "s")) -> str:
    return f"{number} {noun}{words[number != 1]}"

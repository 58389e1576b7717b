"""Verdicts on claims in words: what a claim asks, what was measured, and what limits it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from records.vocabulary import QUANTITIES
from reports.model import writing
from reports.model.verdict_words import POPULATIONS
from reports.model.writing import count, ratio

if TYPE_CHECKING:
    from reports.analysis.claims import Verdict


def asked(verdict: Verdict) -> str:
    """What the claim asks of the effect, in the effect's unit: "more than 0 points", "0.8 to 1.25"."""
    relation, (low, high) = verdict.claim.relation, verdict.limits
    words = {"higher": "more than", "lower": "less than"}.get(relation, relation)
    limit = high if relation in ("higher", "at most") else low
    if relation != "equal":
        return f"{words} {writing.limit(limit, verdict.unit).removeprefix('× ')}"
    if verdict.unit == "points":
        return f"no more than {high:g} points either way"
    return f"{_ratio(low)} to {_ratio(high)}"


def effect(verdict: Verdict) -> str:
    """ "−0.4 points [−1.0, +0.2]", or "× 0.620 [0.600, 0.650]"; empty where none was measured."""
    if verdict.effect is None or not math.isfinite(verdict.effect):
        return ""
    return writing.effect(verdict.effect, verdict.unit, verdict.low, verdict.high)


def measured(verdict: Verdict) -> str:
    """One plain sentence of what was measured, or why there is nothing."""
    if verdict.other is None:
        return verdict.reason
    if verdict.effect is None:
        pairs = _n(verdict.n, "pair")
        return f"{pairs} of scores, too few or too alike for a standard deviation of each task."
    said = _counted(verdict) if QUANTITIES[verdict.claim.measure].kind == "counted" else _tested(verdict)
    return f"{said}; the claim holds if that is {asked(verdict)}.{_no_test(verdict)}"


def caveats(verdict: Verdict) -> list[str]:
    """What limits the verdict, in sentences; the scale of the paper beside ours comes first."""
    claim, said = verdict.claim, _scale(verdict)
    if verdict.other is None:
        return said
    if verdict.other not in (claim.comparator, "backbone"):
        said.append(f"Compared with the suite's {verdict.other}.")
    if verdict.trials > 1:
        said.append(f"Its learning rate is the best of {verdict.trials} on validation data.")
    if claim.measure == "training_memory_bytes":
        said.append("Memory is the sum of weights, gradients, optimiser state and kept activations.")
    if claim.measure == "steps_to_target":
        said.append("Evaluations are few, steps are known to the nearest.")
    elif QUANTITIES[claim.measure].kind == "timed":
        said.append("Timed on one machine.")
    if verdict.tasks_disagree:
        said.append("The tasks' means disagree about it.")
    return said


def _scale(verdict: Verdict) -> list[str]:
    """Where the claim was made, and how large what was measured here is."""
    known = verdict.backbone_parameters
    size = "" if known is None else f" of {count(known)} parameters"
    here = f"Here: a backbone{size}, at most {verdict.train_examples:,} training examples."
    scope = verdict.claim.scope
    return [f"The paper: {scope[:1].upper()}{scope[1:]}.", here] if scope else [here]


def _counted(verdict: Verdict) -> str:
    low, high = verdict.low, verdict.high
    said = f"The {QUANTITIES[verdict.claim.measure].words} is {ratio(verdict.effect or 0)} times {_possessive(verdict)}"
    if low is None or high is None or ratio(low) == ratio(high):
        return said
    return f"{said} in the median of {_n(verdict.n, 'pair')} ({ratio(low)} to {ratio(high)})"


def _tested(verdict: Verdict) -> str:
    claim, value = verdict.claim, verdict.effect or 0
    what = "rounds of timing" if verdict.in_rounds else "seeds"
    over = f" over {_n(verdict.n, 'pair')} of {what} on {_n(len(verdict.by_task), 'task')}"
    if verdict.population is not None:
        over += f", tested {POPULATIONS[verdict.population]}"
    if verdict.unit == "points":
        part = "" if claim.factor == 1 else f"{claim.factor:g} times "
        said = f"The test score minus {part}{_possessive(verdict)} is {writing.effect(value, 'points')}{over}"
        each = [f"{task} {_points(found)}" for task, found in verdict.by_task.items()]
    else:
        said = f"The {QUANTITIES[claim.measure].words} is {ratio(value)} times {_possessive(verdict)}{over}"
        each = [f"{task} {ratio(found)}" for task, found in verdict.by_task.items()]
    return f"{said} ({', '.join(each)})" if len(each) > 1 else said


def _no_test(verdict: Verdict) -> str:
    return {
        "": "",
        "few": " Too few pairs for a test.",
        "alike": " Pairs too alike, or a task with one only, for a test.",
    }[verdict.untested]


def _possessive(verdict: Verdict) -> str:
    return "the backbone's" if verdict.other == "backbone" else f"{verdict.other}'s"


def _points(value: float) -> str:
    return writing.decimal(value, 1, signed=True)


def _ratio(value: float) -> str:
    """One that was chosen, without its sign."""
    return writing.limit(value, "ratio").removeprefix("× ")


def _n(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"

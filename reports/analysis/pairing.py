"""Which cells bear on a claim: the label it is about, the one it is compared with, and their figures in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from records.cards import Claim
from records.text import listing
from records.vocabulary import MEMORY, QUANTITIES, Quantity
from reports.results import Results, select

# Two configurations have the same number of parameters if the counts differ by less than this share.
SAME_SIZE = 0.1
TUNED = frozenset({"lr", "weight_decay"})


@dataclass(frozen=True)
class Entrant:
    """A label as it takes part in comparisons on one backbone. `trials` counts the labels that differ from it in
    what is tuned alone; of these it has the highest mean validation score, as befits a search. Of what a search has
    tuned, `trials` are that search's, and what the suite gave it instead takes no part."""

    label: str
    method: str
    hyperparameters: dict[str, Any]
    cells: pd.DataFrame
    trials: int

    def fixed(self, varies: str = "") -> dict[str, Any]:
        """The hyperparameters that are neither tuned nor `varies`."""
        return {name: value for name, value in self.hyperparameters.items() if name not in TUNED | {varies}}


def entrants(results: Results, backbone: str) -> dict[str, Entrant]:
    """By label, in the suite's order. Cells have a column `training_memory_bytes` beside the frame's."""
    rows = select(results.cells, backbone=backbone)
    rows = rows.assign(training_memory_bytes=rows[list(MEMORY)].sum(axis=1, skipna=False))
    found: list[Entrant] = []
    by_label = {str(label): cells for label, cells in rows.groupby("label", sort=False)}
    given = {before for label, before in results.tuned.items() if label in by_label}
    for label in results.labels:
        if label not in by_label or label in given:
            continue
        cell = results.manifest.cells[str(by_label[label].index[0])]
        trials = results.trials if label in results.tuned else 1
        new = Entrant(label, cell.method, cell.hyperparameters, by_label[label], trials)
        for at, old in enumerate(found):
            if (old.method, old.fixed()) == (new.method, new.fixed()):
                means = [each.cells["validation_score"].mean() for each in (old, new)]
                better = new if means[1] > means[0] or np.isnan(means[0]) else old
                found[at] = replace(better, trials=old.trials + new.trials)
                break
        else:
            found.append(new)
    return {entrant.label: entrant for entrant in found}


@dataclass(frozen=True)
class Setting:
    """A claim about `label` on `backbone`, with the cells that bear on it."""

    results: Results
    backbone: str
    label: str
    claim: Claim
    entrants: Mapping[str, Entrant]

    @property
    def measure(self) -> Quantity:
        """What the claim is about."""
        return QUANTITIES[self.claim.measure]

    @property
    def entrant(self) -> Entrant:
        """The configuration that the claim is about."""
        return self.entrants[self.label]

    def cells(self, label: str) -> pd.DataFrame:
        """The label's cells to which the claim applies."""
        rows = self.entrants[label].cells
        if self.claim.task_kind:
            kinds = {task: self.results.task_card(task).kind for task in self.results.tasks}
            rows = rows[rows["task"].map(kinds) == self.claim.task_kind]
        if (most := self.claim.max_train_examples) is not None:
            cells = self.results.manifest.cells
            budgets = [cells[str(cell)].budget for cell in rows.index]
            rows = rows[[budget is not None and budget.train_examples <= most for budget in budgets]]
        return rows


def out_of_scope(setting: Setting) -> str:
    """Why no cell of the label is one that the claim is about; empty where there are some."""
    if len(setting.cells(setting.label)):
        return ""
    kind, most = setting.claim.task_kind, setting.claim.max_train_examples
    wanted = ([f"of kind {kind}"] if kind else []) + ([f"of at most {most:,} training examples"] if most else [])
    return f"The claim is about tasks {' and '.join(wanted)}, which the suite does not have."


def comparator(setting: Setting) -> tuple[str | None, str]:
    """The label to compare with, or why there is none."""
    claim = setting.claim
    if claim.varies:
        return _smaller(setting)
    name = claim.comparator
    if name == "backbone":
        if setting.measure.beside is None:
            return None, f"The {setting.measure.words} is not known of the backbone alone."
        return "backbone", ""
    labels = [label for label, each in setting.entrants.items() if each.method == name and len(setting.cells(label))]
    if not labels:
        return None, f"The suite does not compare with {name}."
    labels = [label for label in labels if all(_agree(setting, label, field) for field in claim.matched)]
    if not labels:
        fields = listing([field.replace("_", " ") for field in claim.matched])
        return None, f"The suite has no {name} of the same {fields}."
    return (name if name in labels else labels[0]), ""


def _agree(setting: Setting, label: str, field: str) -> bool:
    if field == "adapter_parameters":
        own, other = (setting.cells(each)[field].mean() for each in (setting.label, label))
        return bool(abs(own - other) <= SAME_SIZE * max(own, other))
    values = [setting.entrants[each].hyperparameters.get(field) for each in (setting.label, label)]
    return values[0] is not None and values[0] == values[1]


def _smaller(setting: Setting) -> tuple[str | None, str]:
    """The label of the same method with the next smaller value of what varies."""
    varies, own = setting.claim.varies, setting.entrant
    value = own.hyperparameters.get(varies)
    found = {
        label: other.hyperparameters[varies]
        for label, other in setting.entrants.items()
        if (other.method, other.fixed(varies)) == (own.method, own.fixed(varies)) and len(setting.cells(label))
        if value is not None and _is_smaller(other.hyperparameters[varies], value)
    }
    if value is False:
        return None, f"This configuration has {varies} turned off."
    if not found:
        return None, f"The suite has no second configuration that has a smaller {varies} and all else equal."
    return max(found, key=lambda label: len(found[label]) if isinstance(value, list) else found[label]), ""


def _is_smaller(one: Any, other: Any) -> bool:
    """Of lists, such as targets, whether the other has all of it, and more."""
    if isinstance(one, list) and isinstance(other, list):
        return set(one) < set(other)
    return bool(one < other)


def pairs_of(setting: Setting, other: str) -> pd.DataFrame:
    """Columns task, seed, a, b (the figure of the label and of the comparator) and the ids of their cells. Of what was
    timed in rounds there is a row for each: `seed` counts them."""
    column = "score" if setting.measure.kind == "spread" else setting.claim.measure
    own = setting.cells(setting.label).reset_index()
    theirs = own if other == "backbone" else setting.cells(other).reset_index()
    on = ["task", "seed"]
    if setting.measure.profiled:
        own, theirs = (rows[rows[column].notna()] if column in rows else rows for rows in (own, theirs))
        if own["task"].is_unique and theirs["task"].is_unique:  # of whichever seed they were profiled
            on = ["task"]
    merged = own.merge(theirs, on=on, suffixes=("", "_other"))
    scales = {task: setting.results.scale(task) for task in merged["task"].unique()}
    if setting.measure.kind == "score":  # margins are in points, which only fractions have
        merged = merged[[scales[task].in_points for task in merged["task"]]]
    if column == "steps_to_target":
        steps = [_steps_to_target(setting, *ids) for ids in zip(merged["id"], merged["id_other"], strict=True)]
        merged[["a", "b"]] = np.array(steps, dtype=float).reshape(-1, 2)
    else:
        alone = setting.measure.beside
        merged = merged.assign(a=merged[column])
        merged["b"] = merged[alone if other == "backbone" else f"{column}_other"]
        if setting.measure.kind == "timed" and alone and other != "backbone":
            merged["a"] /= merged[alone]
            merged["b"] /= merged[f"{alone}_other"]
        if setting.measure.kind == "score":  # of a share of errors, the share of what is right
            errors = [not scales[task].higher_is_better for task in merged["task"]]
            merged.loc[errors, ["a", "b"]] += 1
    kept = merged["a"].notna() & merged["b"].notna()
    if setting.measure.kind in ("timed", "counted"):
        kept &= merged["b"] > 0
    found = merged.loc[kept, ["task", "seed", "a", "b", "id", "id_other"]]
    return _by_round(setting, found, alone=other == "backbone") if setting.measure.rounds else found


def _by_round(setting: Setting, pairs: pd.DataFrame, alone: bool) -> pd.DataFrame:
    """Seeds share a profile, so that there is one pair of cells on each task: its rounds tell how sure it is."""
    rounds = {
        str(cell): setting.results.rounds(str(cell), setting.claim.measure)
        for cell in {*pairs["id"], *pairs["id_other"]}
    }
    if not pairs["task"].is_unique or not all(rounds.values()):
        return pairs
    rows = []
    for row in pairs.to_dict("records"):
        for number, (own, other) in enumerate(zip(rounds[row["id"]], rounds[row["id_other"]], strict=False)):
            rows.append(row | {"seed": number, "a": row["a"] * own, "b": row["b"] * (1 if alone else other)})
    return pd.DataFrame(rows, columns=pairs.columns)


def _steps_to_target(setting: Setting, own: str, other: str) -> tuple[float, float]:
    """Optimiser steps until each run's validation score first reaches the lower of their best scores, which
    both reach; as fine as the evaluations lie. NaN without a history."""
    history = setting.results.history
    runs = [history[history["id"] == cell].sort_values("step") for cell in (own, other)]
    if any(run["score"].notna().sum() == 0 for run in runs):
        return float("nan"), float("nan")
    target = min(run["score"].max() for run in runs)
    first = [float(run.loc[run["score"] >= target, "step"].iloc[0]) for run in runs]
    return first[0], first[1]


def why_no_pairs(setting: Setting, other: str) -> str:
    """The reason that a reader is given where two configurations share no figure."""
    rows = setting.cells(setting.label)
    reasons = rows.loc[rows["status"] == "n/a", "reason"].dropna()
    if len(reasons) == len(rows):
        return f"The method does not apply here: {reasons.iloc[0]}"
    tasks = sorted({str(task) for task in rows.loc[rows["score"].notna(), "task"]})
    if setting.measure.kind == "score" and tasks and not any(setting.results.scale(t).in_points for t in tasks):
        scored_by = listing([f"{task} by {setting.results.metric(task)}" for task in tasks])
        return f"No task is scored by a fraction, of which alone the claim's margin says something: {scored_by}."
    for label in dict.fromkeys((setting.label, other)):
        column = setting.measure.beside if label == "backbone" else setting.claim.measure
        if label != "backbone" and column in rows and setting.cells(label)[column].isna().all():
            return f"The {setting.measure.words} of {label} was not measured."
    return f"No task and seed has the {setting.measure.words} of both {setting.label} and {other}."

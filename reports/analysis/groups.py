"""Means of the groups of seeds that the page plots, by the numbers of backbones, tasks and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from records.vocabulary import Quantity, listed
from reports.analysis.statistics import summarise

# A task that stands for all of them.
ALL = -1


def groups(
    columns: dict[str, list[Any]], measured: dict[str, list[float | None]], averaged: Sequence[int]
) -> list[dict[str, Any]]:
    """Per (backbone, task, label) the mean, spread and count over seeds of each measure; then per (backbone,
    label) the mean of the tasks' means, where the label has one on every task that any label has; of scores only over
    the tasks `averaged`."""
    members: dict[tuple[int, int, int], list[int]] = {}
    for i, key in enumerate(zip(columns["backbone"], columns["task"], columns["label"], strict=True)):
        members.setdefault(key, []).append(i)
    profiled = {m.name for m in listed() if m.profiled}
    made = []
    for (backbone, task, label), rows in members.items():
        used = {columns["protocol"][i] for i in rows} - {None}
        values = {
            key: _summary([column[i] for i in rows])
            for key, column in measured.items()
            if key not in profiled or len(used) == 1
        }
        made.append(
            {
                "backbone": backbone,
                "task": task,
                "label": label,
                "protocol": min(used, default=None),
                "values": {key: value for key, value in values.items() if value},
            }
        )
    return made + [
        group for backbone in sorted(set(columns["backbone"])) for group in _over_tasks(made, backbone, averaged)
    ]


def _summary(values: Sequence[float | None]) -> list[float | int | None] | None:
    """[mean, sd, n], or nothing."""
    found = summarise([math.nan if value is None else value for value in values])
    return [plain_number(found.mean), found.sd, found.n] if found.n else None


def _over_tasks(made: list[dict[str, Any]], backbone: int, averaged: Sequence[int]) -> list[dict[str, Any]]:
    own = [group for group in made if group["backbone"] == backbone]
    tasks = {group["task"] for group in own}
    if len(tasks) < 2:
        return []
    by_label: dict[int, list[dict[str, Any]]] = {}
    for group in own:
        by_label.setdefault(group["label"], []).append(group)
    found = []
    for measure in listed():

        def has(group: dict[str, Any], measure: Quantity = measure) -> bool:
            return measure.name in group["values"] and (measure.kind != "score" or group["task"] in averaged)

        having = [group for group in own if has(group)]
        wanted = {group["task"] for group in having}
        if not wanted or (measure.profiled and len({group["protocol"] for group in having}) > 1):
            continue
        for label, theirs in by_label.items():
            values = [group["values"][measure.name] for group in theirs if has(group)]
            if len(values) == len(wanted):
                mean = plain_number(summarise([value[0] for value in values]).mean)
                found.append((label, measure.name, [mean, None, sum(value[2] for value in values)]))
    return [
        {
            "backbone": backbone,
            "task": ALL,
            "label": label,
            "protocol": None,
            "values": {key: value for of, key, value in found if of == label},
        }
        for label in by_label
    ]


def plain_number(value: float) -> float | int | None:
    """Whole numbers as such, which is shorter; what is not finite as nothing."""
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else value

"""Tables of results: scores, differences, cost, memory. Each carries its numbers at full precision as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.analysis.contrasts import Contrast
from reports.analysis.costs import CostGroup
from reports.analysis.statistics import MIN_PAIRS, Summary
from reports.model.document import Code, Column, Number, Ref, Row, Table, Text, keyed, listing
from reports.model.writing import count, named_scores, number, unit_for
from reports.results import NO_SCORE, Results, select
from reports.scales import UNDEFINED, Scale

# Wider tables are cut into several.
TASKS_PER_TABLE = 6


def by_family(results: Results, labels: Iterable[str], cells_of: Callable[[str], tuple]) -> tuple[Row, ...]:
    """One row per label, with a gap wherever a new family begins."""
    rows: list[Row] = []
    family = None
    for label in labels:
        gap = family is not None and results.family_of(label) != family
        family = results.family_of(label)
        rows.append(Row((label, *cells_of(label)), gap))
    return tuple(rows)


def scores(analysis: Analysis) -> list[Table]:
    """Mean test score ± standard deviation, a row per method and a column per task; per backbone."""
    results = analysis.results
    parts = [
        (backbone, tasks[start : start + TASKS_PER_TABLE])
        for backbone in results.backbones
        if (tasks := _tasks(results.scored, backbone, results.tasks))
        for start in range(0, len(tasks), TASKS_PER_TABLE)
    ]
    made = []
    for position, (backbone, tasks) in enumerate(parts):
        cells = select(results.scored, backbone=backbone)
        usual = usual_n(cells[cells["task"].isin(tasks)])
        data: list[dict] = []
        lost = select(results.cells, backbone=backbone, status=NO_SCORE)
        lost = lost[lost["task"].isin(tasks)]
        undefined = set(zip(lost["label"], lost["task"], strict=True))

        def row(label: str, tasks=tasks, usual=usual, data=data, backbone=backbone,
                undefined=undefined) -> tuple:  # fmt: skip
            row: list[str | Number | None] = []
            for task in tasks:
                summary, ids = analysis.scored.of("score", backbone, task, label)
                scale = results.scale(task)
                shown = number(summary, scale.unit, ids, usual)
                row.append(shown or (UNDEFINED if (label, task) in undefined else None))
                raw = summary._replace(mean=scale.raw(summary.mean))
                data.append(_line(backbone, label, task, results.metric(task), _unit(scale), raw, ids))
            return tuple(row)

        rows = by_family(results, _labels(results, backbone), row)
        metrics = {results.scale(task).named(results.metric(task)) for task in tasks}
        columns = [Column("Method", "label")]
        for task in tasks:
            columns.append(Column(task, group=None if len(metrics) == 1 else _head(results, tasks, task)))
        what = metrics.pop() if len(metrics) == 1 else named_scores(results, tasks)
        if len(lost):
            what += f"; {len(lost)} undefined score{'s are' if len(lost) > 1 else ' is'} in no mean"
        made.append(
            Table(
                keyed("scores", position, len(parts)),
                (f"Test {what}, mean ± sample standard deviation over {_n(usual)}; backbone"
                 f" {results.title('backbones', backbone)}. No value is set in bold.", *_see_differences(results)),
                tuple(columns), rows, pd.DataFrame(data), wide=len(tasks) > 2,
            )
        )  # fmt: skip
    return made


def _head(results: Results, tasks: Sequence[str], task: str) -> str:
    """The metric as the head of a column, with its scale where a table holds several."""
    scale, metric = results.scale(task), results.metric(task)
    alike = all(results.scale(each).in_points and results.scale(each).higher_is_better for each in tasks)
    return metric if alike else scale.named(metric)


def _unit(scale: Scale) -> str:
    return "fraction" if scale.in_points else "as the metric has it"


def _see_differences(results: Results) -> Text:
    if results.reference is None:
        return ()
    return (" Which differences can be told from noise is the subject of ", Ref("tab:differences"), ".")


def differences(analysis: Analysis) -> list[Table]:
    """Paired differences to the reference, with Holm's p where a test is made."""
    results, found = analysis.results, analysis.contrasts
    if not found:
        return []
    tested = any(d.adjusted is not None for d in found)
    several = len({d.backbone for d in found}) > 1
    tasks = [task for task in results.tasks if any(d.task == task for d in found)]
    usual = Counter(d.comparison.n for d in found).most_common(1)[0][0]
    at = {(d.backbone, d.label, d.task): d for d in found}
    columns = [Column("Method", "label")]
    for task in tasks:
        columns.append(Column("difference" if tested else task, group=task if tested else None))
        if tested:
            columns.append(Column("p", group=task))
    rows: list[Row] = []
    data = []
    for backbone in results.backbones:
        for label in results.labels:
            if not any((backbone, label, task) in at for task in tasks):
                continue
            cells: list[str | Number | None] = [f"{label} ({backbone})" if several else label]
            for task in tasks:
                d = at.get((backbone, label, task))
                cells += _difference(d, results.scale(task), usual, tested)
                if d is not None:
                    c = d.comparison
                    scale = results.scale(task)
                    line = _line(backbone, label, task, f"difference to {results.reference}", _unit(scale),
                                 Summary(scale.raw(c.mean), c.sd, c.n), d.ids)  # fmt: skip
                    data.append(line | {"p": c.p, "p_holm": d.adjusted})
            rows.append(Row(tuple(cells)))
    of_all = sum(contrast.adjusted is not None for contrast in analysis.everything.contrasts)
    test = (
        f"p: two-sided paired t-test, corrected by Holm over the {of_all}"
        f" tests of the run; fewer than {MIN_PAIRS} pairs are not tested (–)."
        if tested
        else f"No p-values: with fewer than {MIN_PAIRS} seeds in common a test would have next to no power."
    )
    return [
        Table(
            "differences",
            ("Difference to ", Code(results.reference or ""), f"{_in_which_unit(results, tasks)}, paired by seed: mean"
             f" ± sample standard deviation of the differences over {_n(usual)}. {test}"),
            tuple(columns), tuple(rows), pd.DataFrame(data), wide=len(columns) > 3,
        )
    ]  # fmt: skip


def _in_which_unit(results: Results, tasks: Sequence[str]) -> str:
    """ " in points"; for other scales also which sign is the better one."""
    scales = {task: results.scale(task) for task in tasks}
    less = [task for task, scale in scales.items() if not scale.higher_is_better]
    said = [] if all(scale.in_points for scale in scales.values()) else ["of fractions; else in the metric's own unit"]
    said += [f"below zero is better on {listing(less)}"] if less else []
    return " in points" + (f" ({'; '.join(said)})" if said else "")


def _difference(d: Contrast | None, scale: Scale, usual: int, tested: bool) -> list[str | Number | None]:
    if d is None:
        return [None, None] if tested else [None]
    c = d.comparison
    note = str(c.n) if c.n != usual else None
    spread = None if c.sd is None else scale.spread(c.sd)
    shown = Number(scale.text(c.mean, signed=True), scale.raw(c.mean), spread, note, d.ids)
    cells: list[str | Number | None] = [shown]
    if tested:
        adjusted = d.adjusted
        cells.append(None if adjusted is None else Number(p_text(adjusted), adjusted, cells=d.ids))
    return cells


def p_text(p: float) -> str:
    """ "0.012", or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


@dataclass(frozen=True)
class _Measure:
    column: str
    title: str
    kind: str = ""
    group: str | None = None
    spread: bool = False


_COST = (
    _Measure("adapter_parameters", "method", "parameters", "Trainable parameters"),
    _Measure("percent", "% of backbone", "%", "Trainable parameters"),
    _Measure("head_parameters", "head", "parameters", "Trainable parameters"),
    _Measure("stored_bytes", "Stored", "bytes"),
    _Measure("peak_memory_bytes", "Peak memory", "bytes"),
    _Measure("train_tokens_per_second", "tokens/s", "", "Training", spread=True),
    _Measure("step_seconds", "step", "seconds", "Training", spread=True),
    _Measure("latency", "unmerged", "×", "Inference latency", spread=True),
    _Measure("merged_latency", "merged", "×", "Inference latency", spread=True),
    _Measure("backbone_inference_seconds", "backbone", "seconds", "Inference latency", spread=True),
)
MEMORY_PARTS = {
    "weights_bytes": "weights",
    "gradient_bytes": "gradients",
    "optimizer_bytes": "optimiser",
    "activation_bytes": "activations",
}
_MEMORY = (
    *(_Measure(column, title, "bytes", "Counted") for column, title in MEMORY_PARTS.items()),
    _Measure("training_memory_bytes", "sum", "bytes", "Counted"),
    _Measure("peak_memory_bytes", "peak", "bytes", "Measured"),
)


def costs(analysis: Analysis) -> list[Table]:
    """What training, storing and using each method costs; a table per backbone and protocol."""
    results, groups = analysis.results, analysis.costs
    made = []
    for position, group in enumerate(groups):
        columns, rows, data, most = _measured(results, group, _COST)
        caption = (
            f"Cost on {results.title('backbones', group.backbone)}, mean (timed quantities ± sample standard"
            f" deviation) over up to {_n(most, 'profiled cell')} ({listing(list(group.tasks))}). {protocol_text(group)}"
            f"{_of_inference(results, group)} Stored: bytes to keep per task, head included. Latency is that of one"
            " batch: with the method in place, and folded into the backbone where the method can be merged, over that"
            " of the plain backbone, which is timed beside either."
        )
        made.append(Table(keyed("cost", position, len(groups)), (caption,), columns, rows, data, wide=True))
    return made


def memory(analysis: Analysis) -> list[Table]:
    """Bytes of one training step by what they hold, beside the measured peak."""
    results, groups = analysis.results, analysis.costs
    made = []
    for position, group in enumerate(groups):
        columns, rows, data, most = _measured(results, group, _MEMORY)
        caption = (
            f"Memory of training on {results.title('backbones', group.backbone)}, mean over up to"
            f" {_n(most, 'profiled cell')} ({listing(list(group.tasks))}). The parts are counted from"
            " tensors in the costliest phase; the peak is measured and also holds what"
            f" the parts leave out (temporary buffers, the allocator's reserve).{_of_inference(results, group)}"
        )
        made.append(Table(keyed("memory", position, len(groups)), (caption,), columns, rows, data, wide=True))
    return made


def _of_inference(results: Results, group: CostGroup) -> str:
    untrained = [label for label in results.untrained if label in group.labels]
    return f" The peak of {listing(untrained)} is that of inference." if untrained else ""


def protocol_text(group: CostGroup) -> str:
    """The protocol's batch shapes in a sentence, as far as it names them."""
    said = []
    for key, name in (("train_batch", "training"), ("inference_batch", "inference")):
        shape = group.protocol.get(key)
        if isinstance(shape, list) and len(shape) == 2:
            said.append(f"{name} batches of {shape[0]} × {shape[1]} tokens")
    return (" and ".join(said).capitalize() + ".") if said else ""


def _measured(results: Results, group: CostGroup, measures: tuple[_Measure, ...]):
    cells = group.cells
    labels = [label for label in results.labels if label in set(cells["label"])]
    most = max(len(select(cells, label=label)) for label in labels)
    summaries = {(label, m.column): group.of(label, m.column) for label in labels for m in measures}
    # One unit for all columns of a kind that stand under one heading, so that they can be compared at sight.
    units = {}
    for m in measures:
        kin = [k.column for k in measures if k == m or (k.kind == m.kind and k.group and k.group == m.group)]
        units[m.column] = unit_for(m.kind, [summaries[label, k][0].mean for label in labels for k in kin])
    data = []

    def row(label: str) -> tuple:
        row: list[str | Number | None] = []
        for m in measures:
            summary, ids = summaries[label, m.column]
            data.append(_line(group.backbone, label, ", ".join(group.tasks), m.column, m.kind, summary, ids))
            if m.kind == "parameters":
                row.append(_counted(cells.loc[list(ids), m.column], summary, ids))
            else:
                shown = summary if m.spread else summary._replace(sd=None)
                row.append(number(shown, units[m.column], ids))
        return tuple(row)

    rows = by_family(results, labels, row)
    columns = [Column("Method", "label")]
    for m in measures:
        unit = units[m.column].name if m.kind in ("bytes", "seconds", "×") else None
        columns.append(Column(m.title, unit=unit, group=m.group))
    return tuple(columns), rows, pd.DataFrame(data), most


def _counted(values: pd.Series, summary: Summary, ids: tuple[str, ...]) -> Number | None:
    """A count; a range where cells differ, as heads do between tasks."""
    if not summary.n:
        return None
    low, high = count(values.min()), count(values.max())
    return Number(low if low == high else f"{low}–{high}", summary.mean, cells=ids)


def usual_n(cells: pd.DataFrame) -> int:
    """The commonest number of cells behind a (label, task)."""
    sizes = cells.groupby(["label", "task"], observed=True).size()
    return int(sizes.mode().iloc[-1]) if len(sizes) else 0


def _line(backbone: str, label: str, task: str, measure: str, unit: str, s: Summary, ids: tuple[str, ...]) -> dict:
    return {
        "backbone": backbone, "label": label, "task": task, "measure": measure, "unit": unit,
        "mean": s.mean, "sd": s.sd, "n": s.n, "cells": " ".join(ids),
    }  # fmt: skip


def _n(n: int, what: str = "seed") -> str:
    plural = f"{n} {what}" if n == 1 else f"{n} {what}s"
    return f"{plural} (another number in brackets)" if what == "seed" else plural


def _tasks(cells: pd.DataFrame, backbone: str, tasks: Iterable[str]) -> list[str]:
    present = set(select(cells, backbone=backbone)["task"])
    return [task for task in tasks if task in present]


def _labels(results: Results, backbone: str) -> list[str]:
    """Labels that are part of the suite on this backbone, with or without a score."""
    present = set(select(results.cells, backbone=backbone)["label"])
    return [label for label in results.labels if label in present]

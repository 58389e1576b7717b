"""The cells behind every number."""

from __future__ import annotations

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.model.document import Column, Paragraph, Part, Row, Section, Table
from reports.model.prose import Prose, say
from reports.results import Results, select

PLACE = "appendix"
ORDER = 40


def part(analysis: Analysis, prose: Prose) -> Part:
    """How to find a record, and the ids."""
    said = Paragraph(prose.text("cells", "cells"))
    return Part(Section("cells", "Cells behind the Numbers", (said, table(analysis.everything.results))))


def table(results: Results) -> Table:
    """The ids of the cells of every (configuration, task), by seed."""
    seeds = sorted({int(seed) for seed in results.cells["seed"]})
    rows: list[Row] = []
    data: list[dict[str, object]] = []
    for backbone in results.backbones:
        for label in results.labels:
            name = f"{label} ({backbone})" if len(results.backbones) > 1 else label
            for task in results.tasks:
                by_seed = _by_seed(results, backbone, label, task)
                if not by_seed:
                    continue
                gap = bool(name and rows and len(results.tasks) > 1)
                rows.append(Row((name, task, " ".join(by_seed[seed] for seed in seeds if seed in by_seed)), gap))
                where = {"backbone": backbone, "label": label, "task": task}
                data += [where | {"seed": seed, "cell": ids} for seed, ids in by_seed.items()]
                name = ""
    columns = (Column("Configuration", "label"), Column("Task", "label"), Column("Cells", "text", share=0.6))
    caption = say(
        "The cells of every configuration, in the order of the seeds {seeds}.", seeds=", ".join(map(str, seeds))
    )
    return Table("cells", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)


def _by_seed(results: Results, backbone: str, label: str, task: str) -> dict[int, str]:
    found: dict[int, list[str]] = {}
    for cell_id, seed in select(results.cells, backbone=backbone, label=label, task=task)["seed"].items():
        found.setdefault(int(seed), []).append(str(cell_id))
    return {seed: " ".join(ids) for seed, ids in found.items()}

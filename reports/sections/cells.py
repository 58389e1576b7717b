"""The cells behind every number."""

from __future__ import annotations

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.model.document import Block, Code, Column, Paragraph, Part, Ref, Row, Section, Table
from reports.model.prose import Prose
from reports.results import Results, select

PLACE = "appendix"
ORDER = 40


def part(analysis: Analysis, prose: Prose) -> Part:
    return Part(Section("cells", "Cells behind the Numbers", tuple(cells(analysis.everything.results))))


def cells(results: Results) -> list[Block]:
    """The ids of the cells of every (configuration, task), by seed."""
    seeds = sorted({int(seed) for seed in results.cells["seed"]})
    rows: list[Row] = []
    data = []
    for backbone in results.backbones:
        for label in results.labels:
            first = True
            for task in results.tasks:
                own = select(results.cells, backbone=backbone, label=label, task=task)
                if own.empty:
                    continue
                by_seed: dict[int, str] = {}
                for cell_id, seed in own["seed"].items():
                    by_seed[int(seed)] = f"{by_seed[int(seed)]} {cell_id}" if int(seed) in by_seed else str(cell_id)
                name = f"{label} ({backbone})" if len(results.backbones) > 1 else label
                ids = " ".join(by_seed[seed] for seed in seeds if seed in by_seed)
                rows.append(
                    Row((name if first else "", task, ids), gap=first and bool(rows) and len(results.tasks) > 1)
                )
                data += [{"backbone": backbone, "label": label, "task": task, "seed": seed, "cell": one}
                         for seed, one in by_seed.items()]  # fmt: skip
                first = False
    said = Paragraph((
        "Every mean of this report is one over the cells of a row of ", Ref("tab:cells"), ", as far as they have a"
        " score. The record of a cell is ", Code("cells/<id>/record.json"), " in the results folder; ",
        Code("bench show <id>"), " prints it. The file ", Code("tables/<label>.csv"), " beside this document has"
        " each table at full precision, with the ids behind every line.",
    ))  # fmt: skip
    columns = (Column("Configuration", "label"), Column("Task", "label"), Column("Cells", "text", share=0.6))
    caption = (f"The cells of every configuration, in the order of the seeds {', '.join(map(str, seeds))}.",)
    return [said, Table("cells", caption, columns, tuple(rows), pd.DataFrame(data), wide=True)]

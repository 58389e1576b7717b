"""What follows the references: full tables, the survey's table beside ours, the cells behind every number, and the
environment."""

from __future__ import annotations

import pandas as pd

from reports.analysis.analysis import Analysis
from reports.model.document import Block, Code, Column, Paragraph, Ref, Row, Section, Table
from reports.results import Results, select
from reports.sections import setup, tables, verdict_tables


def sections(analysis: Analysis) -> tuple[Section, ...]:
    whole = analysis.everything
    results, view = whole.results, analysis.results
    made = []
    if len(view.labels) < len(results.labels):
        made.append(Section("all", "All Configurations", tuple(_renamed(t) for t in _everything(whole))))
    memory = () if results.scored.empty else tuple(tables.memory(whole))
    if memory:
        made.append(Section("memory", "Memory by What Holds It", memory))
    if rated := verdict_tables.compositions(whole.ratings, results):
        made.append(Section("survey", "The Survey's Table, Measured", tuple(rated)))
    made.append(Section("cells", "Cells behind the Numbers", tuple(cells(results))))
    if environment := setup.environment(results):
        made.append(Section("environment", "Environment", tuple(environment)))
    return tuple(made)


def _everything(whole: Analysis) -> list[Table]:
    return [*tables.scores(whole), *tables.differences(whole), *tables.costs(whole),
            *setup.hyperparameters(whole.results)]  # fmt: skip


def _renamed(table: Table) -> Table:
    """The key `scores` is the main part's, of fewer labels."""
    caption = tuple(
        Ref(f"tab:all-{p.label.removeprefix('tab:')}") if isinstance(p, Ref) and p.label.startswith("tab:") else p
        for p in table.caption
    )
    return Table(f"all-{table.key}", caption, table.columns, table.rows, table.data, table.wide)


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

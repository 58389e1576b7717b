"""Thousands of cells with logs, for what must not stall: python -m tests.reports.many_cells FOLDER."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import kept
import synthetic_results as synthetic

from records.cell import Cell
from records.store import RecordStore

LABELS, TASKS, SEEDS = 25, 20, 10


def grid(labels: int, tasks: int, seeds: int) -> list[Cell]:
    """So many configurations, of all methods in turn, crossed with tasks and seeds."""
    methods = list(itertools.islice(itertools.cycle(synthetic.METHODS), labels))
    labelled = [(m, m if i < len(synthetic.METHODS) else f"{m}@{i}") for i, m in enumerate(methods)]
    named = [*synthetic.TASKS, *(f"task_{i}" for i in range(len(synthetic.TASKS), tasks))][:tasks]
    cells = []
    for position, (method, label) in enumerate(labelled):
        for task in named:
            for seed in range(seeds):
                cell = synthetic.cell(method, task, seed, label)
                cells.append(cell.model_copy(update={"hyperparameters": cell.hyperparameters | {"variant": position}}))
    return cells


def write(root: Path, examples: int = 0) -> Path:
    """5,000 cells: 25 configurations on 20 tasks with ten seeds. Every 50th failed. With predictions of so many
    `examples` of each task, whose texts are about as long as the page shows them."""
    cells = grid(LABELS, TASKS, SEEDS)
    records = (
        synthetic.record(cell, "failed", reason=synthetic.OUT_OF_MEMORY) if i % 50 == 49 else synthetic.record(cell)
        for i, cell in enumerate(cells)
    )
    synthetic.write(root, cells, records)
    store = RecordStore(root)
    for cell in cells:
        lines = (f"step {step:4d}  loss {1 / (1 + step):.4f}  lr 1.0e-3" for step in range(0, 200, 2))
        store.log(cell.id).write_text("\n".join(lines), encoding="utf-8")
    if examples:
        kept.keep_all(root, examples, texts={str(i): f"{i} {'word ' * 60}" for i in range(examples)})
    return root


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))

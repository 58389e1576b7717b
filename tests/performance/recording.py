"""How long it takes to write a hundred to ten thousand records, to read them again, and to make a report of them:
tables, figures, LaTeX and the page, as `bench report` writes them where there is no LaTeX to compile them with.

Records are made up, ten seeds of each configuration and task, without predictions.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from records.store import RecordStore
from tests.conftest import ROOT
from tests.performance.figures import Table, per_cell
from tests.reports import many_cells
from tests.reports import synthetic_results as synthetic

# Configurations, tasks and seeds.
GRIDS = ((5, 2, 10), (10, 10, 10), (50, 20, 10))


def measure(brief: bool = False) -> list[Table]:
    """Each once; in a brief look the first alone."""
    table = Table("", ("records", "to write", "each", "to read", "each", "to report", "each"))
    for grid in GRIDS[:1] if brief else GRIDS:
        with tempfile.TemporaryDirectory() as name:
            cells = many_cells.grid(*grid)
            folder = synthetic.write(Path(name) / "results", cells, [])
            store, records = RecordStore(folder), [synthetic.record(cell) for cell in cells]
            actions = (
                lambda store=store, records=records: [store.write(record) for record in records],
                lambda store=store: list(store.records()),
                lambda folder=folder: _report(folder),
            )
            spent = [_seconds(action) for action in actions]
        figures = ((f"{seconds:.2f} s", per_cell(seconds, len(cells))) for seconds in spent)
        table.add(f"{len(cells):,}", *(each for pair in figures for each in pair))
    return [table]


def _report(folder: Path) -> None:
    """In a process of its own, which finds no latexmk."""
    environ = os.environ | {"PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)}
    command = [sys.executable, "-m", "bench", "report", str(folder)]
    subprocess.run(command, check=True, capture_output=True, env=environ)


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began

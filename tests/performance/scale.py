"""How long ten thousand cells take to expand, to be looked at, and to be scheduled, beside their own work."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from rich.console import Console

from bench.display import RunDisplay
from bench.job import Job
from bench.launchers.base import End, Slot
from bench.launchers.local import LocalLauncher
from bench.scheduler import Scheduler
from bench.suite import Suite, expand
from bench.suite_file import Keep
from records.cards import Cards
from records.cell import Cell
from records.record import Record
from records.store import RecordStore
from tests.conftest import ROOT
from tests.performance.figures import Figure, Table, of_figures, per_cell
from tests.reports import synthetic_results as synthetic

CELLS = 10_000
# With processes of their own, which is a matter of the system as well.
REAL = 1_000
REPEATS = 3
LABELS, TASKS, METHODS = 20, ("rotten_tomatoes", "bbc_news"), ("lora", "bitfit")


def measure(brief: bool = False) -> list[Table]:
    """One after the other; a brief look is the same."""
    return of_figures(_figures())


def _figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _expansion(folder)
        yield _status(folder)
        yield _scheduling(folder)
        yield _processes(folder)


def write_suite(folder: Path) -> Path:
    """Of so many cells."""
    suite = {
        "backbones": ["embedded:minilm-l6"],
        "tasks": list(TASKS),
        "methods": {f"lora@{i}": {"lr": round(1e-4 * (1 + i), 6)} for i in range(LABELS)},
        "seeds": list(range(CELLS // LABELS // len(TASKS))),
    }
    path = folder / "many.yaml"
    path.write_text(yaml.safe_dump(suite, sort_keys=False), encoding="utf-8")
    return path


def many_cells(count: int = CELLS, label: str | None = None) -> dict[str, Cell]:
    """As many, of two methods, by id."""
    made = (synthetic.cell(method, TASKS[0], seed, label) for seed in range(count // 2) for method in METHODS)
    return {cell.id: cell for cell in made}


def _expansion(folder: Path) -> Iterator[Figure]:
    path = write_suite(folder)
    Suite.load(str(path))  # imports
    suite, seconds = _best(lambda: Suite.load(str(path)))
    yield Figure("read and check the suite", f"{seconds:.2f} s")
    cells, seconds = _best(lambda: {cell.id: cell for cell in expand(suite.axes)})
    assert len(cells) == CELLS
    yield Figure("expand it into cells with their ids", f"{seconds:.2f} s", per_cell(seconds, CELLS), "under 2 s")


def _status(folder: Path) -> Figure:
    cells = many_cells()
    synthetic.write(folder / "results", list(cells.values()), map(synthetic.record, cells.values()))
    command = [sys.executable, "-m", "bench", "status", str(folder / "results")]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    _, seconds = _best(lambda: subprocess.run(command, check=True, capture_output=True, env=environ))
    return Figure("bench status over their records", f"{seconds:.2f} s", per_cell(seconds, CELLS), "under 3 s")


class Immediate:
    """A launcher whose jobs have done their work as soon as they are started: what is left is scheduling."""

    remote = False

    def __init__(self, store: RecordStore, record: Callable[[Cell], Record]) -> None:
        self.store, self.record = store, record
        self.worked = 0.0
        self.running: dict[int, Any] = {}

    def begin(self, results: Path) -> None: ...

    def start(self, job: Job, slot: Slot) -> None:
        began = time.perf_counter()
        self.store.write(self.record(job.cell))
        self.worked += time.perf_counter() - began
        self.running[slot.index] = SimpleNamespace(
            job=job, queued=False, done=0, total=0, doing="", refused=None, overdue=False, seconds=1.0, silent=0.0
        )

    def wait(self, timeout: float) -> Iterator[tuple[Any, End]]:
        running, self.running = self.running, {}
        for run in running.values():
            yield run, End("")

    def stop(self) -> None: ...


def suite_of(folder: Path, cells: dict[str, Cell]) -> Any:
    """What a scheduler asks of a suite."""
    return SimpleNamespace(
        name="many",
        path=folder / "many.yaml",
        cells=cells,
        cards=Cards,
        left_out={},
        plugin_files=lambda cell: (),
        file=SimpleNamespace(profile=False, keep=Keep(), checkpoint="none"),
        resolved=lambda: {"name": "many", "command": "bench run"},
    )


def trained(cell: Cell) -> Record:
    """As a worker leaves it."""
    return synthetic.record(cell).model_copy(update={"status": "trained", "cost": None})


def _scheduling(folder: Path) -> Figure:
    store = RecordStore(folder / "scheduled")
    launcher = Immediate(store, trained)
    seconds = _run(folder, many_cells(), store, launcher) - launcher.worked
    what = "schedule them, jobs' own work left out"
    return Figure(what, f"{seconds:.1f} s", per_cell(seconds, CELLS), "under 20 ms a cell")


def _processes(folder: Path) -> Figure:
    """With a process for each cell, forked from a server without torch, that writes a record and ends."""
    cells = many_cells(REAL, label="fine")
    os.environ["PYTHONPATH"] = str(ROOT)
    launcher = LocalLauncher(work="tests.bench.odd_workers")
    seconds = _run(folder, cells, RecordStore(folder / "forked"), launcher)
    what = f"the same with a process each, {REAL:,} cells, two at a time"
    return Figure(what, f"{seconds:.1f} s", per_cell(seconds, REAL))


def _run(folder: Path, cells: dict[str, Cell], store: RecordStore, launcher: Any) -> float:
    slots = [Slot(0, 1), Slot(1, 1)]
    began = time.perf_counter()
    with RunDisplay(Console(file=io.StringIO(), width=200)) as display:
        records = Scheduler(suite_of(folder, cells), store, launcher, slots).run(display)
    assert len(records) == len(cells)
    return time.perf_counter() - began


def _best(action: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its seconds: the least of several, since others are at work on the machine too."""
    least, found = float("inf"), None
    for _ in range(REPEATS):
        began = time.perf_counter()
        found = action()
        least = min(least, time.perf_counter() - began)
    return found, least

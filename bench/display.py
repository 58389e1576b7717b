"""Shows a run: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.cell import Cell
from bench.job import Job, Stage
from bench.launchers.local import Running
from bench.records import Record

LATEST = 12
STYLES = {"ok": "green", "trained": "green", "failed": "red", "n/a": "yellow"}


@dataclass
class TimeLeft:
    """Expects of a job what the jobs before it took: those of the same stage, method and task if there are
    any, else all of the stage."""

    taken: dict[tuple[str, ...], list[float]] = field(default_factory=dict)

    def learn(self, cell: Cell, stage: Stage, seconds: float) -> None:
        for key in ((stage,), (stage, cell.task), (stage, cell.task, cell.label)):
            self.taken.setdefault(key, []).append(seconds)

    def of(self, cell: Cell, stage: Stage) -> float | None:
        for key in ((stage, cell.task, cell.label), (stage, cell.task), (stage,)):
            if seconds := self.taken.get(key):
                return sum(seconds) / len(seconds)
        return None

    def total(self, running: list[Running], pending: list[Job], slots: int) -> float | None:
        """Seconds until all is done, or None while there is nothing to judge by."""
        if not self.taken:
            return None
        trainings, profiles = 0.0, 0.0
        jobs = [(run.job, 1 - run.done / run.total if run.total else 1.0) for run in running]
        for job, share in [*jobs, *((job, 1.0) for job in pending)]:
            own = share * (self.of(job.cell, job.stage) or 0.0)
            if job.stage == "profile":
                profiles += own
            else:
                trainings += own
                profiles += self.of(job.cell, "profile") or 0.0
        return trainings / slots + profiles


class RunDisplay:
    """Counts and shows what the scheduler tells it. Use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.live = Live(console=self.console, refresh_per_second=4) if self.console.is_terminal else None
        self.counts = dict.fromkeys(("ok", "failed", "n/a"), 0)
        self.trained: set[str] = set()  # and not yet profiled
        self.latest: deque[Record] = deque(maxlen=LATEST)
        self.time_left = TimeLeft()
        self.cells: dict[str, Cell] = {}
        self.slots = 1
        self.began = time.monotonic()
        self.remaining: float | None = None

    def __enter__(self) -> RunDisplay:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            self.live.stop()

    def begin(self, suite: str, cells: dict[str, Cell], finished: list[Record], slots: int) -> None:
        self.cells, self.slots, self.suite = cells, slots, suite
        for record in finished:
            if record.status != "n/a":
                self.time_left.learn(record.cell, "train", record.wall_seconds)
            if record.status == "trained":
                self.trained.add(record.id)
            else:
                self._count(record)
        if not self.live:
            self.console.print(
                f"{suite}: {len(cells)} cells, {self._done()} finished before, {slots} at a time", highlight=False
            )

    def refresh(self, running: list[Running], pending: list[Job]) -> None:
        self.remaining = self.time_left.total(running, pending, self.slots)
        if self.live:
            self.live.update(self._picture(running))

    def ended(self, record: Record, stage: Stage, seconds: float) -> None:
        self.time_left.learn(record.cell, stage, seconds)
        self.trained.discard(record.id)
        if record.status == "trained" and record.reason is None:  # its profile is still to come
            self.trained.add(record.id)
            self.latest.append(record)
        else:
            self._count(record)
        if not self.live:
            self.console.print(
                f"[{self._done()}/{len(self.cells)}] {record.status:<7} {record.cell}: {outcome(record)}"
                f" ({duration(seconds)}) · {self._summary()}",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip

    def _done(self) -> int:
        return sum(self.counts.values())

    def _count(self, record: Record) -> None:
        self.counts["ok" if record.status == "trained" else record.status] += 1
        self.latest.append(record)

    def _summary(self) -> str:
        left = "time left unknown yet" if self.remaining is None else f"{duration(self.remaining)} left"
        return f"{len(self.trained)} trained, {self.counts['failed']} failed, {self.counts['n/a']} n/a, {left}"

    def _picture(self, running: list[Running]) -> Group:
        done = self._done()
        elapsed = duration(time.monotonic() - self.began)
        head = Text.assemble(
            (f"{self.suite}  ", "bold"), f"{done} of {len(self.cells)} cells done, {len(running)} running, ",
            self._summary(), f", {elapsed} so far",
        )  # fmt: skip
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for record in self.latest:
            style = STYLES[record.status]
            table.add_row(Text(record.status, style), Text(str(record.cell)), Text(outcome(record)))
        for run in running:
            doing = "profiling" if run.job.stage == "profile" else "loading"
            if run.total:
                doing = f"step {run.done} of {run.total}"
            table.add_row(Text("…", "cyan"), Text(str(run.job.cell)), Text(doing, "cyan"))
        # Two jobs a cell: training and profile.
        jobs_done = 2 * done + len(self.trained)
        bar = ProgressBar(total=max(2 * len(self.cells), 1), completed=jobs_done, width=min(self.console.width, 80))
        return Group(head, bar, table)


def outcome(record: Record) -> str:
    """A record's score, or why it has none, in a few words. The score is that on validation data: whoever
    watches a run is about to choose, and the test split is not there to choose by."""
    if not record.validation:
        return record.reason or ""
    metric, value = next(iter(record.validation.items()))
    return f"validation {metric} {value:.3f}" + (f"; {record.reason}" if record.reason else "")


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def status_table(cells: dict[str, Cell], records: dict[str, Record]) -> Table:
    """One row per method and task: how many seeds have which status, and the mean validation score."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("backbone", "method", "task", "done", "failed", "n/a", "open", "mean validation score"):
        table.add_column(column, justify="right" if column in ("done", "failed", "n/a", "open") else "left")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for cell_id, cell in cells.items():
        groups.setdefault((cell.backbone, cell.label, cell.task), []).append(cell_id)
    for key, ids in groups.items():
        known = [records[cell_id] for cell_id in ids if cell_id in records]
        scored = [record for record in known if record.validation]
        score = ""
        if scored:
            metric = next(iter(scored[0].validation))
            score = (
                f"{metric} {sum(record.validation[metric] for record in scored) / len(scored):.3f} (n={len(scored)})"
            )
        count = {status: sum(r.status == status for r in known) for status in ("ok", "failed", "n/a")}
        row = [count["ok"], count["failed"], count["n/a"], len(ids) - sum(count.values())]
        table.add_row(*map(escape, key), *map(str, row), score)
    return table

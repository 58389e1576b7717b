"""Shows a run: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench import terminal
from bench.durations import duration
from bench.job import Job, Stage
from bench.notebooks import LiveCell
from records.cell import Cell
from records.record import Record
from records.text import printable

if TYPE_CHECKING:
    from bench.launchers.base import Running

LATEST = 12
# On a cluster more cells may run than a terminal has lines.
MOST_RUNNING = 24
STYLES = {"ok": "green", "trained": "green", "failed": "red", "n/a": "yellow", "broken": "red"}

# A worker speaks once a second while its work goes on. On a terminal its silence is shown after so many seconds; in a
# file it is a line, which comes again whenever the silence has doubled.
SILENT_ON_TERMINAL = 60
SILENT_IN_FILE = 300


# How long is left is asked of every job that is: of ten thousand not whenever one has ended.
SECONDS_BETWEEN_ESTIMATES = 0.5


class PatientConsole(Console):
    """A console whose reader may go away, as `head` does: what is said after that is said to nobody."""

    def on_broken_pipe(self) -> None:
        """Says no more."""
        self.quiet = True
        terminal.hush()


@dataclass
class TimeLeft:
    """Expects of a job what the jobs before it took: those of the same stage, method and task if there are
    any, else all of the stage."""

    taken: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)

    def learn(self, cell: Cell, stage: Stage, seconds: float) -> None:
        """Takes note of what a job took."""
        for key in ((stage,), (stage, cell.task), (stage, cell.task, cell.label)):
            total, count = self.taken.get(key, (0.0, 0))
            self.taken[key] = total + seconds, count + 1

    def of(self, task: str, label: str, stage: Stage) -> float | None:
        """The expected seconds of a job; None where no such job has ended."""
        for key in ((stage, task, label), (stage, task), (stage,)):
            if key in self.taken:
                total, count = self.taken[key]
                return total / count
        return None

    def total(self, running: list[Running], pending: Iterable[Job], slots: int) -> float | None:
        """Seconds until all is done, or None while there is nothing to judge by."""
        if not self.taken:
            return None
        trainings, profiles = 0.0, 0.0
        # Ten thousand jobs are of few kinds.
        left: dict[tuple[str, str, Stage], float] = {}
        jobs = [(run.job, 1 - run.done / run.total if run.total else 1.0) for run in running]
        for job, share in [*jobs, *((job, 1.0) for job in pending)]:
            kind = (job.cell.task, job.cell.label, job.stage)
            left[kind] = left.get(kind, 0.0) + share
            if job.stage == "train":
                later: tuple[str, str, Stage] = (job.cell.task, job.cell.label, "profile")
                left[later] = left.get(later, 0.0) + 1
        for kind, amount in left.items():
            seconds = amount * (self.of(*kind) or 0.0)
            if kind[2] == "profile":
                profiles += seconds
            else:
                trainings += seconds
        return trainings / slots + profiles


class RunDisplay:
    """Counts and shows what the scheduler tells it. Use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or PatientConsole()
        self.live = _live(self.console)
        self.counts = dict.fromkeys(("ok", "failed", "n/a"), 0)
        self.profiles = True
        self.told: dict[str, float] = {}  # the silence, in seconds, that was last told of a running cell
        self.trained: set[str] = set()  # and not yet profiled
        self.latest: deque[Record] = deque(maxlen=LATEST)
        self.time_left = TimeLeft()
        self.cells: dict[str, Cell] = {}
        self.slots = 1
        self.began = time.monotonic()
        self.remaining: float | None = None
        self.estimated = -math.inf

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live:
            self.live.stop()

    def begin(
        self, suite: str, cells: dict[str, Cell], finished: list[Record], slots: int, profiles: bool = True
    ) -> None:
        """`slots` is how many cells run at a time, 0 where that is a cluster's affair. `profiles` says whether cost is
        profiled: without, a cell that is trained is done."""
        self.cells, self.slots, self.suite, self.profiles = cells, slots, suite, profiles
        for record in finished:
            if record.status != "n/a":
                self.time_left.learn(record.cell, "train", record.seconds)
            if record.status == "trained" and profiles:
                self.trained.add(record.id)
            else:
                self._count(record)
        if not self.live:
            self.console.print(
                f"{suite}: {len(cells)} cells, {self._done()} finished before,"
                f" {slots or 'as many as the cluster takes'} at a time", highlight=False,
            )  # fmt: skip

    def note(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def refresh(self, running: list[Running], pending: list[Job]) -> None:
        """Shows where the run stands."""
        now = time.monotonic()
        if not pending or now - self.estimated >= SECONDS_BETWEEN_ESTIMATES:
            slots = self.slots or max(1, sum(not run.queued for run in running))
            self.remaining, self.estimated = self.time_left.total(running, pending, slots), now
        if self.live:
            self.live.update(self._picture(running))
        else:
            self._tell_silent(running)

    def _tell_silent(self, running: list[Running]) -> None:
        silences = {run.job.cell.id: run.silent for run in running}
        # Forgotten once the worker has spoken again.
        self.told = {key: told for key, told in self.told.items() if silences.get(key, 0) >= told}
        for run in running:
            key = run.job.cell.id
            if run.silent >= 2 * self.told.get(key, SILENT_IN_FILE / 2):
                self.told[key] = run.silent
                self.note(f"{run.job.cell}: {doing(run)}")

    def ended(self, record: Record, stage: Stage, seconds: float) -> None:
        """Counts a job that has ended, and tells of it."""
        self.time_left.learn(record.cell, stage, seconds)
        if stage == "train" and record.status == "ok":  # with the profile of another seed's
            self.time_left.learn(record.cell, "profile", 0)
        self.trained.discard(record.id)
        if record.status == "trained" and record.reason is None and self.profiles:  # its profile is still to come
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
        under_way = [run for run in running if not run.queued]
        queued = f", {len(running) - len(under_way)} queued" if len(under_way) < len(running) else ""
        elapsed = duration(time.monotonic() - self.began)
        head = Text.assemble(
            (f"{self.suite}  ", "bold"), f"{done} of {len(self.cells)} cells done, {len(under_way)} running{queued}, ",
            self._summary(), f", {elapsed} so far",
        )  # fmt: skip
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for record in self.latest:
            style = STYLES[record.status]
            table.add_row(Text(record.status, style), Text(str(record.cell)), Text(outcome(record)))
        for run in under_way[:MOST_RUNNING]:
            table.add_row(Text("…", "cyan"), Text(str(run.job.cell)), Text(doing(run), "cyan"))
        # Two jobs a cell: training and profile.
        jobs = 2 if self.profiles else 1
        jobs_done = jobs * done + len(self.trained)
        bar = ProgressBar(total=max(jobs * len(self.cells), 1), completed=jobs_done, width=min(self.console.width, 80))
        return Group(head, bar, table)


def _live(console: Console) -> Live | LiveCell | None:
    """What shows one picture after the other in the same place: a terminal's, a notebook's, None elsewhere."""
    if console.is_jupyter:
        return LiveCell()
    return Live(console=console, refresh_per_second=4) if console.is_terminal else None


def doing(run: Running) -> str:
    """What a running cell is at, and for how long nothing was heard of it."""
    at = f"step {run.done} of {run.total}" if run.total else run.doing
    return at + (f", silent for {duration(run.silent)}" if run.silent >= SILENT_ON_TERMINAL else "")


def outcome(record: Record) -> str:
    """A record's score, or why it has none, in a few words. The score is that on validation data: whoever
    watches a run is about to choose, and the test split is not there to choose by."""
    if not record.validation:
        return record.reason or ""
    metric, value = next(iter(record.validation.items()))
    shown = f"{value:.3f}" if math.isfinite(value) else "undefined"
    return f"validation {metric} {shown}" + (f"; {record.reason}" if record.reason else "")


def status_table(cells: dict[str, Cell], records: dict[str, Record], profiles: bool = True) -> Table:
    """One row per method and task: how many seeds have which status, and the mean validation score. Without
    `profiles`, which take a cell from trained to done, it is done once trained."""
    done = ("ok",) if profiles else ("ok", "trained")
    shown = {"done": done, "failed": ("failed",), "n/a": ("n/a",)}
    if any(record.status == "broken" for record in records.values()):
        shown["broken"] = ("broken",)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("backbone", "method", "task", *shown, "open", "mean validation score"):
        table.add_column(column, justify="right" if column in (*shown, "open") else "left")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for cell_id, cell in cells.items():
        groups.setdefault((cell.backbone, cell.label, cell.task), []).append(cell_id)
    for key, ids in groups.items():
        known = [records[cell_id] for cell_id in ids if cell_id in records]
        counts = [sum(record.status in statuses for record in known) for statuses in shown.values()]
        row = [*counts, len(ids) - sum(counts)]
        table.add_row(*(escape(printable(part)) for part in key), *map(str, row), escape(_mean_score(known)))
    return table


def _mean_score(records: list[Record]) -> str:
    """Of the first metric, over the records where it is defined."""
    scored = [record for record in records if record.validation]
    if not scored:
        return ""
    metric = next(iter(scored[0].validation))
    values = [record.validation.get(metric, math.nan) for record in scored]
    defined = [value for value in values if math.isfinite(value)]
    undefined = f", undefined in {len(values) - len(defined)}" if len(defined) < len(values) else ""
    mean = f"{sum(defined) / len(defined):.3f}" if defined else "undefined"
    return f"{printable(metric)} {mean} (n={len(defined)}{undefined})"

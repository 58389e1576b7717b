"""What is left to do, in which order, on which slot; and what happened to it."""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from bench import environment
from bench.cell import Cell
from bench.job import Job, Stage
from bench.launchers.local import LocalLauncher, Running, Slot, describe_exit
from bench.records import Manifest, Record, RecordStore, ResultsError
from bench.suite import Suite

# A worker killed by a signal may have met a passing shortage of memory: it is tried once more, at the end.
ATTEMPTS_WHEN_KILLED = 2


class Display(Protocol):
    """Shows a run to a person."""

    def begin(self, suite: str, cells: dict[str, Cell], finished: list[Record], slots: int) -> None: ...

    def refresh(self, running: list[Running], pending: list[Job]) -> None: ...

    def ended(self, record: Record, stage: Stage, seconds: float) -> None: ...


class Scheduler:
    """Runs the cells of a suite that have no result yet, and leaves a record of each.

    Training takes any free slot. A cost profile needs the machine to itself: it starts when nothing else
    runs, and nothing else starts before it has ended.
    """

    def __init__(self, suite: Suite, store: RecordStore, launcher: LocalLauncher, slots: list[Slot]) -> None:
        self.suite = suite
        self.store = store
        self.launcher = launcher
        self.slots = slots
        self.train: deque[Job] = deque()
        self.profile: deque[Job] = deque()
        self.started: dict[str, float] = {}

    def run(self, display: Display) -> None:
        """Returns when every cell has a result. On an exception, KeyboardInterrupt included, running workers
        are ended; their cells are run again next time. Raises ResultsError if another run is at work in the
        same folder."""
        with _only_one(self.store.root):
            self._write_manifest()
            finished = self._plan()
            display.begin(self.suite.name, self.suite.cells, finished, len(self.slots))
            try:
                while self._fill() or self.launcher.running:
                    display.refresh(list(self.launcher.running.values()), [*self.train, *self.profile])
                    for running, code in self.launcher.wait(timeout=0.5):
                        self._settle(running, code, display.ended)
                display.refresh([], [])
            finally:
                self.launcher.stop()

    def _write_manifest(self) -> None:
        self.store.write_manifest(
            Manifest(
                suite=self.suite.resolved(),
                cells=self.suite.cells,
                cards=self.suite.cards(),
                environment=environment.describe(),
                created=_now(),
            )
        )

    def _plan(self) -> list[Record]:
        """Queues what is left; returns the records that stand."""
        finished = []
        for cell_id, cell in self.suite.cells.items():
            record = self.store.read(cell_id)
            if record is None or record.status == "failed":
                self.train.append(self._job(cell, "train"))
                continue
            finished.append(record.model_copy(update={"cell": cell}))
            if record.status == "trained" and self.suite.file.profile:
                self.profile.append(self._job(cell, "profile"))
        return finished

    def _job(self, cell: Cell, stage: Stage, attempt: int = 1) -> Job:
        return Job(cell, stage, self.store.root, self.suite.path.parent, self.suite.plugins[cell.id], attempt)

    def _fill(self) -> bool:
        """Starts what can start now; False where nothing is left to start."""
        running = self.launcher.running
        if any(run.job.stage == "profile" for run in running.values()):
            return True
        # With one slot a profile follows its training at once, so that a run cut short has costs as well.
        if self.profile and (not self.train or len(self.slots) == 1):
            if not running:
                self._start(self.profile.popleft(), Slot(0, environment.cores(), self.slots[0].environ))
            return True
        for slot in self.slots:
            if self.train and slot.index not in running:
                self._start(self.train.popleft(), slot)
        return bool(self.train or self.profile)

    def _start(self, job: Job, slot: Slot) -> None:
        self.started[job.cell.id] = time.monotonic()
        self.launcher.start(job, slot)

    def _settle(self, running: Running, code: int, ended: Callable[[Record, Stage, float], None]) -> None:
        """Takes note of a job that has ended: its record, or why there is none."""
        job = running.job
        seconds = time.monotonic() - self.started[job.cell.id]
        record = self.store.read(job.cell.id) if code == 0 else None
        if record is None:
            if code < 0 and job.attempt < ATTEMPTS_WHEN_KILLED:
                queue = self.train if job.stage == "train" else self.profile
                queue.append(self._job(job.cell, job.stage, job.attempt + 1))
                return
            record = self._record_of_the_dead(job, describe_exit(code), seconds)
            self.store.write(record)
        elif job.stage == "train" and record.status == "trained" and self.suite.file.profile:
            self.profile.append(self._job(job.cell, "profile"))
        ended(record.model_copy(update={"cell": job.cell}), job.stage, seconds)

    def _record_of_the_dead(self, job: Job, reason: str, seconds: float) -> Record:
        if job.stage == "profile" and (record := self.store.read(job.cell.id)):
            return record.model_copy(update={"reason": f"no cost profile: {reason}"})
        now = _now()
        return Record(
            id=job.cell.id,
            cell=job.cell,
            status="failed",
            reason=reason,
            attempts=job.attempt,
            started=now,
            finished=now,
            wall_seconds=seconds,
            environment=environment.describe(),
        )


@contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Holds the folder's lock, which the system gives back however the process ends."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise ResultsError(f"{root}: another run is at work here (process {file.read().strip()})") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

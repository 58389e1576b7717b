"""What is left to do, in which order, on which slot; and what happened to it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from bench import environment
from bench.durations import duration, seconds_of
from bench.job import Job, Stage
from bench.launchers.base import LONGEST_LOG, End, Launcher, LaunchError, Running, Slot
from bench.locking import only_one
from bench.resolved_suite import ResolvedSuite
from bench.shared_profiles import SharedProfiles
from bench.suite import BUILT_IN, Suite
from bench.waiting import Waiting
from records import files
from records.cell import Cell
from records.record import Manifest, Record
from records.store import BrokenRecord, NoResults, RecordStore, ResultsError

# What a disk says when it will take no other record either.
DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


class Display(Protocol):
    """Shows a run to a person."""

    def begin(self, suite: str, cells: dict[str, Cell], finished: list[Record], slots: int, profiles: bool) -> None:
        """A run begins, of which some cells were finished before."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def refresh(self, running: list[Running], pending: list[Job]) -> None:
        """Where the run stands."""

    def ended(self, record: Record, stage: Stage, seconds: float) -> None:
        """A job has ended after so many seconds."""


class Scheduler:
    """Runs the cells of a suite that have no result yet, and leaves a record of each.

    Training takes any free slot. A cost profile needs the machine to itself: it starts when nothing else
    runs, and nothing else starts before it has ended.
    """

    def __init__(
        self,
        suite: Suite | ResolvedSuite,
        store: RecordStore,
        launcher: Launcher,
        slots: list[Slot],
        limit: float | None = None,
        processes: int = 1,
        shard: bool = False,
    ) -> None:
        """`limit` is how many seconds a cell may take to train, and to be profiled; None is without end. Each trains in
        so many `processes`, which with `shard` divide the weights, and is profiled in one."""
        self.suite = suite
        self.cards = suite.cards()
        self.store = store
        self.launcher = launcher
        self.slots = slots
        self.limit = limit
        self.processes = processes
        self.shard = shard
        self.results = store.root.absolute()
        self.base = suite.path.parent.absolute()
        self.train = Waiting(1 if launcher.remote else len(slots))
        self.profile: deque[Job] = deque()
        self.stamps: dict[str, tuple[int, int] | None] = {}
        self.standing: dict[str, Record] = {}
        self.shared = SharedProfiles()
        self.interrupted = False
        self._told_interrupt = False

    def run(self, display: Display) -> list[Record]:
        """Returns the records when every cell has a result, or after an `interrupt`. On an exception, KeyboardInterrupt
        included, running workers are ended; their cells are run again next time. Raises ResultsError if another run is
        at work in the same folder, if that holds another suite, or if it cannot be written."""
        with only_one(self.store.root) as look:
            with self._writing():
                self.store.prepare()
                with self._launching():
                    self.launcher.begin(self.results)
                if note := self._foreign():
                    display.note(note)
                self._plan(display.note)
                self._write_manifest()
            finished = list(self.standing.values())
            slots = 0 if self.launcher.remote else len(self.slots)
            display.begin(self.suite.name, self.suite.cells, finished, slots, bool(self.suite.file.profile))
            try:
                while self._fill() or self.launcher.running:
                    self._tell_interrupt(display)
                    display.refresh(list(self.launcher.running.values()), [*self.train, *self.profile])
                    with self._launching():
                        for running, end in self.launcher.wait(timeout=0.5):
                            self._settle(running, end, display.ended)
                    look()
                    self._watch()
                display.refresh([], [])
            finally:
                self.launcher.stop()
        return list(self.standing.values())

    def interrupt(self) -> None:
        """Somebody wants the run to end. At first nothing new starts, and what runs is waited for; at the second time,
        or where it runs elsewhere and goes on without us, raises KeyboardInterrupt."""
        if self.interrupted or self.launcher.remote:
            raise KeyboardInterrupt
        self.interrupted = True

    @property
    def left(self) -> int:
        """How many cells are not done."""
        return len({job.cell.id for job in (*self.train, *self.profile)} | self.shared.waiting)

    def _tell_interrupt(self, display: Display) -> None:
        if self.interrupted and not self._told_interrupt:
            self._told_interrupt = True
            count = len(self.launcher.running)
            display.note(
                f"nothing new starts; waiting for {count} running cell{'s' if count != 1 else ''} to end (Ctrl-C again"
                " stops at once)"
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unwritable(error.strerror or str(error), error.filename) from None

    @contextlib.contextmanager
    def _launching(self) -> Iterator[None]:
        try:
            yield
        except LaunchError as error:
            raise ResultsError(f"{self.store.root}: {error}") from None

    def _unwritable(self, why: str, path: str | None = None) -> ResultsError:
        return ResultsError(
            f"{path or self.store.root}: cannot be written: {why}; finished cells are kept, and the same command goes"
            " on from there"
        )

    def _foreign(self) -> str | None:
        """Raises ResultsError where the folder holds another suite's results; what is to be said where it held them
        under another name. The same file is the same suite, however it was edited; so are two files that have a cell
        in common, as one that was moved has."""
        try:
            there = self.store.manifest()
        except NoResults:
            return None
        before, now = self._origin_of(there), self._origin()
        if before is None or before == now:
            return None
        kept = len(there.cells.keys() & self.suite.cells.keys())
        if kept:
            return f"{self.store.root}: was that of {before} so far; {kept} of its {len(there.cells)} cells are kept"
        raise ResultsError(
            f"{self.store.root}: holds the results of another suite, {before}, and none of its cells is one of"
            f" {self.suite.path}; give this one a folder of its own: --results {self.store.root}-2 (with make:"
            f" RESULTS={self.store.root}-2)"
        )

    def _origin(self) -> str:
        """Where the suite comes from, in words that hold when its folder is moved together with the results."""
        if self.suite.path.parent == BUILT_IN:
            return f"the suite {self.suite.name}, which is built in"
        return Path(os.path.relpath(os.path.realpath(self.suite.path), os.path.realpath(self.store.root))).as_posix()

    def _origin_of(self, manifest: Manifest) -> str | None:
        """Likewise. Older ones hold the command alone, which says the same where it is the same."""
        if origin := manifest.suite.get("origin"):
            return str(origin)
        command = manifest.suite.get("command")
        return self._origin() if command == self.suite.resolved()["command"] else command

    def _write_manifest(self) -> None:
        suite, cells, cards = self.suite.resolved() | {"origin": self._origin()}, self.suite.cells, self.cards
        with contextlib.suppress(NoResults):
            there = self.store.manifest()
            # Cells of several machines stay so, whatever is run beside them.
            suite |= {"mixed": there.mixed} if there.mixed else {}
            # What a plugin had finished before it broke stays, with what its cards say.
            lost = self.suite.left_out
            kept = there.cells_of(lost.get("methods", ()), lost.get("tasks", ()))
            cells, cards = cells | kept, there.cards | cards if kept else cards
        self.store.write_manifest(
            Manifest(
                suite=suite,
                cells=cells,
                cards=cards,
                environment=environment.describe(),
                created=_now(),
            )
        )

    def _plan(self, tell: Callable[[str], None]) -> None:
        """Queues what is left, and notes the records that stand."""
        for cell_id, cell in self.suite.cells.items():
            self.stamps[cell_id] = self.store.stamp(cell_id)  # a job of an earlier run may write from here on
            record = self.store.standing(cell_id, cell, self.cards)
            if record is None or record.status in ("failed", "broken") or self._is_spoilt(record, tell):
                self._queue(cell, "train")
                continue
            self.standing[cell_id] = record
            self.shared.know(record)
            self.train.learn(record)
        for record in list(self.standing.values()):
            if record.status == "trained" and self._profiles(record.cell):
                self._costed(record)

    def _profiles(self, cell: Cell) -> bool:
        """A trial that is cut short costs what its whole would."""
        return bool(self.suite.file.profile) and cell.stop is None

    def _costed(self, record: Record) -> Record:
        """A trained one, with the profile that it shares with another seed's, if that is known; else it is to have
        one."""
        found, first = self.shared.offer(record)
        if first:
            self._queue(record.cell, "profile")
        elif found is not record:
            self._store(found)
        return found

    def _store(self, record: Record) -> None:
        with self._writing():
            self.store.write(record)
        self.stamps[record.id] = self.store.stamp(record.id)
        self.standing[record.id] = record

    def _is_spoilt(self, record: Record, tell: Callable[[str], None]) -> bool:
        """Whether the predictions that a report would read are others than the record was written with. States may be
        large: they are looked at where they are loaded."""
        try:
            self.store.kept(record, "predictions.parquet")
        except BrokenRecord as error:
            tell(f"{error}; the cell is run again")
            return True
        return False

    def _queue(self, cell: Cell, stage: Stage, attempt: int = 1) -> None:
        plugins, keep = self.suite.plugin_files(cell), self.suite.file.keep
        queue = self.train if stage == "train" else self.profile
        every = seconds_of(self.suite.file.checkpoint)
        processes, shard = (self.processes, self.shard) if stage == "train" else (1, False)
        brief = self.suite.file.profile == "brief"
        queue.append(Job(cell, stage, self.results, self.base, plugins, attempt, keep, every, processes, brief, shard))

    def _fill(self) -> bool:
        """Starts what can start now; False where nothing is left to start."""
        if self.interrupted:
            return False
        running = self.launcher.running
        if self.launcher.remote:
            for slot in self.slots:
                if slot.index not in running and (queue := self.train or self.profile):
                    self._start(queue.popleft(), slot)
            return bool(self.train or self.profile)
        if any(run.job.stage == "profile" for run in running.values()):
            return True
        # With one slot a profile follows its training at once, so that a run cut short has costs as well.
        if self.profile and (not self.train or len(self.slots) == 1):
            if not running:
                self._start(self.profile.popleft(), Slot(0, environment.cores(), self.slots[0].environ))
            return True
        for slot in self.slots:
            if self.train and slot.index not in running:
                busy = [(run.job.cell, run.seconds) for run in running.values()]
                self._start(self.train.popleft(busy), slot)
        return bool(self.train or self.profile)

    def _start(self, job: Job, slot: Slot) -> None:
        with self._writing():
            self.store.make_room(job.cell.id)
        with self._launching():
            self.launcher.start(job, slot)

    def _watch(self) -> None:
        """Ends what takes too long, and cuts logs that grow too long; what runs elsewhere is watched there."""
        if self.launcher.remote:
            return
        for running in self.launcher.running.values():
            files.cap_log(self.store.log(running.job.cell.id), LONGEST_LOG)
            if self.limit is not None and running.seconds > self.limit and not running.overdue:
                running.overdue = True
                running.kill()

    def _settle(self, running: Running, end: End, ended: Callable[[Record, Stage, float], None]) -> None:
        """Takes note of a job that has ended: its record, or why there is none."""
        job = running.job
        files.cap_log(self.store.log(job.cell.id))
        record = self._written(job)
        self.stamps[job.cell.id] = self.store.stamp(job.cell.id)
        if record is None:
            if job.attempt < end.attempts and not running.overdue and not running.refused:
                self._queue(job.cell, job.stage, job.attempt + 1)
                return
            record = self._record_of_the_dead(job, self._why(running, end), running.seconds)
            self._keep(record, running)
        self.standing[job.cell.id] = record
        if job.stage == "train":
            self.train.learn(record)
        if job.stage == "train" and record.status == "trained" and self._profiles(job.cell):
            record = self._costed(record)
        ended(record, job.stage, running.seconds)
        if job.stage == "profile":
            for other in self.shared.settle(record):
                self._store(other)
                ended(other, "profile", 0)

    def _written(self, job: Job) -> Record | None:
        """The record that the job has left; None where it has left none, whatever was there before."""
        if self.store.stamp(job.cell.id) == self.stamps[job.cell.id]:
            return None
        record = self.store.standing(job.cell.id, job.cell, self.cards)
        return None if record is None or record.status == "broken" else record

    def _keep(self, record: Record, running: Running) -> None:
        """Writes the record of a worker that wrote none, unless the disk takes no record at all: a run that went on
        would train for nothing."""
        if running.refused and running.refused[0] in DISK_IS_FULL:
            raise self._unwritable(running.refused[1])
        try:
            self.store.write(record)
        except OSError as error:
            if error.errno in DISK_IS_FULL:
                raise self._unwritable(error.strerror or str(error), error.filename) from None

    def _why(self, running: Running, end: End) -> str:
        if running.overdue and self.limit is not None:
            at = f", at step {running.done} of {running.total}" if running.total else ""
            return (
                f"stopped after {duration(self.limit)}, its time limit (time_limit in the suite, --time-limit of bench"
                f" run): it was {running.doing}{at}, and had been silent for {duration(running.silent)}"
            )
        if running.refused:
            return f"its record could not be written: {running.refused[1]}"
        return end.reason

    def _record_of_the_dead(self, job: Job, reason: str, seconds: float) -> Record:
        if job.stage == "profile":
            record = self.store.standing(job.cell.id, job.cell, self.cards)
            if record is not None and record.status != "broken":
                return record.model_copy(update={"reason": f"no cost profile: {reason}"})
        return job.failed(reason, seconds, {} if self.launcher.remote else environment.describe())


@contextlib.contextmanager
def interruptible(scheduler: Scheduler) -> Iterator[None]:
    """Ctrl-C is the scheduler's to answer; in another thread than the main one none arrives."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: scheduler.interrupt())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

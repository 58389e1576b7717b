"""A run of the suite in a process of its own, as `bench run` does it; and what it has left behind."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from types import ModuleType

import psutil

from bench import cli
from bench.display import RunDisplay
from bench.launchers.local import LocalLauncher, Slot
from bench.lifeline import die_with
from bench.scheduler import Scheduler
from records.record import Record
from records.store import RecordStore, ResultsError
from tests.bench.test_scheduler import suite_of
from tests.conftest import ROOT
from tests.faults.cells import DIES
from tests.faults.points import Fault, arm

LABELS = ("fine", "fine", "fine", DIES)
# Of a cell, in seconds: one that hangs is ended after the shorter, which no other comes near.
TIME_LIMITS = (12.0, 300.0)
# A run that takes longer hangs.
PATIENCE = 600.0
# By which processes of a run are known, also those that have lost their parents.
MARK = "BENCH_TEST_MARK"
# Of a record, what is of the day and not of the cell: which of the seeds was trained first, and so profiled, as well.
OF_THE_DAY = {"started", "finished", "wall_seconds", "attempts", "environment", "profiled", "profile_of"}


@dataclass
class Ended:
    """A run that has ended: its exit status (of one that was killed the negative number of the signal, None where it
    hung and had to be ended) and what it printed."""

    status: int | None
    said: str
    seconds: float

    @property
    def last(self) -> str:
        """The line that a user reads last."""
        return next((line for line in reversed(self.said.splitlines()) if line.strip()), "")


@dataclass
class Place:
    """A folder in which runs take place. `before` is called in the process of a run before all else."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    before: Callable[[], None] = lambda: None
    number: int = 0

    @property
    def results(self) -> Path:
        """The results folder."""
        return self.folder / "results"

    @property
    def done(self) -> Path:
        """There once the fault has been done."""
        return self.folder / "done"

    def start(self, fault: Fault | None = None) -> int:
        """Starts a run, and returns its process: forked from this one, which has the imports behind it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.number += 1
        parent = os.getpid()
        if process := os.fork():
            return process
        status = 1
        # A server of workers that other tests have started is the parent's.
        for name in ("_forkserver_address", "_forkserver_alive_fd", "_forkserver_pid"):
            setattr(forkserver._forkserver, name, None)
        try:
            die_with(parent)
            status = _run(self, fault)
        finally:
            os._exit(status)

    def run(self, fault: Fault | None = None) -> Ended:
        """A whole run."""
        return self.end(self.start(fault))

    def end(self, process: int) -> Ended:
        """Waits for a run, and has whatever was stopped go on after a moment, as its user would."""
        began = time.monotonic()
        out = self.folder / f"out-{self.number}.txt"
        stopped_since: float | None = None
        while time.monotonic() - began < PATIENCE:
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                return Ended(os.waitstatus_to_exitcode(status), out.read_text(errors="replace"), _since(began))
            if stopped := list(_stopped(process)):
                stopped_since = stopped_since or time.monotonic()
                if time.monotonic() - stopped_since > 0.5:
                    for each in stopped:
                        each.send_signal(signal.SIGCONT)
            time.sleep(0.02)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return Ended(None, out.read_text(errors="replace"), _since(began))

    def left_running(self, seconds: float = 5.0) -> list[psutil.Process]:
        """Processes of runs here that have not ended, nor do within so many seconds."""
        end = time.monotonic() + seconds
        while (found := list(_marked(self.mark))) and time.monotonic() < end:
            time.sleep(0.05)
        return found


def _since(began: float) -> float:
    return time.monotonic() - began


def _stopped(scheduler: int) -> Iterator[psutil.Process]:
    """Of a scheduler and its server those that a signal has stopped; a worker is left to its time limit."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(scheduler)
        for each in (process, *process.children()):
            if each.status() == psutil.STATUS_STOPPED:
                yield each


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                yield process


def _run(place: Place, fault: Fault | None) -> int:
    """What the process of a run does; its exit status."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which what runs in the background ignores
    out = os.open(place.folder / f"out-{place.number}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    os.chdir(place.folder)
    sys.modules["__main__"] = ModuleType("__main__")  # workers would import what was started here
    os.environ |= {
        MARK: place.mark, "PYTHONPATH": str(ROOT), "BENCH_CACHE": str(place.folder / "cache"),
        "BENCH_TEST_RESULTS": str(place.results),
    }  # fmt: skip
    if fault is not None:
        os.environ |= fault.environ(place.done)
    # The command line as it is, with these cells in place of those of a file.
    arguments = argparse.Namespace(command=lambda _: _schedule(place, fault))
    cli._parser = lambda: argparse.Namespace(parse_args=lambda: arguments)  # type: ignore[assignment,return-value]
    place.before()
    try:
        cli.main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _schedule(place: Place, fault: Fault | None) -> int:
    arm("scheduler", place.results)
    hangs = fault is not None and (fault.action.startswith("hang") or fault.argument == "SIGSTOP worker")
    limit = TIME_LIMITS[0] if hangs else TIME_LIMITS[1]
    suite = suite_of(place.folder, *LABELS, profile=True)
    launcher = LocalLauncher(work="tests.faults.cells")
    store = RecordStore(place.results)
    with RunDisplay() as display:
        records = Scheduler(suite, store, launcher, [Slot(0, 1), Slot(1, 1)], limit).run(display)
    return 1 if any(record.status == "failed" for record in records) else 0


@dataclass(frozen=True)
class Left:
    """What a results folder holds: of each cell its record without what is of the day, of each other file a digest."""

    records: dict[str, str]
    files: dict[str, str]


def left(results: Path) -> Left:
    """Raises ResultsError where the folder holds no results."""
    store = RecordStore(results)
    records = {}
    for record in store.records():
        assert record.id not in records
        records[record.id] = _of_the_cell(record)
    found = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results).as_posix()
        if path.is_file() and path.name not in ("record.json", "log.txt", "manifest.json", ".lock"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Left(records, found)


def _of_the_cell(record: Record) -> str:
    return json.dumps(record.model_dump(mode="json", exclude=OF_THE_DAY), sort_keys=True)


def finished(results: Path) -> dict[str, bytes]:
    """The records of the cells that are done, to the byte; of a folder in any state."""
    found = {}
    with contextlib.suppress(ResultsError):
        for record in RecordStore(results).records():
            if record.status == "ok":
                found[record.id] = (results / "cells" / record.id / "record.json").read_bytes()
    return found

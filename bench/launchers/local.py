"""Runs jobs on this machine: one process each, forked from a server that has the imports behind it."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import psutil

from bench.launchers import forking, leftovers, server
from bench.launchers.base import End, LaunchError, Slot
from bench.lifeline import NOT_WRITTEN, Lifeline, die_with, watch_scheduler
from records.text import described

if TYPE_CHECKING:
    from bench.job import Job

# A worker killed by a signal may have met a passing shortage of memory: it is tried once more, at the end.
ATTEMPTS_WHEN_KILLED = 2

# Between tries to start a worker.
SECONDS_BETWEEN_STARTS = (0.1, 0.5, 2.0, 5.0)

# What multiprocessing says of a process whose server has died, so that nobody knows how it ended.
UNKNOWN_STATUS = 255


def _enter(work: str, job: Job, reports: connection.Connection, slot: Slot) -> None:
    """The worker's side. Its imports are there already: the server has made them."""
    if not die_with(server.PID):
        watch_scheduler()
    os.environ.update(slot.environ)  # before anything looks for a GPU

    def run(line: Lifeline) -> None:
        module = importlib.import_module(work)
        if job.processes > 1:
            from bench.launchers import processes

            processes.run(module.run, job, reports, slot.threads)
        else:
            module.run(job, line, slot.threads)

    carry_out(Lifeline(reports), run)


def carry_out(line: Lifeline, run: Callable[[Lifeline], None]) -> NoReturn:
    """Does the work of this process, and ends it; what kept it from being written down goes through the line."""
    try:
        run(line)
        status = 0
    except OSError as error:
        line.refused(error)
        status = NOT_WRITTEN
    except BaseException as error:
        traceback.print_exc()
        line.refused(OSError(0, described(error)))
        status = NOT_WRITTEN
    line.end(status)


@dataclass
class Running:
    """A job under way in a slot: how far it is, what it is at, when it was last heard of (on the monotonic clock), and
    why it could not write its record, as (errno, message). `overdue` says that it was ended for its time."""

    job: Job
    slot: Slot
    process: Any
    reports: connection.Connection
    handle: psutil.Process | None = None
    done: int = 0
    total: int = 0
    doing: str = "loading"
    started: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    refused: tuple[int, str] | None = None
    overdue: bool = False
    queued: bool = False

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started

    @property
    def silent(self) -> float:
        """Seconds since it was last heard of."""
        return time.monotonic() - self.heard

    def listen(self) -> bool:
        """Reads what it has said; False once it will say no more. What is none of its lines is not listened to."""
        try:
            said = os.read(self.reports.fileno(), 2**16)
        except OSError:
            said = b""
        if not said:
            self.reports.close()
            return False
        self.heard = time.monotonic()
        for line in said.decode(errors="replace").splitlines():
            first, _, rest = line.partition(" ")
            second, _, words = rest.partition(" ")
            if first == "!" and second.isdecimal():
                self.refused = int(second), words
            elif first.isdecimal() and second.isdecimal():
                self.done, self.total, self.doing = int(first), int(second), words
        return True

    def kill(self) -> None:
        """Ends it, and what it has started."""
        with contextlib.suppress(psutil.Error):
            for child in self.handle.children(recursive=True) if self.handle else ():
                child.kill()
        self.process.kill()


class LocalLauncher:
    """Starts jobs and says what becomes of them."""

    remote = False

    def __init__(self, preload: Iterable[str] = (), work: str = forking.WORKER) -> None:
        """`preload` names modules that the jobs will import, beside the one whose `run` does the work; the server
        imports them once, for all."""
        self._context = multiprocessing.get_context("forkserver")
        self._modules = list(preload)
        self._work = work
        self.running: dict[int, Running] = {}

    def begin(self, results: Path) -> None:
        """Workers of an earlier run have ended with it; what they had started is ended here."""
        leftovers.end_them(results)

    def start(self, job: Job, slot: Slot) -> None:
        """Raises LaunchError where no process can be started."""
        receive, send = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_enter, args=(self._work, job, send, slot), name=job.cell.id)
        self._launch(process, job)
        send.close()
        handle = None
        with contextlib.suppress(psutil.Error):  # it may have ended already
            handle = psutil.Process(process.pid)
        self.running[slot.index] = Running(job, slot, process, receive, handle)

    def _launch(self, process: Any, job: Job) -> None:
        """A server that has died is replaced. What the system refuses for want of processes or memory it may grant a
        moment later: a run does not end of it."""
        for pause in (*SECONDS_BETWEEN_STARTS, None):
            try:
                forking.start(process, job, self._work, self._modules)
                return
            except (EOFError, OSError) as error:
                if pause is None:
                    raise LaunchError(f"no worker can be started: {described(error)}") from error
                time.sleep(pause)

    def wait(self, timeout: float) -> Iterator[tuple[Running, End]]:
        """Waits up to `timeout` seconds for news; yields every job that has ended."""
        by_handle: dict[Any, Running] = {}
        for run in self.running.values():
            by_handle[run.process.sentinel] = run
            if not run.reports.closed:
                by_handle[run.reports] = run
        for handle in connection.wait(list(by_handle), timeout):
            if handle is by_handle[handle].reports:
                by_handle[handle].listen()
        for index, run in list(self.running.items()):
            if not run.process.is_alive():
                code = self._bury(run)
                del self.running[index]
                killed = code < 0 or code == UNKNOWN_STATUS
                yield run, End(describe_exit(code), ATTEMPTS_WHEN_KILLED if killed else 1)

    def _bury(self, run: Running) -> int:
        """The exit code of a job that has ended. One whose server was killed may still be there."""
        run.process.join()
        if run.process.exitcode == UNKNOWN_STATUS and run.handle is not None:
            with contextlib.suppress(psutil.Error):
                run.handle.kill()
                run.handle.wait(timeout=10)  # its memory and its cores are another's from here on
        while not run.reports.closed and run.reports.poll() and run.listen():
            pass
        run.reports.close()
        return int(run.process.exitcode)

    def stop(self) -> None:
        """Ends every job at once, also one that an interrupt caught while it was started: else the interpreter would
        wait for it to finish."""
        for run in self.running.values():
            run.kill()
        jobs = multiprocessing.active_children()
        for job in jobs:
            job.kill()
        for job in jobs:
            job.join()
        leftovers.end_them()
        self.running.clear()


def describe_exit(code: int) -> str:
    """Why a process ended without leaving a record, in words."""
    if code == UNKNOWN_STATUS:
        return "the worker was lost: it, or the process that it was forked from, was killed"
    if code >= 0:
        return (
            f"the process ended itself with status {code} before it could write a record: what it ran called os._exit,"
            " or a library did"
        )
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory, if nobody killed it)" if -code == signal.SIGKILL else ""
    return f"the worker was killed by {name}{hint}"

"""What ties a worker to its scheduler: it says that its work goes on, and does not outlive whoever started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from multiprocessing import connection, parent_process
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

PR_SET_PDEATHSIG = 1  # of linux/prctl.h
SECONDS_BETWEEN_BEATS = 1.0
SECONDS_TO_END = 3

# How a worker ends that did its work and could not write it down. What the disk said goes through the line.
NOT_WRITTEN = 73


def die_with(parent: int) -> bool:
    """Has the kernel kill this process once its parent, `parent`, is gone, whatever this process is doing then. Exits
    at once where it is gone already; False where the kernel cannot."""
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        return False
    if os.getppid() != parent:
        os._exit(1)
    return True


def watch_scheduler() -> None:
    """Ends this process once the scheduler has died, where the kernel does not do it: by a thread, which waits while
    another holds the interpreter's lock."""
    scheduler = parent_process()
    if scheduler is None:
        return

    def watch(sentinel: Any) -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(scheduler.sentinel,), daemon=True).start()


class Lifeline:
    """The worker's end of a pipe on which it says, at most once a second, what it is at: a line of steps done, steps in
    all, and words. It speaks from the main work alone, so that a worker that hangs falls silent. Nothing here can fail
    a cell: a plugin may have closed the pipe, or have put another file in its place."""

    def __init__(self, reports: connection.Connection) -> None:
        self._reports = reports  # or its descriptor would be closed
        self._pipe = reports.fileno()
        self._file = _file_of(self._pipe)
        os.set_blocking(self._pipe, False)
        self._pid = os.getpid()
        self._state = (0, 0, "loading")
        self._spoken = -SECONDS_BETWEEN_BEATS

    def at(self, doing: str) -> None:
        """Says what comes next, in a word or two."""
        self._state = (0, 0, doing)
        self._spoken = -SECONDS_BETWEEN_BEATS
        self.beat()

    def progress(self, done: int, total: int) -> None:
        """Says how far the work is, in steps."""
        self._state = (done, total, self._state[2])
        self.beat()

    def alive(self, items: Iterable[T]) -> Iterator[T]:
        """The same items, with a beat before each."""
        for item in items:
            self.beat()
            yield item

    def beat(self) -> None:
        """Says that the work goes on, if that was last said a second ago."""
        self.end_a_fork()
        if (now := time.monotonic()) - self._spoken >= SECONDS_BETWEEN_BEATS:
            self._spoken = now
            self._say("{} {} {}".format(*self._state))

    def refused(self, error: OSError) -> None:
        """Says why a record could not be written."""
        self._say(f"! {error.errno or 0} {error.strerror or error}")

    def end_a_fork(self) -> None:
        """A process that a plugin has forked, and that comes back into our code, is not this cell's worker: it must
        neither speak nor write for it."""
        if os.getpid() != self._pid:
            os._exit(0)

    def end(self, status: int) -> NoReturn:
        """Ends the process and what it has started. Whatever threads and handlers a plugin has left behind are given a
        few seconds: the work is done, and the slot is another's."""
        self.end_a_fork()
        with contextlib.suppress(Exception):
            import psutil

            for child in psutil.Process().children(recursive=True):
                child.kill()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.alarm(SECONDS_TO_END)
        sys.exit(status)

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # BlockingIOError is one: the scheduler has stopped listening for now
            if _file_of(self._pipe) == self._file:
                os.write(self._pipe, line.replace("\n", " ").encode(errors="replace") + b"\n")


@contextlib.contextmanager
def silent() -> Iterator[Lifeline]:
    """One that nobody listens to, for work outside of a run."""
    listens, speaks = connection.Pipe(duplex=False)
    with listens, speaks:
        yield Lifeline(speaks)


def _file_of(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino

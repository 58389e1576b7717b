"""Somebody else's code, run so that whatever it does to its process is an exception like others."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

# Seconds that are left to an outer limit that is over: none would lift it.
SHORTEST = 1e-3


class TookTooLong(BaseException):
    """No Exception, so that code which tries again whatever happens does not catch it."""


@contextlib.contextmanager
def contained(limit: float | None = None) -> Iterator[None]:
    """`os._exit` raises SystemExit in there, as `sys.exit` does; streams and the current folder are put back, and a
    process that the code has forked ends. After `limit` seconds TookTooLong is raised, in the main thread and where
    Python gets to run: what hangs in C code is not interrupted."""
    ends, streams, here, pid = os._exit, (sys.stdout, sys.stderr), os.getcwd(), os.getpid()

    def leave(status: int) -> NoReturn:
        if os.getpid() != pid:
            ends(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = leave
    try:
        with _limited(limit):
            yield
    finally:
        if os.getpid() != pid:  # it would go on as a second one of us
            ends(0)
        os._exit = ends
        sys.stdout, sys.stderr = streams
        os.chdir(here)  # paths are seen from there, wherever the code has gone


@contextlib.contextmanager
def _limited(limit: float | None) -> Iterator[None]:
    if limit is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> NoReturn:
        raise TookTooLong(f"it took longer than {limit:g} s")

    # What is limited within something that is limited ends no later than that.
    outer, _ = signal.getitimer(signal.ITIMER_REAL)
    before, began = signal.signal(signal.SIGALRM, end), time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, min(limit, outer or limit))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - began), SHORTEST))

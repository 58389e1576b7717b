"""Processes that outlived the workers which had started them: they are known by what they inherited."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

# In the environment of a server, of its workers and of all that these start: by which scheduler, and for which folder.
RUN = "BENCH_RUN"


def mark(results: Path) -> str:
    """What marks the processes of this scheduler."""
    return f"{os.getpid()} {results}"


def end_them(results: Path | None = None) -> None:
    """Ends what this scheduler's workers have left, and with `results` what those of earlier schedulers have in that
    folder, which are no more. The server itself stays. Waits a moment for their end."""
    found = list(_left(results))
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found, timeout=3)


def _left(results: Path | None) -> Iterator[psutil.Process]:
    me = os.getpid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            scheduler, _, folder = process.environ().get(RUN, "").partition(" ")
            mine = int(scheduler) == me and me not in (process.pid, process.ppid())
            if mine or (folder == str(results) and not psutil.pid_exists(int(scheduler))):
                yield process

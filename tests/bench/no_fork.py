"""Imported by a server of workers: its first forks are refused, as where there are too many processes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bench.launchers import server

# Of the environment: how many forks are refused in all, and a file to count them in.
REFUSALS, COUNT = "BENCH_TEST_FORKS_REFUSED", "BENCH_TEST_FORKS_COUNTED"

if refusals := os.environ.get(REFUSALS):
    fork, count = server.fork, Path(os.environ[COUNT])

    def refuse() -> int:
        done = len(count.read_text()) if count.exists() else 0
        if done >= int(refusals):
            return fork()
        count.write_text("x" * (done + 1))
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    server.fork = refuse

"""Imported by a server of workers: its first fork is refused, as where there are too many processes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# Of the environment: a file that is there once a fork was refused.
REFUSED = "BENCH_TEST_FORK_REFUSED"

if refused := os.environ.get(REFUSED):
    fork = os.fork

    def refuse_once() -> int:
        try:
            Path(refused).touch(exist_ok=False)
        except FileExistsError:
            return fork()
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    os.fork = refuse_once

"""A results folder has one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from records.store import ResultsError


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Holds the folder's lock, which the system gives back however the process ends. Raises ResultsError where another
    process holds it, or nothing can be kept there."""
    lock = root / ".lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ResultsError(f"{root}: no results can be kept here: {why}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            raise ResultsError(f"{root}: another run is at work here (process {holder})") from None
        except OSError as error:
            raise ResultsError(f"{root}: the folder cannot be locked for this run: {error.strerror}") from None
        with contextlib.suppress(OSError):  # on a full disk, nobody is told who holds the lock
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)

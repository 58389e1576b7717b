"""Folders that are made once, kept under BENCH_CACHE and opened again: whole and as written, or made anew.

Importing this needs no library.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from records.text import reason

if TYPE_CHECKING:
    from filelock import FileLock

# In a kept folder, the digest of every other file, as the program sha256sum writes and checks it.
SUMS = "SHA256SUMS"
# A folder that is being made: while the lock of that name is free, nobody is at work on it.
MAKING = ".making"
# What former versions, which had no such lock, left beside them when they were killed; after a day nobody is.
FORMER = (".converting-*", "tmp*")
DAY = 24 * 3600.0


class CacheError(Exception):
    """The cache cannot be written; the message says in one line where it is and how to have it elsewhere."""


def cache_folder() -> Path:
    """Raises CacheError where there is none such, as below the home of a user who is not there."""
    named = os.environ.get("BENCH_CACHE") or "~/.cache/adaptbench"
    try:
        return Path(named).expanduser()
    except RuntimeError as error:
        raise CacheError(f"there is no folder {named!r}: {error}; set BENCH_CACHE to one that is there") from error


def kept(folder: Path, make: Callable[[], Callable[[Path], None]]) -> Path:
    """The folder, if its files are those that were written; else it is made anew: `make` does the work and returns
    what writes it into an empty folder. Of several processes one makes it, and the others wait.

    Raises CacheError where it cannot be written, and whatever `make` raises.
    """
    # Whoever only reads needs no lock, so that a cache may be on a disk that is not to be written to.
    if _is_whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
        lock.acquire()
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        if not _is_whole(folder):
            _make(folder, make())
    finally:
        lock.release()
    return folder


def _make(folder: Path, write: Callable[[Path], None]) -> None:
    temporary = folder.with_name(folder.name + MAKING)
    try:
        _remove(temporary)
        _remove(folder)
        _clear(folder.parent)
        temporary.mkdir()
        write(temporary)
        lines = [f"{_digest(path)}  {path.relative_to(temporary)}\n" for path in _files(temporary)]
        (temporary / SUMS).write_text("".join(lines), encoding="utf-8")
        temporary.rename(folder)
    except Exception as error:
        # Libraries have a full disk in errors of their own: whatever fails while writing is told as that.
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    """Whether the folder has the files that were written to it, and these say what they said."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        said = [line.split("  ", 1) for line in lines]
        return bool(said) and all(_digest(folder / name) == digest for digest, name in said)
    except (OSError, ValueError):
        return False


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _clear(parent: Path) -> None:
    """Removes what processes that were killed have left half made."""
    from filelock import Timeout

    for path in parent.glob(f"*{MAKING}"):
        with suppress(Timeout), _lock(path.with_name(path.name.removesuffix(MAKING))).acquire(blocking=False):
            _remove(path)
    for path in [found for pattern in FORMER for found in parent.glob(pattern)]:
        with suppress(FileNotFoundError):  # another process is clearing too
            if time.time() - path.stat().st_mtime > DAY:
                _remove(path)


def _lock(folder: Path) -> FileLock:
    from filelock import FileLock

    return FileLock(folder.with_name(folder.name + ".lock"))


def _remove(path: Path) -> None:
    """Also a file that stands where a folder should."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unwritable(folder: Path, error: Exception) -> CacheError:
    return CacheError(
        f"the cache cannot be written at {folder.parent}: {reason(error, 200)}; set BENCH_CACHE to a folder"
        " with room that can be written to"
    )

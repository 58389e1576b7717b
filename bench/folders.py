"""Which folder a command is about."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from records.store import RecordStore
from records.text import printable

RESULTS = Path("results")


class UsageError(Exception):
    """A command cannot be carried out as given; the message is one line."""


def path_of(text: str) -> Path:
    """An argument of the command line. Raises ArgumentTypeError where it is empty."""
    if not text:
        raise argparse.ArgumentTypeError("takes a path, not nothing")
    return Path(text)


def store_of(results: str) -> RecordStore:
    """A results folder by path, or by its suite: by name, or the path of its file."""
    path = expanded(Path(results))
    if not path.is_dir():
        path = RESULTS / (path.stem if path.suffix in (".yaml", ".yml") else results)
    return RecordStore(usable_folder(path))


def expanded(given: Path) -> Path:
    """Raises UsageError where this is no path at all: a name too long, the home of nobody."""
    try:
        path = given.expanduser()
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{printable(str(given)[:100])}: no usable path: {reason}") from None
    return path


def usable_folder(given: Path, write: bool = False) -> Path:
    """A folder that there is, or could be. Raises UsageError where a file is in its place, or above it, or, to `write`,
    where it may not be written."""
    path = expanded(given)
    nearest = next((each for each in (path, *path.parents) if each.exists() or each.is_symlink()), path)
    if nearest.exists() and not nearest.is_dir():
        raise UsageError(f"{nearest}: is a file, and a folder is to be there; name another")
    if nearest.is_symlink() and not nearest.exists():
        raise UsageError(f"{nearest}: is a link to what is not there")
    if write and not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{nearest}: may not be written to; name another folder (--results, --output)")
    return path

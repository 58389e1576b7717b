"""Which folder a command is about."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from records.record import Record
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


def results_of(suite: str, given: Path | None) -> Path:
    """The absolute path of a suite's results, which are kept under its name where no folder is given. Raises
    UsageError."""
    return expanded(given or RESULTS / suite).absolute()


def store_of(results: str) -> RecordStore:
    """A results folder by path, or by its suite: by name, or the path of its file."""
    path = expanded(Path(results))
    if not path.is_dir():
        path = RESULTS / (path.stem if path.suffix in (".yaml", ".yml") else results)
    return RecordStore(usable_folder(path))


def cell_of(given: str, results: Path | None) -> tuple[RecordStore, Record]:
    """A cell's record by its id, or the beginning of that, and the folder that it is in: the given one, or any under
    `results/`. Raises UsageError where there is none, or several."""
    if not re.fullmatch("[0-9a-f]{1,12}", given):
        raise UsageError(f"{given!r}: takes a cell's id or its beginning, up to 12 hexadecimal digits")
    folders = [usable_folder(results)] if results else sorted(RESULTS.glob("*/"))
    found = [
        folder
        for each in folders
        for folder in sorted((each / "cells").glob(f"{given}*"))
        if re.fullmatch("[0-9a-f]{12}", folder.name) and not folder.is_symlink() and (folder / "record.json").exists()
    ]
    if not found:
        raise UsageError(f"no cell {given!r} under {', '.join(map(str, folders)) or RESULTS}")
    if len({folder.name for folder in found}) > 1:
        raise UsageError(f"{given!r} is the beginning of several: {', '.join(each.name for each in found)}")
    store = RecordStore(found[0].parent.parent)
    record = store.read(found[0].name)
    if record is None:
        raise UsageError(f"no cell {given!r} under {store.root}")
    return store, record


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

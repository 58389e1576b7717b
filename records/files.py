"""Files as they may be found: a results folder can come from a stranger, and a disk can be full."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Both ends of a log are kept, so much of each: how it began, and how it ended.
LOG_END = 2**20
LEFT_OUT = "\n[… {:,} bytes are left out here …]\n"


# After the name of a folder that is being written.
MAKING = ".making"


class Occupied(Exception):
    """A folder that is to be made is there already; the message is one line for the user."""


class Unreadable(Exception):
    """There is something, and it is no file of ours; the message says what, to be put after its path."""


def open_within(root: Path, *parts: str) -> BinaryIO:
    """A regular file below `root`, to be read. No link is followed on the way and no FIFO waited for: nothing outside
    the folder is read. Raises FileNotFoundError and Unreadable."""
    path = os.fspath(root)
    link = Unreadable("is a link, or lies behind one; links are not followed")
    try:
        for part in "/".join(parts).split("/"):
            if part in ("", ".", ".."):
                raise link
            path = os.path.join(path, part)
            if stat.S_ISLNK(os.lstat(path).st_mode):
                raise link
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except NotADirectoryError:
        raise Unreadable("lies below a file, where a folder should be") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("is a folder, not a file" if stat.S_ISDIR(mode) else "is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_within(root: Path, *parts: str, longest: int) -> bytes:
    """The whole of a file of at most `longest` bytes. Raises as `open_within` does."""
    with open_within(root, *parts) as file:
        size = os.fstat(file.fileno()).st_size
        if size > longest:
            raise Unreadable(f"is larger than {longest / 2**20:.0f} MiB")
        try:
            return file.read(size)  # not `longest`, for which room would be made
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from None


def write_atomically(path: Path, content: str | bytes) -> None:
    """By a temporary file that then takes the name; it is gone where the disk refuses. Raises OSError."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """As `write_atomically`, for what is written part by part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def new_folder(folder: Path, replaces: bool = False) -> Iterator[Path]:
    """An empty folder that takes the name once all is written, and is gone where something goes wrong. Raises Occupied
    where there is something of that name but an empty folder; with `replaces`, any folder gives up its place."""
    full = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if folder.is_symlink() or (full and not (replaces and folder.is_dir())):
        raise Occupied(f"{folder}: is there already; name a folder that is not, or an empty one")
    making = folder.with_name(f".{folder.name}{MAKING}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        yield making
        if full:
            shutil.rmtree(folder)
        os.replace(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def move_aside(path: Path) -> Path:
    """Gives up a name to what is to be written there; what had it is kept as `<name>.broken-<n>`."""
    for number in itertools.count(1):
        target = path.with_name(f"{path.name}.broken-{number}")
        if not os.path.lexists(target):
            os.rename(path, target)
            return target
    raise AssertionError("unreachable")


def cap_log(path: Path, most: int = 2 * LOG_END) -> None:
    """Cuts the middle out of a log of more than `most` bytes, which a process may still be appending to."""
    most = max(most, 2 * LOG_END + len(LEFT_OUT) + 20)
    with contextlib.suppress(OSError):
        if path.stat().st_size <= most:
            return
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(-LOG_END, os.SEEK_END)
            end = file.read(LOG_END)
            file.truncate(LOG_END)
            file.seek(LOG_END)
            file.write(LEFT_OUT.format(size - 2 * LOG_END).encode() + end)

"""One process at a time works in a results folder.

The system's lock (flock) is given back however a process ends. Some network file systems have none: there a file in
the folder names the process that holds it, on which machine, and is touched while that lives. Nothing is concluded
from its age, since clocks jump and machines sleep: it is taken over only where its process was on this very machine,
and is no more.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from bench.durations import duration
from records import files
from records.store import ResultsError

LOCK = ".lock"
HOLDER = ".lock-holder"
# What a file system says that has no locks, or whose server has none.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
# Likewise of links.
NO_LINKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK}
SECONDS_BETWEEN_BEATS = 10.0
LONGEST = 2**12


class Holder(BaseModel):
    """Who works in a folder. `machine` says what must be the same for its `pid` to mean the same process here: the
    name, the start of the system, and the container. `token` is another for each."""

    machine: str
    pid: int
    token: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]

    @property
    def is_surely_dead(self) -> bool:
        """False where that cannot be known."""
        if self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[Callable[[], None]]:
    """Holds the folder, and makes it where it is not there. Yields what sees to it that it still is there, and raises
    ResultsError where not. Raises ResultsError where another process holds it, or it cannot be had."""
    lock = root / LOCK
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ResultsError(f"{root}: no results can be kept here: {why}") from None

    def look() -> None:
        # A folder that was made anew under the name is another.
        if not lock.exists() or not os.fstat(descriptor).st_nlink:
            raise ResultsError(f"{root}: was removed or moved while the run was under way, which ends here")

    try:
        with _flock(root, descriptor):
            with contextlib.suppress(OSError):  # on a full disk, nobody is told who holds the lock
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
            yield look
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _flock(root: Path, descriptor: int) -> Iterator[None]:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode(errors="replace").strip()
        raise ResultsError(f"{root}: another run is at work here (process {holder})") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise ResultsError(f"{root}: the folder cannot be locked for this run: {error.strerror}") from None
        with _holder_file(root):
            yield
        return
    # One on a machine that has no lock here holds the folder by its file.
    if os.path.lexists(root / HOLDER):
        found = _read(root / HOLDER)
        if found is None or not found.is_surely_dead:
            raise _refusal(root, root / HOLDER, found)
        (root / HOLDER).unlink(missing_ok=True)
    yield


@contextlib.contextmanager
def _holder_file(root: Path) -> Iterator[None]:
    path = root / HOLDER
    mine = Holder(machine=_machine(), pid=os.getpid(), token=uuid.uuid4().hex)
    try:
        _take(root, path, mine)
    except OSError as error:
        raise ResultsError(f"{root}: the folder cannot be locked for this run: {error.strerror}") from None
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(SECONDS_BETWEEN_BEATS):
            with contextlib.suppress(OSError):
                os.utime(path)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        if _read(path) == mine:
            with contextlib.suppress(OSError):
                path.unlink()


def _take(root: Path, path: Path, mine: Holder) -> None:
    """Makes the file, or takes it over from a process that is dead. Of several that find it dead, one is the first to
    make a file named after it, and puts that in its place. Raises OSError, and ResultsError where it is another's."""
    try:
        _create(path, mine)
        return
    except FileExistsError:
        holder = _read(path)
    if holder is None or not holder.is_surely_dead:
        raise _refusal(root, path, holder)
    following = path.with_name(f"{path.name}.{holder.token}")
    _take(root, following, mine)
    try:
        if (now := _read(path)) != holder:
            raise _refusal(root, path, now)
        os.replace(following, path)
    except BaseException:
        following.unlink(missing_ok=True)
        raise


def _create(path: Path, holder: Holder) -> None:
    """Whole or not at all. Raises FileExistsError where it is there, and OSError."""
    data = holder.model_dump_json().encode()
    temporary = path.with_name(f"{HOLDER}.json.{holder.token}")
    try:
        temporary.write_bytes(data)
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> Holder | None:
    """None where there is none, or what is there names nobody."""
    try:
        return Holder.model_validate_json(files.read_within(path.parent.resolve(), path.name, longest=LONGEST))
    except (OSError, files.Unreadable, ValidationError):
        return None


def _refusal(root: Path, path: Path, holder: Holder | None) -> ResultsError:
    who = "of whom is not known" if holder is None else f"process {holder.pid} on {holder.machine.partition(' ')[0]}"
    try:
        age = f", last heard of {duration(_now(root) - path.stat().st_mtime)} ago"
    except OSError:
        age = ""
    return ResultsError(
        f"{root}: another run is at work here ({who}{age}); if that is surely dead, remove {path} and start again"
    )


def _now(root: Path) -> float:
    """As the clock has it that stamps the folder's files. Raises OSError."""
    os.utime(root / LOCK)
    return (root / LOCK).stat().st_mtime


def _machine() -> str:
    words = [platform.node() or "?"]
    with contextlib.suppress(OSError):
        words.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        words.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(words)

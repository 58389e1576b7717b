"""One fault at one point: calls that touch the disk, start a process or make a step are counted in a process that is
armed, and at the n-th of them something goes wrong. Imports no torch."""

from __future__ import annotations

import builtins
import errno
import io
import json
import multiprocessing.util
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench.launchers import server

Role = Literal["scheduler", "server", "worker"]

# Of the environment: the fault, and a file that is there once it has been done.
FAULT, DONE = "BENCH_TEST_FAULT", "BENCH_TEST_FAULT_DONE"

# What a disk can refuse, and where a process is started.
WRITES = ("open", "write", "fsync", "replace", "mkdir", "unlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

_NAMES = {
    "fsync": "fsync", "replace": "replace", "rename": "replace", "mkdir": "mkdir",
    "unlink": "unlink",
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """At the `number`-th `call` of a process in this `role`: the `action` of `tests.faults.actions` with its
    `argument`, once in a run. A call is one of WRITES, "fork", "step" or "read"; all of WRITES are "disk", all of them
    "any". A worker is that of the cell with the seed `cell`, any of them where that is None. What is `lasting` is an
    error that all calls of the kind in all processes meet from there on."""

    role: Role
    call: str
    number: int
    action: str
    argument: str = ""
    cell: int | None = None
    lasting: bool = False

    def environ(self, done: Path) -> dict[str, str]:
        """By which the processes of a run know it."""
        return {FAULT: json.dumps(asdict(self)), DONE: str(done)}


class Armed:
    """Counts the calls of this process."""

    def __init__(self, fault: Fault, role: Role, results: Path, done: Path, cell: int | None) -> None:
        self.fault, self.results, self.done = fault, results, done
        self.mine = role == fault.role and fault.cell in (None, cell)
        self.count = 0
        self.silent = False
        self.open, self.close, self.exists = os.open, os.close, os.path.exists  # as they are before they are counted

    def reach(self, call: str) -> None:
        """One more of such a call is about to be made."""
        fault = self.fault
        if self.silent or not (fault.call in (call, "any") or (fault.call == "disk" and call in WRITES)):
            return
        if fault.lasting and self.exists(self.done):
            self._act()
        if not self.mine:
            return
        self.count += 1
        if self.count == fault.number and self._first():
            self._act()

    def _first(self) -> bool:
        try:
            self.close(self.open(self.done, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def _act(self) -> None:
        from tests.faults import actions

        self.silent = True
        try:
            actions.ACTIONS[self.fault.action](self)
        finally:
            self.silent = False


_armed: Armed | None = None


def reach(call: str) -> None:
    """For code that is not one of the calls that are counted by themselves."""
    if _armed is not None:
        _armed.reach(call)


def arm(role: Role, results: Path, cell: int | None = None) -> None:
    """Has the calls of this process counted, if there is a fault in its environment."""
    global _armed
    if not (text := os.environ.get(FAULT)):
        return
    first = _armed is None
    _armed = Armed(Fault(**json.loads(text)), role, results, Path(os.environ[DONE]), cell)
    if first:
        _count_calls()


def _count_calls() -> None:
    for name, call in _NAMES.items():
        setattr(os, name, _counted(getattr(os, name), call))
    os_open, os_write = os.open, os.write

    def write(descriptor: int, data: Any) -> int:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # and no pipe, which has no disk that could be full
            reach("write")
        return os_write(descriptor, data)

    def opened(path: Any, flags: int, *arguments: Any, **keywords: Any) -> int:
        reach("open" if flags & WRITING else "read")
        return os_open(path, flags, *arguments, **keywords)

    os.open, os.write = opened, write
    io.open = builtins.open = _opened(io.open)  # type: ignore[assignment]
    server.fork = _counted(server.fork, "fork")
    multiprocessing.util.spawnv_passfds = _counted(multiprocessing.util.spawnv_passfds, "fork")  # type: ignore[attr-defined]


def _counted(original: Callable[..., Any], call: str) -> Callable[..., Any]:
    def counted(*arguments: Any, **keywords: Any) -> Any:
        reach(call)
        return original(*arguments, **keywords)

    return counted


class _Raw(io.FileIO):
    """A file whose writes are counted. A disk that is full has taken a part of what was to be written."""

    def write(self, data: Any) -> int:
        try:
            reach("write")
        except OSError:
            super().write(memoryview(data)[: len(data) // 2])
            raise
        return super().write(data)


def _opened(original: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        if not set(mode) & set("wax+") or not isinstance(file, str | os.PathLike):
            reach("read")
            return original(file, mode, *arguments, **keywords)
        reach("open")
        raw = _Raw(file, mode.replace("b", "").replace("t", ""))
        if "+" in mode:
            return io.BufferedRandom(raw)
        binary = io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding=keywords.get("encoding"))

    return opened


def refuse(name: str) -> None:
    """Raises the error of the system with this name."""
    number = getattr(errno, name)
    raise OSError(number, os.strerror(number))

"""What goes wrong at a point."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable

import psutil

from bench.launchers import server
from tests.faults.points import Armed, refuse


def error(at: Armed) -> None:
    """The system refuses."""
    refuse(at.fault.argument)


def kill(at: Armed) -> None:
    """As in `SIGKILL worker`, `SIGSTOP server` or `SIGTERM scheduler`."""
    name, whom = at.fault.argument.split()
    os.kill(_process(at, whom), getattr(signal, name))
    if whom != at.fault.role:
        time.sleep(0.3)  # the signal is on its way


def interrupt(at: Armed) -> None:
    """As Ctrl-C does it: the whole group of processes."""
    os.killpg(os.getpgid(0), signal.SIGINT)
    time.sleep(0.3)


def _process(at: Armed, whom: str) -> int:
    if whom == at.fault.role:
        return os.getpid()
    if at.fault.role == "worker":
        return server.PID if whom == "server" else psutil.Process(server.PID).ppid()
    [found] = [each.pid for each in psutil.Process().children() if "forkserver" in " ".join(each.cmdline())][:1]
    return found


def out_of_memory(at: Armed) -> None:
    """As Python says it."""
    raise MemoryError


def exit_at_once(at: Armed) -> None:
    """Past all handlers."""
    os._exit(0)


def exit_by_exception(at: Armed) -> None:
    """With the status of success."""
    sys.exit(0)


def hang(at: Armed) -> None:
    """For longer than the time limit."""
    time.sleep(1000)


def hang_with_lock(at: Armed) -> None:
    """Without letting go of the interpreter's lock."""
    ctypes.PyDLL(None).sleep(1000)


def fork_into_our_code(at: Armed) -> None:
    """The child goes on as its parent does."""
    os.fork()


def start_a_process(at: Armed) -> None:
    """One that would outlive all others; then the worker is killed."""
    os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000")
    if at.fault.argument:
        kill(at)


def flood(at: Armed) -> None:
    """Prints 20 MB."""
    for _ in range(200):
        os.write(1, b"x" * 10**5 + b"\n")


def change_state(at: Armed) -> None:
    """What a process has for all its code: folder, environment, handlers of signals, mask, closed standard streams."""
    os.chdir("/")
    os.environ.clear()
    os.umask(0)
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
    sys.stdout = sys.stderr = None  # type: ignore[assignment]


def close_descriptors(at: Armed) -> None:
    """All of them."""
    os.closerange(0, 256)


def remove_results(at: Armed) -> None:
    """The whole folder."""
    shutil.rmtree(at.results, ignore_errors=True)


def move_results(at: Armed) -> None:
    """The whole folder, to a name beside."""
    os.rename(at.results, at.results.with_name("moved"))


def jump(at: Armed) -> None:
    """The clock jumps by so many seconds; what is written from now on has its stamp from there."""
    by = float(at.fault.argument)
    now, replaced = time.time, os.replace
    time.time = lambda: now() + by

    def replace(*arguments: object) -> None:
        replaced(*arguments)  # type: ignore[arg-type]
        with contextlib.suppress(OSError):
            os.utime(str(arguments[1]), (now() + by,) * 2)

    os.replace = replace  # type: ignore[assignment]


ACTIONS: dict[str, Callable[[Armed], None]] = {
    each.__name__: each
    for each in (
        error, kill, interrupt, out_of_memory, exit_at_once, exit_by_exception, hang, hang_with_lock,
        fork_into_our_code, start_a_process, flood, change_state, close_descriptors, remove_results, move_results, jump,
    )
}  # fmt: skip

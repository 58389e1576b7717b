"""Runs jobs on this machine: one process each, forked from a server that has the imports behind it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from bench import environment

if TYPE_CHECKING:
    from bench.job import Job

# Training one cell per core gets 1.25 to 1.4 times as much done as one cell on two cores, as far as the memory
# reaches: a cell of a small backbone takes 1 to 2 GiB.
MEMORY_PER_SLOT = 4 * 2**30


@dataclass(frozen=True)
class Slot:
    """What one running cell occupies: a GPU, or `threads` of the cores."""

    index: int
    threads: int
    environ: dict[str, str] = field(default_factory=dict)


def slots(count: int | None = None) -> list[Slot]:
    """One slot for each GPU; without one, a slot for each core that `MEMORY_PER_SLOT` of the machine's memory
    goes with. `count` asks for fewer or, on a processor, another number."""
    gpus = _visible_gpus()
    cores = environment.cores()
    if gpus:
        gpus = gpus[:count]
        threads = max(1, cores // len(gpus))
        return [Slot(i, threads, {"CUDA_VISIBLE_DEVICES": gpu}) for i, gpu in enumerate(gpus)]
    if count is None:
        memory = environment.memory_bytes()
        count = max(1, min(cores, memory // MEMORY_PER_SLOT)) if memory else 1
    return [Slot(i, max(1, cores // count)) for i in range(count)]


def _visible_gpus() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]


def _enter(job: Job, reports: connection.Connection, slot: Slot) -> None:
    """The worker's side. Its imports are there already: the server has made them."""
    os.environ.update(slot.environ)  # before anything looks for a GPU
    from bench import worker

    worker.run(job, reports, slot.threads)


@dataclass
class Running:
    """A job under way in a slot."""

    job: Job
    slot: Slot
    process: Any
    reports: connection.Connection
    done: int = 0
    total: int = 0


class LocalLauncher:
    """Starts jobs and says what becomes of them."""

    def __init__(self, preload: Iterable[str] = ()) -> None:
        """`preload` names modules that the jobs will import; the server imports them once, for all."""
        # Inherited by the server and its workers: a fork needs no second pool.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["bench.worker", *preload])
        self.running: dict[int, Running] = {}

    def start(self, job: Job, slot: Slot) -> None:
        receive, send = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_enter, args=(job, send, slot), name=job.cell.id)
        process.start()
        send.close()
        self.running[slot.index] = Running(job, slot, process, receive)

    def wait(self, timeout: float) -> Iterator[tuple[Running, int]]:
        """Waits up to `timeout` seconds for news; yields every job that has ended, with its process's exit
        code: 0, or the negative number of the signal that killed it."""
        by_handle: dict[Any, Running] = {}
        for run in self.running.values():
            by_handle[run.process.sentinel] = run
            by_handle[run.reports] = run
        for handle in connection.wait(list(by_handle), timeout):
            run = by_handle[handle]
            if handle is run.reports:
                self._read(run)
        for index, run in list(self.running.items()):
            if not run.process.is_alive():
                run.process.join()
                del self.running[index]
                yield run, run.process.exitcode

    def _read(self, run: Running) -> None:
        try:
            while run.reports.poll():
                run.done, run.total = run.reports.recv()
        except (EOFError, OSError):
            # The worker has closed its end and is about to exit: nothing more to hear, only to wait for it.
            run.process.join(5)

    def stop(self) -> None:
        """Ends every job at once, also one that an interrupt caught while it was started: else the interpreter would
        wait for it to finish."""
        jobs = multiprocessing.active_children()
        for job in jobs:
            job.kill()
        for job in jobs:
            job.join()
        self.running.clear()


def describe_exit(code: int) -> str:
    """Why a process ended without leaving a record, in words."""
    if code >= 0:
        return f"the worker exited with status {code} before it could write a record"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory, if nobody killed it)" if -code == signal.SIGKILL else ""
    return f"the worker was killed by {name}{hint}"

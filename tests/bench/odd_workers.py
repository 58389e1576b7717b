"""Stands in for bench.worker: what a plugin may do to its process, one way for each label. Imports no torch."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from bench.job import Job
from bench.lifeline import Lifeline
from records.record import Cost, Record
from records.store import RecordStore


def run(job: Job, line: Lifeline, threads: int) -> None:
    """Does what the label says, and leaves a record unless that prevents it."""
    store = RecordStore(job.results)
    log = os.open(store.log(job.cell.id), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    line.at("training")
    ODD[job.cell.label](job, line)
    line.end_a_fork()
    if job.stage == "profile" and job.cell.label == "costs":
        return _profile(job, store)
    if job.stage == "profile":
        os._exit(0)
    scores = {"accuracy": 0.5}
    record = Record(
        id=job.cell.id, cell=job.cell, status="trained", attempts=job.attempt, started="now", finished="now",
        wall_seconds=0, test=scores, validation=scores,
    )  # fmt: skip
    store.write(record)


def _profile(job: Job, store: RecordStore) -> None:
    with (job.results / "profiled").open("a") as told:
        told.write(f"{job.cell.seed}\n")
    record = store.read(job.cell.id, job.cell)
    assert record is not None
    found = {"status": "ok", "cost": Cost(protocol={}, stored_bytes=job.cell.seed), "profiled": {"processor": "here"}}
    store.write(record.model_copy(update=found))


def costs(job: Job, line: Lifeline) -> None:
    line.progress(3, 4)


def fine(job: Job, line: Lifeline) -> None:
    line.progress(3, 4)


def leaves_a_thread(job: Job, line: Lifeline) -> None:
    threading.Thread(target=time.sleep, args=(1000,), daemon=False).start()


def leaves_a_process(job: Job, line: Lifeline) -> None:
    child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000")
    (job.results / "child").write_text(str(child))


def dies_once_and_leaves_a_process(job: Job, line: Lifeline) -> None:
    if job.attempt == 1:
        leaves_a_process(job, line)
        os.kill(os.getpid(), signal.SIGKILL)


def removes_the_results(job: Job, line: Lifeline) -> None:
    shutil.rmtree(job.results)
    time.sleep(1000)


def forks(job: Job, line: Lifeline) -> None:
    if not os.fork():
        line.beat()  # as the child does, once it is back in our code
        (job.results / "impostor").touch()


def closes_all(job: Job, line: Lifeline) -> None:
    os.closerange(0, 256)
    with open(job.results / "data", "w") as file:
        os.dup2(file.fileno(), line._pipe)  # as the next files of a library would take the number
        line.progress(1, 2)
        line.at("testing")
        file.write("data")


def changes_folder(job: Job, line: Lifeline) -> None:
    os.chdir("/")


def exits_at_once(job: Job, line: Lifeline) -> None:
    os._exit(0)


def raises_exit(job: Job, line: Lifeline) -> None:
    sys.exit(0)


def holds_the_lock(job: Job, line: Lifeline) -> None:
    (job.results / "pid").write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(1000)  # without letting go of the interpreter's lock


def hangs(job: Job, line: Lifeline) -> None:
    time.sleep(1.1)  # it speaks once a second
    line.progress(5, 20)
    time.sleep(1000)


def prints_much(job: Job, line: Lifeline) -> None:
    os.write(1, b"first\n")
    for _ in range(100):
        os.write(1, b"x" * 10**5 + b"\n")
        time.sleep(0.01)
    os.write(1, b"last\n")


def kills_its_server_once(job: Job, line: Lifeline) -> None:
    if job.attempt == 1:
        (job.results / "pid").write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000)


def kills_its_server(job: Job, line: Lifeline) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1000)


def speaks_nonsense(job: Job, line: Lifeline) -> None:
    os.write(line._pipe, b"\xff\x00 nonsense\n-1 x\n! many no\n" * 100)


def finds_the_disk_full(job: Job, line: Lifeline) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def may_not_write(job: Job, line: Lifeline) -> None:
    raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def writes_a_ruin(job: Job, line: Lifeline) -> None:
    path = Path(job.results) / "cells" / job.cell.id / "record.json"
    path.write_text('{"id": "')
    os._exit(0)


ODD = {name: value for name, value in list(globals().items()) if callable(value) and name.islower() and name != "run"}

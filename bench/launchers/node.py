"""What a job of a cluster does on its node: it runs one stage of one cell as a run on this machine would, in a process
of its own, with the cell's time limit, and leaves word of how that goes. Imports no torch: the process does."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import time
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ValidationError

from bench import environment
from bench.job import Job
from bench.launchers.base import LONGEST_LOG, End, LaunchError, Running, Slot
from bench.launchers.journal import FOLDER, Journal
from bench.launchers.local import ATTEMPTS_WHEN_KILLED, LocalLauncher
from records import files
from records.store import RecordStore, ResultsError

# A word is a small file on a shared disk, written anew each time.
SECONDS_BETWEEN_WORDS = 5.0
LONGEST_WORD = 2**16


class Assignment(BaseModel):
    """All that is handed to a job, as text. `key` and `index` name it among all submissions; `limit` is in seconds,
    `modules` are those that the server of its worker imports first."""

    key: str
    index: int
    job: Job
    limit: float | None = None
    modules: list[str] = []
    work: str = "bench.worker"


class Word(BaseModel):
    """What a job says of itself while it runs, and, with an `end`, when it has ended. `wrote` is the stamp of the
    record that it left, None where it left none."""

    node: str = ""
    attempt: int = 1
    seconds: float = 0.0
    silent: float = 0.0
    done: int = 0
    total: int = 0
    doing: str = "starting"
    overdue: bool = False
    refused: tuple[int, str] | None = None
    end: End | None = None
    wrote: tuple[int, int] | None = None


def word_of(results: Path, key: str, index: int) -> Word | None:
    """What a job last said, None where it has said nothing yet."""
    try:
        data = files.read_within(results.resolve(), FOLDER, key, f"{index}.json", longest=LONGEST_WORD)
        return Word.model_validate_json(data)
    except (OSError, files.Unreadable, ValidationError):
        return None


def work(text: str) -> None:
    """Carries out an assignment."""
    task = Assignment.model_validate_json(text)
    # Preemption and cancellation are to end this at once; the kernel ends the worker with it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR2, lambda *_: None)
    submission = Journal(task.job.results).submissions().get(task.key)
    if submission is None or submission.given_up:
        print(f"{task.key} was given up, as it seemed to have been lost; another job does the same")
        return
    store = RecordStore(task.job.results)
    before = store.stamp(task.job.cell.id)
    word = Word(node=platform.node(), attempt=task.job.attempt + int(os.environ.get("SLURM_RESTART_COUNT") or 0))
    if _stands(store, task.job):  # a job that had done its work was queued again
        word.end, word.wrote = End("its record stood before it began"), before
    else:
        _tell(task, word)
        _run(task, word)
        after = store.stamp(task.job.cell.id)
        word.wrote = after if after != before else None
    _tell(task, word)
    print(f"{task.job.stage} of {task.job.cell}: {'a record was written' if word.wrote else word.end}")


def _run(task: Assignment, word: Word) -> None:
    launcher = LocalLauncher(task.modules, task.work)
    log = RecordStore(task.job.results).log(task.job.cell.id)
    told = time.monotonic()
    try:
        launcher.start(replace(task.job, attempt=word.attempt), Slot(0, _threads(task.job)))
        while launcher.running:
            for running in launcher.running.values():
                if task.limit is not None and running.seconds > task.limit and not running.overdue:
                    running.overdue = True
                    running.kill()
                _note(word, running)
            for running, end in launcher.wait(timeout=0.5):
                _note(word, running)
                word.end = end
            if time.monotonic() - told > SECONDS_BETWEEN_WORDS:
                files.cap_log(log, LONGEST_LOG)
                _tell(task, word)
                told = time.monotonic()
    except LaunchError as error:  # for want of what may be there the next time
        word.end = End(str(error), ATTEMPTS_WHEN_KILLED)
    finally:
        launcher.stop()
        files.cap_log(log)


def _note(word: Word, running: Running) -> None:
    for name in ("seconds", "silent", "done", "total", "doing", "overdue", "refused"):
        setattr(word, name, getattr(running, name))


def _tell(task: Assignment, word: Word) -> None:
    # A disk that is full is the worker's to tell.
    with contextlib.suppress(OSError):
        path = task.job.results / FOLDER / task.key / f"{task.index}.json"
        files.write_atomically(path, word.model_dump_json())


def _stands(store: RecordStore, job: Job) -> bool:
    try:
        record = store.standing(job.cell.id, job.cell, store.manifest().cards)
    except ResultsError:
        return False
    done = ("ok", "n/a") if job.stage == "profile" else ("ok", "n/a", "trained")
    return record is not None and record.status in done


def _threads(job: Job) -> int:
    """The cores that were asked for; a profile has the whole node."""
    names = ["SLURM_CPUS_ON_NODE"] if job.stage == "profile" else ["SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"]
    for name in names:
        if (value := os.environ.get(name, "")).isdecimal():
            return max(1, int(value))
    return environment.cores()

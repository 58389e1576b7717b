"""Runs jobs on a Slurm cluster: submitit hands arrays of them to it, the cluster decides when and where they run.

Jobs outlive the scheduler: the same command finds those that it left, by the journal of what was submitted. A cost
profile needs its machine to itself: it is a job of its own that asks for its node alone (`--exclusive`). Were it to
follow its training in the same job, every training would have to hold a whole node.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cluster_options import SlurmOptions
from bench.job import Job, Stage
from bench.launchers import queue
from bench.launchers.base import End, LaunchError, Slot
from bench.launchers.journal import FOLDER, Handed, Journal, Line, Submission
from bench.launchers.node import Assignment, Word, word_of
from bench.launchers.queue import NoAnswer, Seen
from bench.launchers.submission import Refused, executor_of, hand_over, submit
from records.store import RecordStore

# That a cluster takes a job back, or a node dies, is nothing that the cell did: it is tried so often in all. A job that
# never came to say a word may have met a node that is not in order.
ATTEMPTS_WHEN_TAKEN = 10
ATTEMPTS_WHEN_LOST = 2
# States that tell why a worker was killed.
KILLS = {"CANCELLED", "DEADLINE", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"}
# Between looks at the queue, which all users share: soon while things happen, seldom while nothing does.
SECONDS_BETWEEN_LOOKS = (1.0, 15.0)
# For so long what was written on a node may not be seen here, on a network file system (NFS: acdirmax, 60 s).
SECONDS_TO_BE_SEEN = 60.0


@dataclass
class SlurmRunning:
    """A job that was handed to the cluster as number `index` of the array `key`, or waits to be. `gone` says since
    when the cluster has it no more, `told` since when it says itself that it has ended, on the monotonic clock."""

    job: Job
    key: str = ""
    index: int = 0
    queued: bool = True
    done: int = 0
    total: int = 0
    doing: str = "to be submitted"
    seconds: float = 0.0
    silent: float = 0.0
    overdue: bool = False
    refused: tuple[int, str] | None = None
    seen: Seen | None = None
    gone: float | None = None
    told: float | None = None

    def update(self, seen: Seen | None, word: Word | None) -> None:
        """Takes note of what the cluster and the job itself say."""
        self.seen = seen or self.seen
        if seen is None or seen.ended:
            self.gone = self.gone or time.monotonic()
        else:
            self.gone = None
            self.queued = seen.state != "RUNNING"
        if word is not None and not self.queued:
            self.done, self.total, self.doing = word.done, word.total, word.doing
            self.seconds, self.silent = word.seconds, word.silent
            self.overdue, self.refused = word.overdue, word.refused
        elif seen is not None:
            self.doing = seen.state.lower() + (f" ({seen.why})" if seen.why else "")

    def kill(self) -> None:
        """Takes it from the cluster, waiting or running."""
        if self.seen is not None:
            with contextlib.suppress(NoAnswer):
                queue.cancel(self.seen.job)


class SlurmLauncher:
    """Starts jobs and says what becomes of them."""

    remote = True

    def __init__(
        self,
        options: SlurmOptions,
        limit: float | None,
        modules: Iterable[str] = (),
        tell: Callable[[str], None] = print,
        work: str = "bench.worker",
    ) -> None:
        """`limit` is how many seconds a cell may take to train, and to be profiled; `modules` are those that a job
        imports first, `work` the one whose `run` does the work; `tell` shows a line to the user."""
        self.options = options
        self.limit = limit
        self.modules = list(modules)
        self.tell = tell
        self.work = work
        self.running: dict[int, SlurmRunning] = {}
        self._waiting: list[SlurmRunning] = []
        self._left: dict[tuple[str, Stage], tuple[Submission, int, Seen]] = {}
        self._pause = SECONDS_BETWEEN_LOOKS[0]
        self._next_look = 0.0
        self._retry = 0.0
        self._unsure: tuple[str, list[SlurmRunning], str] | None = None
        self._silent = False
        self._told = ""

    def begin(self, results: Path) -> None:
        """Finds the jobs that earlier runs have left on the cluster. Raises LaunchError."""
        executor_of(self.options, results / FOLDER, "bench", "train", self.limit)  # what it lacks is told now
        self.results = results
        self.store = RecordStore(results)
        self.journal = Journal(results)
        self._longest_array = queue.longest_array()
        jobs = self._settled_queue()
        for submission in self.journal.submissions().values():
            if submission.given_up:
                continue
            if submission.job is None and not self._resolve(submission, jobs):
                continue
            for index, handed in enumerate(submission.cells):
                seen = jobs.get((submission.key, index))
                if seen is None or seen.ended:
                    continue
                word = word_of(results, submission.key, index)
                if word is None or word.end is None:
                    self._left[handed.cell, submission.stage] = submission, index, seen
        if self._left:
            self.tell(f"{len(self._left)} jobs of an earlier run are still on the cluster, and are waited for")

    def start(self, job: Job, slot: Slot) -> None:
        """Hands it over with all others that start now, unless it is on the cluster already."""
        running = self.running[slot.index] = SlurmRunning(job)
        if (left := self._left.pop((job.cell.id, job.stage), None)) is None:
            self._waiting.append(running)
            return
        submission, running.index, running.seen = left
        running.key = submission.key
        running.job = replace(job, attempt=submission.cells[running.index].attempt)
        # That of a submission which was never answered waits for its orders, for a minute.
        hand_over(
            self.results / FOLDER / running.key, running.seen.job, self._assignment(running, running.key, running.index)
        )

    def wait(self, timeout: float) -> Iterator[tuple[SlurmRunning, End]]:
        """Submits what is to start; waits up to `timeout` seconds for news, and yields every job that has ended. Raises
        LaunchError."""
        self._submit()
        time.sleep(max(0.0, min(timeout, self._next_look - time.monotonic())))
        if time.monotonic() < self._next_look:
            return
        found = None
        try:
            found = self._look()
            self._silent = False
        except NoAnswer as error:
            if not self._silent:
                self.tell(f"the cluster does not say how its jobs stand, and is asked again: {error}")
            self._silent = True
        shortest, longest = SECONDS_BETWEEN_LOOKS
        self._pause = shortest if found else min(longest, self._pause * 1.5)
        self._next_look = time.monotonic() + self._pause
        yield from found or ()

    def stop(self) -> None:
        """What is on the cluster stays there."""
        if left := sum(bool(running.key) for running in self.running.values()):
            where = shlex.quote(str(self.results))
            self.tell(
                f"{left} jobs stay on the cluster: the same command goes on with them, `bench status {where}` shows"
                f" them, `bench cancel {where}` ends them"
            )
        self.running.clear()
        self._waiting.clear()

    def _settled_queue(self) -> queue.Jobs:
        """The queue, once none of ours is between two states. Raises LaunchError."""
        try:
            ours = self.journal.submissions()
            end = time.monotonic() + SECONDS_TO_BE_SEEN
            while True:
                jobs = queue.queue()
                moving = any(seen.state == queue.COMPLETING and key in ours for (key, _), seen in jobs.items())
                if not moving or time.monotonic() > end:
                    return jobs
                time.sleep(SECONDS_BETWEEN_LOOKS[0])
        except NoAnswer as error:
            raise LaunchError(str(error)) from None

    def _resolve(self, submission: Submission, jobs: queue.Jobs) -> bool:
        """Whether a submission that was never answered has reached the cluster; the journal says so from here on."""
        found = next((seen for (key, _), seen in jobs.items() if key == submission.key), None)
        found = found or next(iter(queue.account([submission.key]).values()), None)
        if found is None:
            self._write("given up", submission.key)
            return False
        submission.job = found.job.partition("_")[0]
        self._write("accepted", submission.key, job=submission.job)
        return True

    def _write(self, what: Any, key: str, **more: Any) -> None:
        self.journal.append(Line(what=what, key=key, when=datetime.now(UTC).isoformat(timespec="seconds"), **more))

    def _submit(self) -> None:
        if not self._waiting or time.monotonic() < self._retry:
            return
        if not self._unsure or self._clear_up():
            stages: tuple[Stage, Stage] = ("train", "profile")
            batches = [[run for run in self._waiting if run.job.stage == stage] for stage in stages]
            longest = self._longest_array
            arrays = [batch[at : at + longest] for batch in batches for at in range(0, len(batch), longest)]
            if all(self._submit_array(array) for array in arrays):
                self._next_look = min(self._next_look, time.monotonic() + SECONDS_BETWEEN_LOOKS[0])
                return
        self._retry = time.monotonic() + 4 * SECONDS_BETWEEN_LOOKS[1]

    def _submit_array(self, array: list[SlurmRunning]) -> bool:
        """Whether the cluster has taken it. Raises LaunchError where it refuses and nothing of ours is there whose end
        could change that."""
        stage = array[0].job.stage
        key = f"bench-{re.sub('[^A-Za-z0-9-]', '-', self.results.name)[:30]}-{stage}-{uuid.uuid4().hex[:10]}"
        cells = [Handed(cell=run.job.cell.id, attempt=run.job.attempt) for run in array]
        self._write("intent", key, stage=stage, cells=cells)
        executor = executor_of(self.options, self.results / FOLDER / key, key, stage, self.limit)
        try:
            job = submit(executor, [self._assignment(run, key, index) for index, run in enumerate(array)])
        except Refused as error:
            self._unsure = key, array, str(error)
            return self._clear_up()
        self._write("accepted", key, job=job)
        self._accept(key, array)
        return True

    def _accept(self, key: str, array: list[SlurmRunning]) -> None:
        for index, run in enumerate(array):
            run.key, run.index, run.doing = key, index, "submitted"
        self._waiting = [run for run in self._waiting if not run.key]

    def _clear_up(self) -> bool:
        """Whether an array whose submission failed is on the cluster: the error may have been one of the answer alone.
        Raises LaunchError where it is not, or that is not known, and nothing else of ours is there to wait for."""
        assert self._unsure is not None
        key, array, why = self._unsure
        submission = Submission(key, array[0].job.stage, [])
        try:
            if self._resolve(submission, queue.queue()):
                self._unsure = None
                for index, run in enumerate(array):
                    job = f"{submission.job}_{index}" if len(array) > 1 else str(submission.job)
                    hand_over(self.results / FOLDER / key, job, self._assignment(run, key, index))
                self._accept(key, array)
                return True
            self._unsure = None
        except NoAnswer as error:
            why = f"{error}; the next run sees whether the last jobs were submitted"
        if not any(run.key for run in self.running.values()):
            raise LaunchError(f"the cluster takes no jobs: {why}")
        if why != self._told:
            self.tell(f"the cluster takes no more jobs for now, and is asked again every minute: {why}")
            self._told = why
        return False

    def _assignment(self, run: SlurmRunning, key: str, index: int) -> str:
        task = Assignment(key=key, index=index, job=run.job, limit=self.limit, modules=self.modules, work=self.work)
        return task.model_dump_json()

    def _look(self) -> list[tuple[SlurmRunning, End]]:
        """Those that have ended. Raises NoAnswer."""
        jobs = queue.queue()
        vanished = {run.key for run in self.running.values() if run.key and (run.key, run.index) not in jobs}
        if vanished:
            jobs = queue.account(sorted(vanished)) | jobs
        ended = []
        for slot, running in list(self.running.items()):
            if not running.key:
                continue
            seen = jobs.get((running.key, running.index))
            waits = seen is not None and seen.state == "PENDING"
            word = None if waits else word_of(self.results, running.key, running.index)
            running.update(seen, word)
            end = self._end_of(running, word)
            if end is not None:
                del self.running[slot]
                ended.append((running, end))
        return ended

    def _end_of(self, running: SlurmRunning, word: Word | None) -> End | None:
        """How a job has ended, None while it has not, or while that is not sure."""
        seen, ended = running.seen, running.gone is not None
        if word is not None and word.end is not None:
            if word.wrote is None and word.end.attempts > 1:
                # Killed: the cluster may know why, or be about to run it again.
                if not ended:
                    return None
                return end_of_state(seen, self.options) if seen and seen.state in KILLS else word.end
            running.told = running.told or time.monotonic()
            there = self.store.stamp(running.job.cell.id) == word.wrote
            late = time.monotonic() - running.told > SECONDS_TO_BE_SEEN
            return word.end if word.wrote is None or there or late else None
        if running.gone is None:
            return None
        # What is requeued may show an end for a moment; what ended well will have left word.
        sure = seen is not None and seen.ended and seen.state != "COMPLETED"
        patience = SECONDS_BETWEEN_LOOKS[0] if sure else SECONDS_TO_BE_SEEN
        if time.monotonic() - running.gone <= patience:
            return None
        if seen is not None and seen.state == "PENDING" and word is None:
            # Where a part of a waiting array is cancelled, the queue forgets it at once.
            seen = replace(seen, state="CANCELLED")
        return end_of_state(seen, self.options)


def end_of_state(seen: Seen | None, options: SlurmOptions) -> End:
    """How a job ended that left no word, by the state in which the cluster saw it last."""
    job = seen.job if seen else "?"
    name = f"its Slurm job {job}"
    state = seen.state if seen else "unknown"
    match state:
        case "PREEMPTED":
            return End(f"{name} was preempted (PREEMPTED) {ATTEMPTS_WHEN_TAKEN} times", ATTEMPTS_WHEN_TAKEN)
        case "NODE_FAIL" | "BOOT_FAIL":
            return End(f"the node of {name} failed ({state}) {ATTEMPTS_WHEN_TAKEN} times", ATTEMPTS_WHEN_TAKEN)
        case "TIMEOUT" | "DEADLINE":
            asked = f" of {options.time}" if options.time else ""
            return End(f"{name} was ended at its time limit{asked} ({state}): give it more by --time")
        case "OUT_OF_MEMORY":
            asked = options.memory or "the cluster's default"
            return End(f"{name} took more memory than {asked} (OUT_OF_MEMORY): give it more by --memory")
        case "CANCELLED":
            return End(f"{name} was cancelled (CANCELLED)")
        case "FAILED":
            said = f"{name} failed (FAILED) and left no record; `{FOLDER}/*/{job}_0_log.out` has what it printed"
            return End(said, ATTEMPTS_WHEN_LOST)
        case "COMPLETED":
            return End(f"{name} ended (COMPLETED) and left no record")
    return End(
        f"{name} was last seen {state}, and left the cluster without a record or a trace in its account",
        ATTEMPTS_WHEN_LOST,
    )

"""Runs jobs on a Slurm cluster: submitit hands arrays of them to it, the cluster decides when and where they run.

Jobs outlive the scheduler: the same command finds those that it left, by the journal of what was submitted. A cost
profile needs its machine to itself: it is a job of its own that asks for its node alone (`--exclusive`). Were it to
follow its training in the same job, every training would have to hold a whole node.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cluster_options import SlurmOptions
from bench.job import Job, Stage
from bench.launchers import node, queue
from bench.launchers.base import End, LaunchError, Slot
from bench.launchers.journal import FOLDER, Handed, Journal, Line, Submission
from bench.launchers.node import Assignment, Word, word_of
from bench.launchers.queue import NoAnswer, Seen
from records.store import RecordStore
from records.text import one_line

if TYPE_CHECKING:
    from submitit import SlurmExecutor

# That a cluster takes a job back, or a node dies, is nothing that the cell did: it is tried so often in all.
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
        self._silent = False

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
                word = word_of(results, submission.key, index)
                if seen is not None and not seen.ended and (word is None or word.end is None):
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
        hand_over(self.results / FOLDER / running.key, running.seen.job, self._assignment(running))

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
        self._write("accepted", submission.key, job=found.job.partition("_")[0])
        return True

    def _write(self, what: Any, key: str, **more: Any) -> None:
        self.journal.append(Line(what=what, key=key, when=datetime.now(UTC).isoformat(timespec="seconds"), **more))

    def _submit(self) -> None:
        if not self._waiting or time.monotonic() < self._retry:
            return
        stages: tuple[Stage, Stage] = ("train", "profile")
        for stage in stages:
            batch = [running for running in self._waiting if running.job.stage == stage]
            for begin in range(0, len(batch), self._longest_array):
                if not self._submit_array(stage, batch[begin : begin + self._longest_array]):
                    self._retry = time.monotonic() + 4 * SECONDS_BETWEEN_LOOKS[1]
                    return
        self._next_look = min(self._next_look, time.monotonic() + SECONDS_BETWEEN_LOOKS[0])

    def _submit_array(self, stage: Stage, batch: list[SlurmRunning]) -> bool:
        """Whether the cluster has taken it. Raises LaunchError where it refuses and nothing of ours is there whose end
        could change that."""
        key = f"bench-{re.sub('[^A-Za-z0-9-]', '-', self.results.name)[:30]}-{stage}-{uuid.uuid4().hex[:10]}"
        self._write(
            "intent",
            key,
            stage=stage,
            cells=[Handed(cell=each.job.cell.id, attempt=each.job.attempt) for each in batch],
        )
        for index, running in enumerate(batch):
            running.key, running.index, running.doing = key, index, "submitted"
        executor = executor_of(self.options, self.results / FOLDER / key, key, stage, self.limit)
        why = ""
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # it is in the exception, too
                jobs = executor.map_array(node.work, [self._assignment(each) for each in batch])
            self._write("accepted", key, job=jobs[0].job_id.partition("_")[0])
        except OSError:
            raise
        except Exception as error:  # submitit has several for it
            why = one_line(error)
        if why and not self._was_accepted(key):
            for running in batch:
                running.key, running.doing = "", "to be submitted"
            if all(not each.key for each in self.running.values()):
                raise LaunchError(f"the cluster takes no jobs: {why}")
            self.tell(f"the cluster takes no more jobs for now: {why}")
            return False
        self._waiting = [running for running in self._waiting if not running.key]
        return True

    def _was_accepted(self, key: str) -> bool:
        """After an error, which may have been one of the answer alone."""
        try:
            return self._resolve(Submission(key, "train", []), queue.queue())
        except NoAnswer as error:
            raise LaunchError(f"{error}; the next run sees whether the last jobs were submitted") from None

    def _assignment(self, running: SlurmRunning) -> str:
        task = Assignment(
            key=running.key, index=running.index, job=running.job, limit=self.limit, modules=self.modules,
            work=self.work,
        )  # fmt: skip
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
            return End(f"{name} failed (FAILED) and left no record; `{FOLDER}/*/{job}_0_log.out` has what it printed")
        case "COMPLETED":
            return End(f"{name} ended (COMPLETED) and left no record")
    return End(
        f"{name} was last seen {state}, and left the cluster without a record or a trace in its account",
        ATTEMPTS_WHEN_LOST,
    )


def executor_of(options: SlurmOptions, folder: Path, key: str, stage: Stage, limit: float | None) -> SlurmExecutor:
    """What submits an array of one stage. Raises LaunchError where this machine cannot."""
    if "%" in str(folder):
        raise LaunchError("a folder whose path has a % in it is none for Slurm, which puts a job's number there")
    try:
        from submitit import SlurmExecutor

        executor = SlurmExecutor(folder, python=f"{shlex.quote(options.python or sys.executable)} -P")
        minutes = options.minutes(limit)
    except ImportError:
        raise LaunchError("submitting to Slurm needs submitit: pip install submitit") from None
    except (RuntimeError, ValueError) as error:
        raise LaunchError(one_line(error)) from None
    asked = {
        "partition": options.partition, "account": options.account, "qos": options.qos, "mem": options.memory,
        "gpus_per_node": options.gpus, "cpus_per_task": options.cpus, "setup": options.setup or None,
        "array_parallelism": options.concurrency or 10**6, "exclusive": True if stage == "profile" else None,
    }  # fmt: skip
    executor.update_parameters(
        job_name=key, time=minutes, use_srun=False, stderr_to_stdout=True,
        additional_parameters={"requeue": True} | options.extra,
        **{name: value for name, value in asked.items() if value is not None},
    )  # fmt: skip
    return executor


def hand_over(folder: Path, job: str, assignment: str) -> None:
    """Puts a job's orders where submitit looks for them, unless they are there. Raises OSError."""
    from submitit.core.utils import DelayedSubmission, JobPaths

    path = JobPaths(folder, job_id=job).submitted_pickle
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        following = path.with_suffix(".next")
        DelayedSubmission(node.work, assignment).dump(following)
        following.replace(path)


def script(options: SlurmOptions, results: Path, stage: Stage, count: int, limit: float | None) -> str:
    """What would be submitted for an array of `count` jobs. Raises LaunchError."""
    executor = executor_of(options, results / FOLDER / "<key>", "<key>", stage, limit)
    if count > 1:
        executor.parameters["map_count"] = count
    # submitit shows a script to nobody before it submits it.
    return str(executor._make_submission_file_text(executor._submitit_command_str, ""))

"""Has a suite read by a job of the cluster, where this machine lacks what that takes."""

from __future__ import annotations

import contextlib
import io
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from bench.cluster_options import SlurmOptions
from bench.launchers import queue
from bench.launchers.base import LaunchError
from bench.launchers.journal import FOLDER
from bench.launchers.slurm import SECONDS_BETWEEN_LOOKS, SECONDS_TO_BE_SEEN, end_of_state
from bench.launchers.submission import executor_of
from bench.resolved_suite import ResolvedSuite
from bench.suite import Suite, SuiteError
from records import files
from records.text import one_line

# Of the imports, and a look at its backbones; a cluster asks how long a job takes.
SECONDS_TO_READ = 20 * 60.0


class Reply(BaseModel):
    """What such a job writes: the suite, or what is wrong with it."""

    suite: ResolvedSuite | None = None
    fault: str | None = None


def read_suite(path: str, reply: str) -> None:
    """The job's side: reads a suite, and writes what came of it."""
    try:
        found = Reply(suite=ResolvedSuite.of(Suite.load(path)))
    except SuiteError as error:
        found = Reply(fault=str(error))
    files.write_atomically(Path(reply), found.model_dump_json())


def read_on_cluster(path: str, results: Path, options: SlurmOptions, tell: Callable[[str], None]) -> ResolvedSuite:
    """Submits a job that reads the suite, and waits for it; an interrupt cancels it. Raises LaunchError, and SuiteError
    where the suite is wrong."""
    key = f"bench-suite-{uuid.uuid4().hex[:10]}"
    folder = results / FOLDER / key
    executor = executor_of(
        options.model_copy(update={"gpus": None, "time": None}), folder, key, "train", SECONDS_TO_READ
    )
    reply = folder / "reply.json"
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            job = executor.submit(read_suite, path, str(reply)).job_id
    except OSError:
        raise
    except Exception as error:  # submitit has several for it
        raise LaunchError(f"the cluster takes no jobs: {one_line(error)}") from None
    tell(f"there is no torch here: job {job} reads the suite on the cluster")
    try:
        found = Reply.model_validate_json(_wait(key, reply))
    except BaseException:
        with contextlib.suppress(queue.NoAnswer):
            queue.cancel(job)
        raise
    if found.suite is None:
        raise SuiteError(found.fault or "the suite cannot be read")
    return found.suite


def _wait(key: str, reply: Path) -> bytes:
    gone: float | None = None
    seen = None
    while True:
        time.sleep(SECONDS_BETWEEN_LOOKS[0])
        with contextlib.suppress(FileNotFoundError):
            return reply.read_bytes()
        with contextlib.suppress(queue.NoAnswer):
            seen = queue.queue().get((key, 0))
            gone = (gone or time.monotonic()) if seen is None or seen.ended else None
        patience = SECONDS_TO_BE_SEEN if seen is None or seen.state == "COMPLETED" else SECONDS_BETWEEN_LOOKS[1]
        if gone is not None and time.monotonic() - gone > patience:
            raise LaunchError(f"the suite was not read: {end_of_state(seen, SlurmOptions()).reason}")

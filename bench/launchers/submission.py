"""How an array of jobs is submitted: all that this house knows of submitit."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cluster_options import SlurmOptions
from bench.job import Stage
from bench.launchers import node
from bench.launchers.base import LaunchError
from bench.launchers.journal import FOLDER
from records.text import one_line

if TYPE_CHECKING:
    from submitit import SlurmExecutor


class Refused(Exception):
    """A submission was not answered well; the message is one line. The cluster may have it nevertheless."""


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


def submit(executor: SlurmExecutor, assignments: Sequence[str]) -> str:
    """Submits an array, or a single job, and returns its number. Raises Refused, and OSError where the disk refuses."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it is in the exception, too
            jobs = executor.map_array(node.work, assignments)
    except OSError:
        raise
    except Exception as error:  # submitit has several for it
        raise Refused(one_line(error)) from None
    return str(jobs[0].job_id.partition("_")[0])


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

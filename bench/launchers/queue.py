"""What a Slurm cluster says of its jobs. They are found by name, which is the key of their submission, so that also
those are found whose submission was never answered."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from records.text import one_line

# The states in which a job has ended for good (`man squeue`, JOB STATE CODES). Every other is of one that may still
# run, those that are requeued or held included.
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
# That of a job whose processes are being ended; what follows may be an end, or a place in the queue again.
COMPLETING = "COMPLETING"
SECONDS_TO_ANSWER = 60


class NoAnswer(Exception):
    """The cluster does not say how its jobs stand; the message is one line. It says nothing of the jobs themselves."""


@dataclass(frozen=True)
class Seen:
    """A job as the cluster shows it: its id (`17`, or `17_4` in an array), its state, and why it waits."""

    job: str
    state: str
    why: str = ""

    @property
    def ended(self) -> bool:
        """Whether it will not run again."""
        return self.state in ENDED


Jobs = dict[tuple[str, int], Seen]


def queue() -> Jobs:
    """My jobs by name and index in their array, those included that ended minutes ago. Raises NoAnswer."""
    said = ask("squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%j|%T|%r")
    return _read(line.split("|", 3) for line in said.splitlines())


def account(names: Iterable[str]) -> Jobs:
    """What the cluster remembers of jobs with these names that the queue shows no longer. Nothing where it keeps no
    account of them."""
    try:
        said = ask(
            "sacct", "--noheader", "--parsable2", "--allocations", f"--name={','.join(names)}",
            "--starttime=now-30days", "--format=JobID,JobName,State",
        )  # fmt: skip
    except NoAnswer:
        return {}
    return _read([*line.split("|"), ""] for line in said.splitlines())


def cancel(*jobs: str) -> None:
    """Ends jobs by their ids, waiting or running. Raises NoAnswer."""
    for begin in range(0, len(jobs), 500):
        ask("scancel", *jobs[begin : begin + 500])


def longest_array() -> int:
    """How many jobs an array may have here."""
    try:
        said = ask("scontrol", "show", "config")
        [value] = [line.partition("=")[2] for line in said.splitlines() if line.startswith("MaxArraySize")]
        return max(1, int(value) - 1)
    except (NoAnswer, ValueError):
        return 1000  # Slurm's own default


def ask(*command: str) -> str:
    """What a command of Slurm prints. Raises NoAnswer."""
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS_TO_ANSWER, check=True
        )
    except FileNotFoundError:
        raise NoAnswer(f"{command[0]} is not on the path: this is no machine of a Slurm cluster") from None
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{command[0]} did not answer within {SECONDS_TO_ANSWER} s") from None
    except subprocess.CalledProcessError as error:
        raise NoAnswer(one_line(f"{command[0]}: {error.stderr.strip() or f'status {error.returncode}'}")) from None
    except OSError as error:
        raise NoAnswer(f"{command[0]}: {error.strerror}") from None
    return found.stdout


def _read(rows: Iterable[list[str]]) -> Jobs:
    found: Jobs = {}
    for row in rows:
        if len(row) != 4:
            continue
        job, name, state, why = (part.strip() for part in row)
        _, _, index = job.partition("_")
        if index and not index.isdecimal():  # a range of an array that none of them has left yet
            continue
        words = state.split()  # `CANCELLED by 1000`
        seen = Seen(job, words[0].rstrip("+") if words else "", "" if why in ("None", "(null)") else why)
        before = found.get((name, int(index or 0)))
        if before is None or before.ended:
            found[name, int(index or 0)] = seen
    return found

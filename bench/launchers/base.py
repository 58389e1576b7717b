"""What the scheduler asks of a launcher, whichever machine runs the cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from records import files

if TYPE_CHECKING:
    from bench.job import Job

# A log is cut when it is twice as long as what is kept of it.
LONGEST_LOG = 4 * files.LOG_END


class LaunchError(Exception):
    """Jobs cannot be started here; the message is one line."""


@dataclass(frozen=True)
class Slot:
    """What one running cell occupies: a GPU, or `threads` of the cores."""

    index: int
    threads: int
    environ: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """How a job has ended: the reason, should it have left no record, and up to how many attempts in all it is worth
    then."""

    reason: str
    attempts: int = 1


class Running(Protocol):
    """A job that was started and has not ended. It may be `queued` still. `done` of `total` steps of what it is `doing`
    are made; `refused` says why its record could not be written, as (errno, message), `overdue` that it was ended for
    its time."""

    @property
    def job(self) -> Job:
        """What it does."""

    queued: bool
    done: int
    total: int
    doing: str
    refused: tuple[int, str] | None
    overdue: bool

    @property
    def seconds(self) -> float:
        """How long it has been running."""

    @property
    def silent(self) -> float:
        """Seconds since it was last heard of."""

    def kill(self) -> None:
        """Ends it, and what it has started."""


class Launcher(Protocol):
    """Starts jobs and says what becomes of them. `remote` is one whose jobs run on other machines: they are watched
    there, and it gives a cost profile a machine to itself. Else the scheduler does both."""

    remote: bool

    @property
    def running(self) -> Mapping[int, Running]:
        """By the index of their slots."""

    def begin(self, results: Path) -> None:
        """Called once, before any record is read, by whoever holds the folder's lock. Raises LaunchError."""

    def start(self, job: Job, slot: Slot) -> None:
        """Starts a job, or finds it started by an earlier run. Raises LaunchError."""

    def wait(self, timeout: float) -> Iterator[tuple[Running, End]]:
        """Waits up to `timeout` seconds for news; yields every job that has ended. Raises LaunchError."""

    def stop(self) -> None:
        """Called at the end of a run, whatever ended it."""

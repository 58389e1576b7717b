"""Cells that wait to be trained, and which of them is next."""

from __future__ import annotations

from collections.abc import Iterator

from bench.job import Job
from records.cell import Cell
from records.record import Record

# Of so many for each slot the longest comes first. More would do little for the end of a run, and leave one that is cut
# short with fewer whole comparisons.
LAST = 4


class Waiting:
    """In the order in which they came; but of the last ones, if it is known of all how long another seed of theirs
    took, the longest first: a long one that starts last is waited for by all slots but its own (Graham 1969, Bounds on
    multiprocessing timing anomalies)."""

    def __init__(self, slots: int) -> None:
        self._last = LAST * slots
        self._jobs: list[Job] = []
        self._took: dict[tuple[str, str, str], float] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def append(self, job: Job) -> None:
        """Comes after all others."""
        self._jobs.append(job)

    def learn(self, record: Record) -> None:
        """Takes note of how long a cell took."""
        self._took[_key(record.cell)] = record.seconds

    def popleft(self) -> Job:
        """The next, which no longer waits. Raises IndexError where there is none."""
        keys = [_key(job.cell) for job in self._jobs[: self._last + 1]]
        if len(keys) > self._last or not self._took.keys() >= set(keys):
            return self._jobs.pop(0)
        took = [self._took[key] for key in keys]
        return self._jobs.pop(took.index(max(took)) if took else 0)


def _key(cell: Cell) -> tuple[str, str, str]:
    """What cells of a suite share that differ in their seed alone: there a label is one configuration."""
    return cell.backbone, cell.label, cell.task

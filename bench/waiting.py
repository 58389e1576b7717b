"""Cells that wait to be trained, and which of them is next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.job import Job
from records.cell import Cell
from records.record import Record

# So many for each slot are the last ones. More would do little for the end of a run, and leave one that is cut short
# with fewer whole comparisons.
LAST = 4


class Waiting:
    """In the order in which they came; but the last ones, if it is known of all how long another seed of theirs took,
    such that all slots end together: a long one that starts last is waited for by all the others."""

    def __init__(self, slots: int) -> None:
        """Of so many slots; with one there is nothing to be shared out."""
        self._slots = slots
        self._last = LAST * slots if slots > 1 else 0
        self._jobs: list[tuple[str, Job]] = []
        self._took: dict[str, float] = {}

    def __iter__(self) -> Iterator[Job]:
        return (job for _, job in self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def append(self, job: Job) -> None:
        """Comes after all others."""
        self._jobs.append((job.cell.configuration, job))

    def learn(self, record: Record) -> None:
        """Takes note of how long a cell took; of one that failed, if nothing better is known."""
        if record.status == "failed":
            self._took.setdefault(record.cell.configuration, record.seconds)
        else:
            self._took[record.cell.configuration] = record.seconds

    def popleft(self, busy: Sequence[tuple[Cell, float]] = ()) -> Job:
        """The next for a slot that is free, which no longer waits. `busy` has what other slots are at, and for how many
        seconds already. Raises IndexError where none waits."""
        if len(self) > self._last:
            return self._jobs.pop(0)[1]
        # What is tried once more has met a shortage, which may have passed when all others have had their turn.
        waiting = {at: key for at, (key, job) in enumerate(self._jobs) if job.attempt == 1}
        running = [(cell.configuration, seconds) for cell, seconds in busy]
        if not waiting or not self._took.keys() >= {*waiting.values(), *(key for key, _ in running)}:
            return self._jobs.pop(0)[1]
        left = [max(0.0, self._took[key] - seconds) for key, seconds in running]
        took = {at: self._took[key] for at, key in waiting.items()}
        slot_of = shared_out(list(took.values()), [0.0] * (self._slots - len(left)) + left)
        ours = [at for at, slot in zip(took, slot_of, strict=True) if slot == 0]
        return self._jobs.pop(max(ours, key=lambda at: took[at]))[1]


def shared_out(took: Sequence[float], free: Sequence[float]) -> list[int]:
    """The slot of each job that takes so many seconds, where slots are `free` in so many, such that the last ends
    early: the longest jobs first to whichever is free first (Graham 1969, Bounds on multiprocessing timing anomalies:
    with all free at once it takes at most a third more than the best), then what ends last changes with others until
    that does not help."""
    ends, slot_of = list(free), [0] * len(took)
    for job in sorted(range(len(took)), key=lambda job: -took[job]):
        slot_of[job] = ends.index(min(ends))
        ends[slot_of[job]] += took[job]
    while change := _change(took, ends, slot_of):
        for job, slot in change:
            ends[slot_of[job]] -= took[job]
            ends[slot] += took[job]
            slot_of[job] = slot
    return slot_of


def _change(took: Sequence[float], ends: Sequence[float], slot_of: Sequence[int]) -> list[tuple[int, int]]:
    """Of the slot that ends last one job to another slot, maybe for one from there, where that helps most; each with
    its new slot. Empty where none helps."""
    last = ends.index(max(ends))
    best, found = ends[last] - 1e-6, list[tuple[int, int]]()
    others: list[tuple[int | None, int]] = [*((None, slot) for slot in range(len(ends))), *enumerate(slot_of)]
    for job in (job for job, slot in enumerate(slot_of) if slot == last):
        for other, slot in others:
            if slot != last:
                more = took[job] - (0 if other is None else took[other])
                end = max(ends[last] - more, ends[slot] + more)
                if end < best:
                    best, found = end, [(job, slot), *([] if other is None else [(other, last)])]
    return found

"""One injection at a time: a run with a fault, runs until all is done, and whether the end is that of an undisturbed
run."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from records.record import Record
from records.store import RecordStore, ResultsError
from tests.faults.cells import DIES
from tests.faults.points import Fault
from tests.faults.runs import Ended, Left, Place, finished, left

# Runs after the disturbed one: the first may still meet what that has left.
MOST_RUNS = 3
NOTHING: Callable[[Place], object] = lambda place: None  # noqa: E731


@dataclass(frozen=True)
class Injection:
    """One of a `kind`: a `fault` at a point of the first run, or `damage` to a folder whose run was cut short, before
    it. `setting` is called in every run's process; `beside` starts something beside the first run, and says what of
    that is wrong. `mends` is what a user does who has read what the first run said. What is `orphaned` may outlive a
    scheduler that was killed, until the next run."""

    kind: str
    fault: Fault | None = None
    damage: Callable[[Place], object] | None = None
    setting: Callable[[], None] = lambda: None
    beside: Callable[[Place], Iterator[str]] | None = None
    mends: Callable[[Place], object] = NOTHING
    own_cell_only: bool = False
    orphaned: bool = False
    reason: str = ""


@dataclass
class Outcome:
    """What came of one of a `kind`: what became of the disturbed run, in words, and what is `wrong`. One that was not
    `reached` is none: the run had fewer such calls."""

    kind: str
    became: str
    reached: bool = True
    wrong: list[str] = field(default_factory=list)
    said: str = ""


@dataclass(frozen=True)
class Campaign:
    """`whole` is the place of an undisturbed run, of which `left` says what it has left behind."""

    whole: Place
    left: Left
    cache: list[str]

    @classmethod
    def begin(cls, folder: Path) -> Campaign:
        """Makes the undisturbed run. Raises AssertionError where that goes wrong."""
        whole = Place(folder / "undisturbed")
        ended = whole.run()
        assert ended.status == 1, ended.said  # of one cell, which always ends itself
        found = left(whole.results)
        assert len(found.records) == 4 and len(finished(whole.results)) == 3, ended.said
        return cls(whole, found, _names(whole.folder / "cache"))

    def inject(self, injection: Injection) -> Outcome:
        """A run with the fault, and all that follows."""
        with tempfile.TemporaryDirectory(prefix="fault-", dir=self.whole.folder.parent) as folder:
            place = Place(Path(folder) / "place", before=injection.setting)
            if injection.damage is not None:
                shutil.copytree(self.whole.folder, place.folder, symlinks=True)
                injection.damage(place)
            outcome = self._disturbed(injection, place)
            if outcome.reached:
                self._go_on(injection, place, outcome)
            return outcome

    def _disturbed(self, injection: Injection, place: Place) -> Outcome:
        process = place.start(injection.fault)
        beside = list(injection.beside(place)) if injection.beside is not None else []
        ended = place.end(process)
        outcome = Outcome(injection.kind, _became(ended, place), wrong=beside, said=ended.said)
        if injection.fault is not None and not place.done.exists():
            outcome.reached = False
            return outcome
        outcome.wrong += _wrong_of_a_run(ended, place, injection.orphaned)
        records = _records(place)
        outcome.wrong += [f"{each.cell} has failed without a reason" for each in records if _unsaid(each)]
        if injection.own_cell_only and injection.fault is not None:
            harmed = [each for each in records if each.status == "failed" and each.cell.label != DIES]
            seeds = {each.cell.seed for each in harmed}
            if ended.status != 1 or len(records) != 4 or not seeds <= {injection.fault.cell}:
                outcome.wrong.append(f"more than its own cell was harmed: {seeds or ended.last}")
            if injection.reason and not any(injection.reason in (each.reason or "") for each in harmed):
                outcome.wrong.append(f"the reason is not {injection.reason!r} but {[each.reason for each in harmed]}")
        return outcome

    def _go_on(self, injection: Injection, place: Place, outcome: Outcome) -> None:
        before = finished(place.results)
        injection.mends(place)
        for _ in range(MOST_RUNS):
            ended = place.run()
            outcome.said += f"--- again: {ended.status}\n{ended.said}"
            outcome.wrong += [f"a later run: {each}" for each in _wrong_of_a_run(ended, place)]
            if ended.status == 1 and len(finished(place.results)) == 3:
                break
        try:
            now = left(place.results)
        except (ResultsError, AssertionError) as error:
            outcome.wrong.append(f"no results at the end: {error}")
            return
        after = finished(place.results)
        outcome.wrong += [
            f"{cell} was finished, and was computed again" for cell in before if after.get(cell) != before[cell]
        ]
        outcome.wrong += _differences(now, self.left)
        if (names := _names(place.folder / "cache")) != self.cache:
            outcome.wrong.append(f"left in the cache: {names}")


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def _records(place: Place) -> list[Record]:
    try:
        return list(RecordStore(place.results).records())
    except ResultsError:
        return []


def _unsaid(record: Record) -> bool:
    return record.status == "failed" and not record.reason


def _wrong_of_a_run(ended: Ended, place: Place, orphaned: bool = False) -> list[str]:
    wrong = []
    if ended.status is None:
        wrong.append("the run hung")
    if "Traceback" in ended.said:
        wrong.append("a traceback was printed")
    if not orphaned:
        wrong += [f"process {each.pid} was left: {each.name()}" for each in place.left_running()]
    if ended.status not in (0, 1, None) and ended.status > 0:
        wrong.append(f"the run ended with status {ended.status}")
    return wrong


def _became(ended: Ended, place: Place) -> str:
    """Of a disturbed run, in words."""
    if ended.status is None:
        return "it hung"
    if ended.status < 0:
        return "it was killed"
    if ended.last.startswith("bench: "):
        return "it ended in one line"
    if "interrupted; finished cells are kept" in ended.said:
        return "it was interrupted"
    records = _records(place)
    if any(each.status == "failed" and each.cell.label != DIES for each in records):
        return "it went on, and a cell failed with the reason"
    if any(each.status == "trained" for each in records):
        return "it went on, and a cost profile failed with the reason"
    if any(each.attempts > 1 for each in records):
        return "it went on, and a cell was tried again"
    return "it went on, and nothing was lost"


def _differences(now: Left, whole: Left) -> Iterator[str]:
    for name, ours, theirs in (("records", now.records, whole.records), ("files", now.files, whole.files)):
        if more := sorted(ours.keys() - theirs.keys()):
            yield f"there are more {name}: {more}"
        if less := sorted(theirs.keys() - ours.keys()):
            yield f"{name} are lacking: {less}"
        for key in sorted(ours.keys() & theirs.keys()):
            if ours[key] != theirs[key]:
                yield f"{name}: {key} is another: {ours[key][:300]} instead of {theirs[key][:300]}"


def reached(campaign: Campaign, make: Callable[[int], Injection], number: int, drawn: random.Random) -> Outcome:
    """With the point drawn again, among earlier ones, as long as the run ends before it."""
    while True:
        outcome = campaign.inject(make(number))
        if outcome.reached or number == 1:
            return outcome
        number = drawn.randrange(1, number)

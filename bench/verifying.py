"""Whether what cells have kept holds: a loaded state gives the recorded predictions again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.failures import EXPECTED
from bench.keeping import BrokenState, predictions_of, state_from_bytes
from bench.lifeline import silent
from bench.origin import Origin
from bench.worker import CellRun, quieten
from records.predictions import Predictions
from records.record import Record
from records.store import RecordStore, ResultsError


@dataclass(frozen=True)
class Verified:
    """What came of a cell: how many of its `examples` were answered as recorded, how far `apart` probabilities (or
    likelihoods) of an answer lie at most, None where there are none; or why that could not be tried."""

    record: Record
    examples: int = 0
    same: int = 0
    apart: float | None = None
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether every answer was given again."""
        return not self.reason and self.same == self.examples


def verify(store: RecordStore, cells: tuple[str, ...] = ()) -> Iterator[Verified]:
    """Loads the state of every cell that has kept one (of the given ones) into a fresh backbone, asks it the test
    examples again, and compares its answers with the recorded. Nothing is written. Raises ResultsError where the folder
    holds no results."""
    quieten()
    origin = Origin(store)
    for record in store.records():
        wanted = record.id in cells if cells else "state.safetensors" in record.kept
        if not wanted:
            continue
        try:
            recorded = store.predictions(record)
            if recorded is None:
                yield Verified(record, reason="has no predictions to compare with")
                continue
            again = predict_again(origin, record)
        except (ResultsError, BrokenState, *EXPECTED) as error:
            yield Verified(record, reason=str(error))
            continue
        yield Verified(record, len(recorded), same_answers(recorded, again), _apart(recorded, again))


def predict_again(origin: Origin, record: Record) -> Predictions:
    """What a cell's kept state answers on its test examples. Raises ResultsError where none was kept, BrokenState, and
    what loading a cell raises."""
    data = origin.store.kept(record, "state.safetensors")
    if data is None:
        raise ResultsError("has no state to load")
    with silent() as line:
        cell_run = CellRun(origin.job(record.id), line)
        anatomy = cell_run.restored(state_from_bytes(data), record.data.steps if record.data else 0)
        prepared = cell_run.prepared()
        found, asked = cell_run.test(anatomy.model, prepared)
        return predictions_of(prepared.form.task, asked, found, record.test)


def same_answers(recorded: Predictions, again: Predictions) -> int:
    """How many examples are answered alike; numbers, to within what the order of a sum changes."""
    answers = dict(zip(again.examples, again.predictions, strict=True))
    pairs = zip(recorded.examples, recorded.predictions, strict=True)
    return sum(_alike(given, answers.get(example)) for example, given in pairs)


def _apart(recorded: Predictions, again: Predictions) -> float | None:
    found = []
    for name in ("probabilities", "likelihoods"):
        rows = dict(zip(again.examples, getattr(again, name), strict=False))
        pairs = zip(recorded.examples, getattr(recorded, name), strict=False)
        found += [abs(a - b) for example, row in pairs for a, b in zip(row, rows.get(example, ()), strict=False)]
    return max(found, default=None)


def _alike(one: object, other: object) -> bool:
    """Numbers may differ by the order in which they were summed."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-3 * max(1.0, abs(one))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return one == other

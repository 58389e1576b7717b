"""Whether what cells have kept holds: a loaded state gives the recorded predictions again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.again import again
from bench.failures import EXPECTED
from bench.keeping import BrokenState, predictions_of, state_from_bytes
from bench.origin import Origin
from records.predictions import Predictions
from records.record import Record
from records.store import RecordStore, ResultsError

# How far what is computed in a precision may lie from the same computed in another order, or by another processor: a
# unit of bf16's eight bits, and what layers make of one of fp32's twenty-four.
ROUNDING = {"bf16": 2.0**-8, "no": 1e-4}


class Compared(NamedTuple):
    """Of the recorded answers, how many are given again, and how many are `tied` instead: another label, as probable
    in the record as the given one, but for rounding."""

    same: int
    tied: int


NONE = Compared(0, 0)


@dataclass(frozen=True)
class Verified:
    """What came of a cell: how many of its `examples` were answered as recorded, or are tied; how far `apart`
    probabilities (or likelihoods) of an answer lie at most, None where there are none; or why that could not be
    tried."""

    record: Record
    examples: int = 0
    compared: Compared = NONE
    apart: float | None = None
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether every answer was given again, or is tied with the recorded one."""
        return not self.reason and sum(self.compared) == self.examples


def verify(store: RecordStore, cells: tuple[str, ...] = ()) -> Iterator[Verified]:
    """Loads the state of every cell that has kept one (of the given ones) into a fresh backbone, asks it the test
    examples again, and compares its answers with the recorded. Nothing is written. Raises ResultsError where the folder
    holds no results."""
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
            given = predict_again(origin, record)
        except (ResultsError, BrokenState, *EXPECTED) as error:
            yield Verified(record, reason=str(error))
            continue
        yield Verified(record, len(recorded), compare(record, recorded, given), _apart(recorded, given))


def predict_again(origin: Origin, record: Record) -> Predictions:
    """What a cell's kept state answers on its test examples. Raises ResultsError where none was kept, BrokenState, and
    what loading a cell raises."""
    data = origin.store.kept(record, "state.safetensors")
    if data is None:
        raise ResultsError("has no state to load")
    with again(origin, record) as cell_run:
        anatomy = cell_run.restored(state_from_bytes(data), record.data.steps if record.data else 0)
        prepared = cell_run.prepared()
        found, asked = cell_run.test(anatomy.model, prepared)
        return predictions_of(prepared.form.task, asked, found, record.test)


def compare(record: Record, recorded: Predictions, given: Predictions) -> Compared:
    """A record's answers with those `given` again; numbers agree to within ROUNDING in the record's precision."""
    rounding = ROUNDING.get(str(record.environment.get("precision")), ROUNDING["no"])
    places = {example: place for place, example in enumerate(given.examples)}
    same = tied = 0
    for place, example in enumerate(recorded.examples):
        if (other := places.get(example)) is None:
            continue
        answer, new = recorded.predictions[place], given.predictions[other]
        if _alike(answer, new, rounding):
            same += 1
        elif recorded.probabilities and given.probabilities:
            tied += _tied(recorded.probabilities[place], given.probabilities[other], answer, new, rounding)
    return Compared(same, tied)


def _tied(recorded: list[float], given: list[float], answer: Any, new: Any, rounding: float) -> bool:
    """Whether the probabilities are the recorded ones, and the two answers' among those as good as equal."""
    if len(recorded) != len(given) or not all(isinstance(a, int) and 0 <= a < len(recorded) for a in (answer, new)):
        return False
    moved = max(abs(a - b) for a, b in zip(recorded, given, strict=True))
    return moved <= rounding and abs(recorded[answer] - recorded[new]) <= 2 * rounding


def _apart(recorded: Predictions, given: Predictions) -> float | None:
    found = []
    for name in ("probabilities", "likelihoods"):
        rows = dict(zip(given.examples, getattr(given, name), strict=False))
        pairs = zip(recorded.examples, getattr(recorded, name), strict=False)
        found += [abs(a - b) for example, row in pairs for a, b in zip(row, rows.get(example, ()), strict=False)]
    return max(found, default=None)


def _alike(one: object, other: object, rounding: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= rounding * max(1.0, abs(one))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_alike(a, b, rounding) for a, b in zip(one, other, strict=True))
    return one == other

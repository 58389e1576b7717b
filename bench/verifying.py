"""Whether what cells have kept holds: a loaded state gives the recorded predictions again."""

from __future__ import annotations

import math
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

# How far the log-odds of two labels may move where the same is computed in another order, or by another processor: two
# steps of a logit between 4 and 8 in bf16 (2⁻⁵ each), and what layers make of those of fp32 (2⁻²¹).
ODDS = {"bf16": 2.0**-4, "no": 2.0**-12}
# The same for numbers that a head gives, as a share of what is larger than 1; of sums over a text, whose steps even
# out, the second.
NUMBERS = {"bf16": 2.0**-6}
SUMS = 1e-3
# Of the answers, as a share: where more are tied, the model itself may be another one.
MOST_TIED = 0.05


class Compared(NamedTuple):
    """Of the recorded answers, how many are given again, and how many are `tied` instead: another label, which is as
    probable as the recorded one, but for rounding, by what was recorded and by what is given."""

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
        """Whether every answer was given again, or, of a few, is tied with the recorded one."""
        few = max(1, int(MOST_TIED * self.examples))
        return not self.reason and sum(self.compared) == self.examples and self.compared.tied <= few


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
    """A record's answers with those `given` again. Numbers agree to within what the record's precision rounds; ties are
    told of labels whose probabilities are kept, those of a head."""
    precision = str(record.environment.get("precision") or record.cell.precision)
    number = SUMS if recorded.kind == "language modelling" else NUMBERS.get(precision, SUMS)
    places = {example: place for place, example in enumerate(given.examples)}
    same = tied = 0
    for place, example in enumerate(recorded.examples):
        if (other := places.get(example)) is None:
            continue
        answer, new = recorded.predictions[place], given.predictions[other]
        if _alike(answer, new, number):
            same += 1
        elif recorded.probabilities and given.probabilities:
            rows = recorded.probabilities[place], given.probabilities[other]
            tied += all(_tied(row, answer, new, ODDS.get(precision, ODDS["no"])) for row in rows)
    return Compared(same, tied)


def _tied(probabilities: list[float], one: Any, other: Any, odds: float) -> bool:
    """Whether two labels are as probable as each other."""
    if not all(isinstance(label, int) and 0 <= label < len(probabilities) for label in (one, other)):
        return False
    low, high = sorted((probabilities[one], probabilities[other]))
    return low > 0 and math.log(high / low) <= odds


def _apart(recorded: Predictions, given: Predictions) -> float | None:
    found = []
    for name in ("probabilities", "likelihoods"):
        rows = dict(zip(given.examples, getattr(given, name), strict=False))
        pairs = zip(recorded.examples, getattr(recorded, name), strict=False)
        found += [abs(a - b) for example, row in pairs for a, b in zip(row, rows.get(example, ()), strict=False)]
    return max(found, default=None)


def _alike(one: object, other: object, number: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= number * max(1.0, abs(one))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_alike(a, b, number) for a, b in zip(one, other, strict=True))
    return one == other

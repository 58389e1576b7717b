"""What papers claim of their methods, held against what a results folder measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from reports.frame import Results

Outcome = Literal["supported", "contradicted", "inconclusive", "not testable here"]


@dataclass(frozen=True)
class Verdict:
    """One claim about one label on one backbone.

    `claim` is the card's claim as plain data. `effect`, `low` and `high` are in `unit` and ready to print:
    "points" (already times 100) for a difference in score, "ratio" for the measure over the comparator's. The
    interval covers `level`; for counted measures it is the range over the pairs. `n` is the number of pairs,
    `p` the one-sided p-value of the outcome, Holm-corrected over all tested claims (None where none was made).
    `measured` is one plain sentence of what was measured, `caveat` what limits it, `cells` the ids of the records.
    """

    label: str
    method: str
    backbone: str
    claim: dict[str, Any]
    verdict: Outcome
    effect: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    measured: str
    caveat: str
    cells: tuple[str, ...]
    level: float = 0.9
    p: float | None = None


def assess(results: Results) -> list[Verdict]:
    """A verdict for every claim of every label's card, in the suite's order."""
    return []

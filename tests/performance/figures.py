"""What a part of `make performance` has measured, and how it is measured: what is compared is timed in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

# Not that of tests.conftest, which has every process that it starts compute on one core.
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

Action = Callable[[], Any]
Round = dict[str, float]


class Figure(NamedTuple):
    """`per` is the cost of one of what was measured, `target` what was promised; either may be empty."""

    what: str
    value: str
    per: str = ""
    target: str = ""


@dataclass
class Table:
    """A table of the page, which says what it measures in `about`, and in `notes`, a paragraph each, what came of it.
    Rows are printed as they come."""

    about: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """A row, of a cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)
        print(" · ".join(filter(None, cells)), flush=True)

    def note(self, text: str) -> None:
        """A paragraph after the table."""
        self.notes.append(text)
        print(text, flush=True)


def of_figures(figures: Iterable[Figure]) -> list[Table]:
    """One table of them all."""
    table = Table("", ("what", "figure", "each", "target"))
    for figure in figures:
        table.add(*figure)
    return [table]


def per_cell(seconds: float, cells: int) -> str:
    """Of so many cells, each."""
    each = seconds / cells
    return f"{each * 1e6:.0f} µs a cell" if each < 1e-3 else f"{each * 1e3:.2f} ms a cell"


def orders(names: Sequence[str]) -> Iterator[list[str]]:
    """Without end, who comes when: in as many rounds as there are names each is first, in the middle and last equally
    often, and in the next as many they come the other way round."""
    while True:
        for row in (list(names), list(names)[::-1]):
            yield from (row[first:] + row[:first] for first in range(len(row)))


def in_turn(actions: Mapping[str, Action], rounds: int, clock: Callable[[Action], float]) -> list[Round]:
    """The seconds of every action in each of so many rounds, by their names."""
    turns = orders(list(actions))
    return [{name: clock(actions[name]) for name in next(turns)} for _ in range(rounds)]


class Ratio(NamedTuple):
    """Of two actions of the same round: the median of several rounds, and the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, rounds: Sequence[Round], what: str, to: str) -> Ratio:
        """That of one action's seconds to another's."""
        ratios = [each[what] / each[to] for each in rounds]
        return cls(*statistics.quantiles(ratios, n=4, method="inclusive")) if len(ratios) > 1 else cls(*ratios * 3)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"

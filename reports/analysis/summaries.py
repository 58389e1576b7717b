"""Means, spreads and counts of figures over the cells behind them."""

from __future__ import annotations

import pandas as pd

from reports.analysis.statistics import Summary, summarise

Found = tuple[Summary, tuple[str, ...]]


def summary_of(rows: pd.DataFrame, column: str) -> Found:
    """Mean, spread and count of a column, and the ids of the cells they come from."""
    present = rows[rows[column].notna()]
    return summarise(present[column].tolist()), tuple(present.index)


def seeds_of(rows: pd.DataFrame, column: str = "score") -> dict[int, float]:
    """The column by seed, for pairing."""
    present = rows[rows[column].notna()]
    return dict(zip(present["seed"].tolist(), present[column].tolist(), strict=True))


class Summaries:
    """Every figure of every (backbone, task, configuration), each computed once, when it is first asked for."""

    def __init__(self, cells: pd.DataFrame) -> None:
        keys = ["backbone", "task", "label"]
        self._cells = {key: rows for key, rows in cells.groupby(keys, sort=False)} if len(cells) else {}
        self._none = cells.iloc[:0]
        self._found: dict[tuple[str, str, str, str], Found] = {}

    def cells(self, backbone: str, task: str, label: str) -> pd.DataFrame:
        """The rows behind a summary; none of them may be."""
        return self._cells.get((backbone, task, label), self._none)

    def of(self, column: str, backbone: str, task: str, label: str) -> Found:
        """Mean, spread and count over seeds, and the ids of the cells."""
        key = (column, backbone, task, label)
        if key not in self._found:
            self._found[key] = summary_of(self.cells(backbone, task, label), column)
        return self._found[key]

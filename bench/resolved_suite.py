"""A suite that was read elsewhere: all that the scheduler needs of it, as data. Reading one imports its methods, and
with them torch, which the login node of a cluster may lack; this is read anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bench.axes import LeftOut
from bench.suite import Suite
from bench.suite_file import SuiteFile
from records.cards import Cards
from records.cell import Cell
from records.record import CellId


class ResolvedSuite(BaseModel):
    """What stands in for a `Suite`."""

    path: Path
    file: SuiteFile
    cells: dict[CellId, Cell]
    all_cards: Cards
    as_resolved: dict[str, Any]
    plugins: dict[CellId, tuple[Path, ...]]
    imported: list[str]
    noted: list[str]
    left_out: LeftOut = {}

    @classmethod
    def of(cls, suite: Suite | ResolvedSuite) -> ResolvedSuite:
        """Everything of it that is needed to run its cells."""
        if isinstance(suite, ResolvedSuite):
            return suite
        plugins = {cell_id: files for cell_id, cell in suite.cells.items() if (files := suite.plugin_files(cell))}
        return cls(
            path=suite.path, file=suite.file, cells=suite.cells, all_cards=suite.cards(), plugins=plugins,
            as_resolved=suite.resolved(), imported=suite.modules(), noted=suite.notes(),
            left_out=suite.left_out,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The file's, without its ending."""
        return self.path.stem

    def cards(self) -> Cards:
        """The card of everything that takes part."""
        return self.all_cards

    def resolved(self) -> dict[str, Any]:
        """The suite with every default filled in."""
        return self.as_resolved

    def plugin_files(self, cell: Cell) -> tuple[Path, ...]:
        """Those that the cell needs."""
        return self.plugins.get(cell.id, ())

    def modules(self) -> list[str]:
        """Our own modules that its cells will import."""
        return self.imported

    def notes(self) -> list[str]:
        """What of the user's tasks was understood how."""
        return self.noted

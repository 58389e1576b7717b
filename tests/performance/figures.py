"""What a part of `make performance` has measured."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    """`per` is the cost of one of what was measured, `target` what was promised; either may be empty."""

    what: str
    value: str
    per: str = ""
    target: str = ""


def per_cell(seconds: float, cells: int) -> str:
    """Of so many cells, each."""
    each = seconds / cells
    return f"{each * 1e6:.0f} µs a cell" if each < 1e-3 else f"{each * 1e3:.2f} ms a cell"

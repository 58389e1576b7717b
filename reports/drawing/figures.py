"""Names of before; each figure has a file of its own."""

from __future__ import annotations

from reports.drawing.cost import figures as cost
from reports.drawing.curves import figures as curves
from reports.drawing.panels import LABEL_SIZE, drawing_of, grid_of, lay_out, short
from reports.drawing.tradeoff import figures as tradeoff

__all__ = ["LABEL_SIZE", "cost", "curves", "drawing_of", "grid_of", "lay_out", "short", "tradeoff"]

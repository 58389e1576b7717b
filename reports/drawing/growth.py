"""Costs against the size of the backbone."""

from __future__ import annotations

from functools import partial

from records.text import listing
from reports.analysis.growth import Grown, Growth
from reports.drawing import sweeps
from reports.model.document import Figure

_TITLES: dict[Grown, str] = {
    "step": "Step, × the yardstick's",
    "peak": "Peak, % of full's",
    "trained": "Trained, % of backbone",
}


def figure(growth: Growth, key: str) -> Figure:
    """A panel per cost, a line per configuration, or per family where these are many."""
    panels = {_TITLES[name]: list(lines) for name, lines in growth.lines.items()}
    lines = "A line is the median of a family's configurations." if growth.by_family else "A line is a configuration."
    caption = (
        f"Costs against the size of the backbone (log scale), as profiled for {listing(list(growth.tasks))}. {lines}"
    )
    return Figure(
        key=key,
        caption=(caption,),
        alt=f"Line plots of {listing([title.lower() for title in panels])} against the size of the backbone.",
        draw=partial(sweeps.draw, panels, "Parameters of the backbone", ""),
        wide=len(panels) > 1,
    )

"""The five axes of Pfeiffer et al. (2023): their ratings of the three compositions beside measured ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reports.frame import Results

Rating = Literal["++", "+", "−", "−−"]


@dataclass(frozen=True)
class AxisRating:
    """One composition on one axis. `printed` is the survey's rating as we read it; `computed` follows `rule`
    from `value` (in `unit`), the median over `labels`; both None where nothing was measured, and `reason`
    says why. `agreement` compares the two; "same side" means that both are favourable or both are not."""

    backbone: str
    composition: str
    axis: str
    printed: Rating
    computed: Rating | None
    value: float | None
    unit: str
    rule: str
    agreement: Literal["same", "same side", "opposite", "not measured"]
    labels: tuple[str, ...]
    reason: str = ""


def composition_table(results: Results) -> list[AxisRating]:
    """Three compositions × five axes for every backbone, in the survey's order."""
    return []

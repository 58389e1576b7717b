"""Lengths of time as people write and read them."""

from __future__ import annotations

import math
import re

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*")


def seconds_of(text: str) -> float | None:
    """Of `30 s`, `90 min`, `2 h`, `1.5 d`; None of `none` or `0`, which stand for no limit. Raises ValueError."""
    if text.strip().lower() in ("none", "0"):
        return None
    found = _WRITTEN.fullmatch(text)
    seconds = float(found[1]) * SECONDS[found[2]] if found else 0.0
    if not 0 < seconds < math.inf:
        raise ValueError(f"takes a length of time such as '90 min', '2 h' or '1 d', or 'none', not {text!r}")
    return seconds


def duration(seconds: float) -> str:
    """In words, to two digits or so."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

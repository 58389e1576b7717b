"""Sizes of memory as people write them."""

from __future__ import annotations

import re

_WRITTEN = re.compile(r"(\d+)\s*([KMGT])i?B?", re.IGNORECASE)


def parted(text: str) -> tuple[int, str]:
    """Number and unit, K, M, G or T, of `16 GB` or `800 MB`. Raises ValueError."""
    found = _WRITTEN.fullmatch(text.strip())
    if not found or not int(found[1]):
        raise ValueError(f"takes a size such as '16 GB' or '800 MB', not {text!r}")
    return int(found[1]), found[2].upper()


def bytes_of(text: str) -> int:
    """Each unit is 1,024 of the one before, as memory is sold and Slurm counts. Raises ValueError."""
    number, unit = parted(text)
    return number << 10 * ("KMGT".index(unit) + 1)

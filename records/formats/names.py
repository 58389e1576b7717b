"""Names that any file system can hold, made of names that may hold anything."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 100
_OTHERS = re.compile(r"[^A-Za-z0-9._-]+")
# What Windows keeps for its devices, with or without an ending.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def portable(name: str) -> str:
    """Of letters, digits, dots, underscores and hyphens alone, and never empty or one that means a folder."""
    made = _OTHERS.sub("-", name)[:LONGEST].strip(".-") or "unnamed"
    return f"{made}_" if _RESERVED.fullmatch(made) else made


def told_apart(names: Iterable[str]) -> dict[str, str]:
    """The portable form of each name; where two have the same, regardless of case, the later have a number."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        made, number = portable(name), 1
        while made.lower() in taken:
            number += 1
            made = f"{portable(name)}-{number}"
        taken.add(made.lower())
        found[name] = made
    return found

"""The works that task cards cite, read from papers.bib beside this file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


def bibtex(citation: str) -> str:
    """The entries of a citation, keys with commas between. Raises KeyError on a key that papers.bib lacks."""
    return "\n\n".join(_entries()[key] for key in citation.split(","))


@cache
def _entries() -> dict[str, str]:
    text = (Path(__file__).parent / "papers.bib").read_text(encoding="utf-8")
    return {found[2]: found[0].strip() for found in re.finditer(r"^@(\w+)\{(\S+),\n.*?^\}", text, re.MULTILINE | re.DOTALL)}

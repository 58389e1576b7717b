"""The works that task cards cite, read from papers.bib beside this file."""

from __future__ import annotations

from pathlib import Path

from records.papers import Papers

PAPERS = Papers(Path(__file__).parent / "papers.bib")


def bibtex(citation: str) -> str:
    """The entries of a citation, keys with commas between. Raises KeyError on a key that papers.bib lacks."""
    return PAPERS.bibtex(citation.split(","))

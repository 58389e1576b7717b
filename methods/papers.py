"""The works that method cards cite, read from papers.bib beside this file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from records.cards import MethodCard
from records.papers import Papers

PAPERS = Papers(Path(__file__).parent / "papers.bib")


def with_papers(card: MethodCard) -> MethodCard:
    """The card with the entries that it, its claims and its search cite. One with its own `bibtex` stays as it is.

    Raises ValueError on a key that papers.bib lacks.
    """
    keys = [*card.citation.split(","), *(claim.source for claim in card.claims)]
    keys += [each.source for each in card.search if each.source]
    if card.bibtex or not card.citation:
        return card
    try:
        return replace(card, bibtex=PAPERS.bibtex(keys))
    except KeyError as error:
        raise ValueError(
            f"the card of {card.name} cites {error}, which methods/papers.bib lacks; add the entry there, or give the"
            " card a `bibtex` of its own"
        ) from None

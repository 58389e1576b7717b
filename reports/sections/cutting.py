"""Sentences cut out of paragraphs. Only until every subject makes its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from reports.model.document import Block, Figure, Inline, Paragraph, Ref, Table, Text


def shown(said: Sequence[Paragraph], blocks: Sequence[Table | Figure]) -> tuple[Block, ...]:
    """What is said, which names all that is shown, and then what is shown."""
    if not said or not blocks:
        return (*said, *blocks)
    last = replace(said[-1], text=(*said[-1].text, " See ", *refs(blocks), "."))
    return (*said[:-1], last, *blocks)


def refs(blocks: Sequence[Table | Figure]) -> list[Inline]:
    made: list[Inline] = []
    for i, block in enumerate(blocks):
        made += ["" if not i else " and " if i == len(blocks) - 1 else ", ", Ref(block.label)]
    return made


def told(block: Table | Figure) -> tuple[Text, ...]:
    """What the caption says first: of which task and backbone, and in which unit."""
    return (first(without_refs(block.caption)),)


def sentences(text: Text) -> list[Text]:
    """The sentences of a running text: a full stop, a space and a capital part two."""
    found: list[list[Inline]] = [[]]
    for piece in text:
        if not isinstance(piece, str):
            found[-1].append(piece)
            continue
        parts = re.split(r"(?<=[.!?]) (?=[A-Z“(])|(?<=[.!?]) $", piece)
        for i, part in enumerate(parts):
            if i:
                found.append([])
            if part:
                found[-1].append(part)
    return [tuple(sentence) for sentence in found if any(not isinstance(p, str) or p.strip() for p in sentence)]


def first(text: Text) -> Text:
    found = sentences(text)
    return found[0] if found else ()


def without_refs(text: Text) -> Text:
    """Slides have no numbered tables: what refers to one goes, brackets included."""
    kept: list[Inline] = []
    for i, piece in enumerate(text):
        if isinstance(piece, Ref):
            continue
        if isinstance(piece, str):
            if i + 1 < len(text) and isinstance(text[i + 1], Ref):
                piece = re.sub(r" ?\($", "", piece)
            if i and isinstance(text[i - 1], Ref):
                piece = re.sub(r"^\)", "", piece)
        kept.append(piece)
    return tuple(kept)

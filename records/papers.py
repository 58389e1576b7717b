"""A bibliography as a file: the entries that cards cite, by key, as they stand in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Papers:
    """The entries of a BibTeX file, which is read when the first of them is asked for."""

    path: Path

    @cached_property
    def _entries(self) -> dict[str, str]:
        from bibtexparser.entrypoint import parse_string

        # Without the middlewares that would change a field: an entry goes from the file into a card as it is.
        library = parse_string(self.path.read_text(encoding="utf-8"), parse_stack=[])
        if library.failed_blocks:
            block = library.failed_blocks[0]
            raise ValueError(f"{self.path}:{(block.start_line or 0) + 1}: no BibTeX, or a key that stands twice")
        return {entry.key: (entry.raw or "").strip() for entry in library.entries}

    def bibtex(self, keys: Iterable[str]) -> str:
        """The entries of these keys, each once, in this order. Raises KeyError on a key that the file lacks, ValueError
        where it is no BibTeX."""
        return "\n\n".join(self._entries[key] for key in dict.fromkeys(keys))

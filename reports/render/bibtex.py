"""References as BibTeX. Fields are text: everything in them but braces is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reports.model.references import Entry
from reports.render.escape import latex_text

# What an address cannot hold, and TeX reads: two carets write any character, a backslash too.
_NO_ADDRESS = re.compile(r"[{}\\%#^$\"<>|`\s]|[^\x21-\x7e]")
_ADDRESSES = ("url", "doi", "eprint")
# Fields that bibliography styles print, in the order in which they are written.
_FIELDS = (
    *("author", "editor", "title", "booktitle", "journal", "howpublished", "publisher", "institution"),
    *("volume", "number", "pages", "year", "eprint", "archiveprefix", "doi", "url", "note"),
)


def bibliography(entries: Iterable[Entry]) -> str:
    """The text of a .bib file."""
    return "\n".join(bibtex(entry) for entry in entries)


def bibtex(entry: Entry) -> str:
    """One entry."""
    lines = []
    for name in _FIELDS:
        if value := entry.fields.get(name):
            safe = _NO_ADDRESS.sub("", value) if name in _ADDRESSES else latex_text(value, keep="{}~")
            lines.append(f"  {name} = {{{safe}}}")
    return f"@{entry.kind}{{{entry.key},\n" + ",\n".join(lines) + "\n}\n"

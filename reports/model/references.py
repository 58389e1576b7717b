"""References: read from the BibTeX of cards, merged without duplicates, and named as the text names them. Field values
are treated as text with accents, never passed on as LaTeX commands."""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from bibtexparser.entrypoint import parse_string
from bibtexparser.model import Entry as Block

from reports.model.resources import resource
from reports.results import Results

# What it says of a stranger's bibliography is of no use to the reader of a report.
logging.getLogger("bibtexparser").setLevel(logging.CRITICAL)

# BibTeX's commands for accents, as combining characters.
_MARKS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307"}
_NAMED_MARKS = {"u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "k": "\u0328", "r": "\u030a", "d": "\u0323"}
_ACCENTS = _MARKS | _NAMED_MARKS
_LIGATURES = {"ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å"}
_LETTERS = _LIGATURES | {"o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "i": "ı", "j": "ȷ"}
_ACCENTED = tuple(
    re.compile(pattern)
    for pattern in (
        r"\{\\(['`^\"~=.])\s*\{?(\\[ij]|[A-Za-z])\}?\}",
        r"\{\\([uvHckrd])\s*\{?(\\[ij]|[A-Za-z])\}?\}",
        r"\\(['`^\"~=.])\s*\{?(\\[ij]|[A-Za-z])\}?",
        r"\\([uvHckrd])\{(\\[ij]|[A-Za-z])\}",
    )
)
_KIND, _KEY, _FIELD = re.compile(r"[A-Za-z]+"), re.compile(r"[A-Za-z0-9_:.+/-]+"), re.compile(r"[A-Za-z][\w-]*")


@dataclass(frozen=True)
class Entry:
    """A reference. `fields` have lower-case names; values are Unicode, with braces kept where BibTeX needs
    them to keep capitals."""

    kind: str
    key: str
    fields: dict[str, str]

    @property
    def authors(self) -> list[str]:
        """Names as "First Last"; "others" stays itself."""
        names = re.split(r"\s+and\s+", self.plain("author") or self.plain("editor"))
        return [_first_last(name) for name in names if name]

    @property
    def year(self) -> str:
        """The year of publication, or "n.d."."""
        return self.plain("year") or "n.d."

    @property
    def short(self) -> str:
        """How the text names the work: "Hu et al." or "Li and Liang"."""
        surnames = [_surname(name) for name in self._raw_authors()]
        if not surnames:
            return self.plain("title") or self.key
        if len(surnames) > 2 or surnames[-1] == "others":
            return f"{surnames[0]} et al."
        return " and ".join(surnames)

    @property
    def url(self) -> str | None:
        """Where to find it: DOI, address or arXiv page; only web addresses."""
        if doi := self.plain("doi"):
            return f"https://doi.org/{doi}"
        address = self.plain("url")
        if address.startswith(("https://", "http://")):
            return address
        arxiv = re.search(r"\b\d{4}\.\d{4,5}\b", self.plain("eprint") or self.plain("journal") or "")
        return f"https://arxiv.org/abs/{arxiv.group()}" if arxiv else None

    def plain(self, field: str) -> str:
        """A field without braces; empty if the entry has none."""
        return re.sub(r"[{}]", "", self.fields.get(field, "")).replace("~", " ")

    def _raw_authors(self) -> list[str]:
        text = self.plain("author") or self.plain("editor")
        return [name for name in re.split(r"\s+and\s+", text) if name]


def parse(text: str) -> list[Entry]:
    """The entries of a BibTeX text. What is not an entry, or not closed, is passed over; of a field that stands twice
    in an entry the last one counts."""
    entries = []
    for block in parse_string(text).blocks:
        block = getattr(block, "ignore_error_block", block)  # a key that stands twice, in the text or in an entry
        if isinstance(block, Block) and _KIND.fullmatch(block.entry_type) and _KEY.fullmatch(block.key):
            fields = {
                field.key.lower(): _unicode(" ".join(str(field.value).split()))
                for field in block.fields
                if _FIELD.fullmatch(field.key)
            }
            entries.append(Entry(block.entry_type.lower(), block.key, fields))
    return entries


def merge(texts: Iterable[str]) -> dict[str, Entry]:
    """Entries of all the texts by key; of entries with the same key (whatever its case) the first stays."""
    merged: dict[str, Entry] = {}
    seen: set[str] = set()
    for text in texts:
        for entry in parse(text):
            if entry.key.lower() not in seen:
                seen.add(entry.key.lower())
                merged[entry.key] = entry
    return merged


def _unicode(value: str) -> str:
    """Accents and escaped characters as Unicode; other commands become their bare name's text."""

    def accent(match: re.Match[str]) -> str:
        letter = {"\\i": "i", "\\j": "j"}.get(match.group(2), match.group(2))
        return unicodedata.normalize("NFC", letter + _ACCENTS[match.group(1)])

    for pattern in _ACCENTED:
        value = pattern.sub(accent, value)
    value = re.sub(r"\{?\\(ss|[oOlL]|ae|AE|oe|OE|aa|AA|i|j)(?![A-Za-z])\s*\}?", lambda m: _LETTERS[m.group(1)], value)
    value = re.sub(r"\\([&%$#_{}])", lambda m: m.group(1) if m.group(1) not in "{}" else "", value)
    value = re.sub(r"\\[A-Za-z]+\s*|\\.", "", value).replace("\\", "").replace("---", "—").replace("--", "–")
    return value if _is_balanced(value) else re.sub(r"[{}]", "", value)


def _is_balanced(value: str) -> bool:
    depth = 0
    for character in value:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _surname(name: str) -> str:
    return name.split(",")[0].strip() if "," in name else name.split()[-1]


def _first_last(name: str) -> str:
    last, _, first = name.partition(",")
    return f"{first.strip()} {last.strip()}".strip() if first else name


def references_of(*read: Results) -> dict[str, Entry]:
    """Every entry of the cards and of our own, and one for each run."""
    texts = [card.bibtex for one in read for card in one.cards]
    runs = [run_entry(one) for one in read]
    return merge([*texts, resource("references.bib")]) | {run.key: run for run in runs}


def run_entry(results: Results) -> Entry:
    """The run itself: suite, version, date, and a hash of its manifest that tells it from any other."""
    environments = results.environments()
    first = environments[0][0] if environments else {}
    sources = list(dict.fromkeys(one.source for one in results.published))
    version = (first.get("versions") or {}).get("adaptbench")
    notes = [f"adaptbench {version}"] if version else []
    notes += [f"{len(results.cells)} cells", f"manifest SHA-256 {manifest_hash(results)[:16]}"]
    notes += [f"created {results.manifest.created[:10]}"]
    notes += [f"commit {str(first['commit'])[:12]}"] if first.get("commit") else []
    fields = {
        "author": "{" + re.sub(r"[{}]", "", "; ".join(sources) or "adaptbench") + "}",
        "title": re.sub(
            r"[{}]", "", f"Results {'published, imported as' if sources else 'of the suite'} {results.name}"
        ),
        "year": results.manifest.created[:4],
        "note": re.sub(r"[{}]", "", ", ".join(notes)),
    }
    key = re.sub(r"[^A-Za-z0-9-]+", "-", results.name).strip("-")
    if key != results.name:  # another suite's name may be the same without its umlauts
        key = f"{key or 'results'}-{manifest_hash(results)[:8]}"
    return Entry("misc", f"run-{key}", fields)


def manifest_hash(results: Results) -> str:
    """SHA-256 of manifest.json as it lies in the results folder."""
    return hashlib.sha256((results.root / "manifest.json").read_bytes()).hexdigest()

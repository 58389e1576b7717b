"""BibTeX, just enough of it: read entries from cards, merge them without duplicates, write them out, and
format them for a page. Field values are treated as text with accents, never passed on as LaTeX commands."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from reports.model.resources import resource
from reports.results import Results

# BibTeX's commands for accents, as combining characters.
_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304",
            ".": "\u0307", "u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "k": "\u0328",
            "r": "\u030a", "d": "\u0323"}  # fmt: skip
_LETTERS = {"ss": "ß", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ",
            "aa": "å", "AA": "Å", "i": "ı", "j": "ȷ"}  # fmt: skip
MOST_UNCLOSED = 20
_KEY = re.compile(r"[A-Za-z0-9_:.+/-]+")


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
    """The entries of a BibTeX text. What is not an entry, or not closed, is passed over; many that are not closed end
    the reading, which would else take the square of the text's length."""
    entries = []
    position = unclosed = 0
    while match := re.compile(r"@([A-Za-z]+)\s*\{\s*([^,\s{}]+)\s*,").search(text, position):
        body, position = _balanced(text, match.end())
        if body is None:
            position, unclosed = match.end(), unclosed + 1
            if unclosed > MOST_UNCLOSED:
                break
            continue
        kind, key = match.group(1).lower(), match.group(2)
        if kind not in ("comment", "string", "preamble") and _KEY.fullmatch(key):
            entries.append(Entry(kind, key, dict(_fields(body))))
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


def _balanced(text: str, start: int) -> tuple[str | None, int]:
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i], i + 1
    return None, len(text)


def _fields(body: str) -> Iterable[tuple[str, str]]:
    position = 0
    pattern = re.compile(r"\s*,?\s*([A-Za-z][\w-]*)\s*=\s*")
    while match := pattern.match(body, position):
        position = match.end()
        if body[position : position + 1] == "{":
            value, position = _balanced(body, position + 1)
        elif body[position : position + 1] == '"':
            end = body.find('"', position + 1)
            value, position = (body[position + 1 : end], end + 1) if end > 0 else (None, len(body))
        else:
            end = body.find(",", position)
            end = len(body) if end < 0 else end
            value, position = body[position:end], end
        if value is not None:
            yield match.group(1).lower(), _unicode(" ".join(value.split()))


def _unicode(value: str) -> str:
    """Accents and escaped characters as Unicode; other commands become their bare name's text."""

    def accent(match: re.Match[str]) -> str:
        letter = {"\\i": "i", "\\j": "j"}.get(match.group(2), match.group(2))
        return unicodedata.normalize("NFC", letter + _ACCENTS[match.group(1)])

    for pattern in (r"\{\\(['`^\"~=.])\s*\{?(\\[ij]|[A-Za-z])\}?\}", r"\{\\([uvHckrd])\s*\{?(\\[ij]|[A-Za-z])\}?\}",
                    r"\\(['`^\"~=.])\s*\{?(\\[ij]|[A-Za-z])\}?", r"\\([uvHckrd])\{(\\[ij]|[A-Za-z])\}"):  # fmt: skip
        value = re.sub(pattern, accent, value)
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
    version = (first.get("versions") or {}).get("adaptbench")
    notes = [f"adaptbench {version}"] if version else []
    notes += [f"{len(results.cells)} cells", f"manifest SHA-256 {manifest_hash(results)[:16]}"]
    notes += [f"created {results.manifest.created[:10]}"]
    notes += [f"commit {str(first['commit'])[:12]}"] if first.get("commit") else []
    fields = {
        "author": "{adaptbench}",
        "title": re.sub(r"[{}]", "", f"Results of the suite {results.name}"),
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

"""What a list says of methods and tasks: read from their classes once, and kept until code changes.

A class has to be imported to be described, and most methods import torch with it, which takes seconds. What is kept
under BENCH_CACHE is what was read, beside a stamp of all the code that it was read from: a changed file shows at once.
A plugin that cannot be imported is not kept, and so is tried again each time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.caches import CacheError, cache_folder
from bench.registry import Kind, PluginError, Registry
from records.files import write_atomically

# What the cards of ours are made of, and the classes that others derive from.
ROOT = Path(__file__).resolve().parents[1]
ROOMS = tuple(ROOT / room for room in ("methods", "tasks", "records"))

Row = list[str]


def rows(kind: Kind) -> list[Row]:
    """One for each method or task that is installed, those of libraries included. Of one that cannot be imported it
    holds the name and the reason."""
    registry, kept, ours = Registry(), _Kept(kind), _stamp(*ROOMS)
    libraries = registry.libraries(kind)
    found: list[Row] = []
    for entry in [*registry.names(kind), *libraries]:
        library = entry in libraries
        try:
            theirs = _stamp(*_places(entry)) if library else ""
            stamp = f"{ours} {theirs} {registry.digest(kind, entry)}"
            found += kept.rows(entry, stamp) or kept.read(
                entry, stamp, registry.names_in(entry) if library else [entry]
            )
        except PluginError as error:
            found.append([entry, str(error)])
    kept.write()
    return found


def _row(kind: Kind, name: str) -> Row:
    """Imports it. Raises PluginError."""
    cls = Registry().get(kind, name).cls
    card = cls.card
    if kind == "methods":
        fields = ", ".join(f"{key}={field.get_default()!r}" for key, field in cls.model_fields.items())
        return [name, card.family, card.composition, card.citation, fields]
    offline = "yes" if card.offline else "no"
    return [name, card.kind, ", ".join(card.metrics), card.size, offline, card.licence, card.citation]


class _Kept:
    """The rows of a kind in the cache, by the entry that they come from; without a cache, none."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.found: dict[str, Any] = {}
        self.changed = False
        with suppress(CacheError, OSError, ValueError):
            found = json.loads(self._path().read_text(encoding="utf-8"))
            self.found = found if isinstance(found, dict) else {}

    def rows(self, entry: str, stamp: str) -> list[Row]:
        """Those that were kept of an entry, where its code is still the same."""
        match self.found.get(entry):
            case [kept, [*rows]] if kept == stamp and all(map(_is_row, rows)):
                return rows
        return []

    def read(self, entry: str, stamp: str, names: list[str]) -> list[Row]:
        """Those of all the names of an entry, read anew."""
        rows, whole = [], True
        for name in names:
            try:
                rows.append(_row(self.kind, name))
            except PluginError as error:
                rows.append([name, str(error)])
                whole = False
        if whole:
            self.found[entry] = [stamp, rows]
            self.changed = True
        return rows

    def write(self) -> None:
        """Where the cache cannot be written, the next list reads it all again."""
        if self.changed:
            with suppress(CacheError, OSError):
                write_atomically(self._path(), json.dumps(self.found))

    def _path(self) -> Path:
        return cache_folder() / "lists" / f"{self.kind}.json"


def _is_row(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _places(package: str) -> list[Path]:
    """The folders of an installed package. Does not import it."""
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def _stamp(*folders: Path) -> str:
    """Of their code and bibliographies: where the files are, how long, and when they were written."""
    found = hashlib.sha256()
    for path in sorted(path for folder in folders for path in _files(folder)):
        with suppress(FileNotFoundError):
            about = path.stat()
            found.update(f"{path} {about.st_size} {about.st_mtime_ns}\n".encode())
    return found.hexdigest()[:16]


def _files(folder: Path) -> Iterator[Path]:
    return (path for pattern in ("*.py", "*.bib") for path in folder.rglob(pattern))

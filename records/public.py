"""Results as anybody may see them: without secrets, logs and states, and with the names of folders and files in place
of where they lie on somebody's machine.

Names that are told apart by a path stay apart: of two folders called `tiny`, the second is `tiny~2`. Ids stay what they
are, so that a cell is known again by whoever has the results themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from records import tuning
from records.record import KeptFile, Manifest, Record
from records.redaction import redacted
from records.store import NoResults, RecordStore

# An absolute path within a text, or one that leads to a home or upwards; in an address or a formula it is none.
_PATH = re.compile(r"(?<![\w:/.~\\$})\]-])(?:~|\.\.(?:/\.\.)*)?(?:/[\w.@+~-]+)+/?")
# What is kept of a cell where it is shown to anybody.
KEPT: tuple[KeptFile, ...] = ("predictions.parquet", "published.json")
# Fields of cards in which a slash is none of a path.
_NO_PATHS = {"bibtex", "formula"}
HIDDEN = "…/"


class Public:
    """A results folder's manifest and records, fit to be shown. Raises ResultsError where they cannot be read."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self._names: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self.manifest = Manifest.model_validate(self._shown(store.manifest().model_dump(mode="json")))
        self.records = {record.id: self._record(record) for record in store.records()}

    @property
    def unreadable(self) -> str | None:
        """How many cells cannot be read, and why the first cannot, in a line; None where there are none."""
        broken = [record for record in self.records.values() if record.status == "broken"]
        if not broken:
            return None
        return f"{len(broken)} cells cannot be read, and are left out, as {broken[0].id}: {broken[0].reason}"

    def _record(self, record: Record) -> Record:
        shown = self._shown(record.model_dump(mode="json"))
        shown["kept"] = {name: digest for name, digest in record.kept.items() if name in KEPT}
        return Record.model_validate(shown)

    def write(self, root: Path, texts: bool = False) -> RecordStore:
        """As a results folder of its own, with what cells answered; with the texts of test examples, where those are
        asked for, and with the search that a tuned suite has inside. Raises OSError where the disk refuses."""
        made = RecordStore(root)
        made.write_manifest(self.manifest)
        for record in self.records.values():
            if record.status == "broken":
                continue
            for name in record.kept:
                if (data := self.store.kept(record, name)) is not None:
                    made.keep(record.id, name, data)
            made.write(record)
        if texts and (rows := self.store.texts()):
            made.write_texts("texts", rows)
        for search in self._searches():
            search.write(root / tuning.FOLDER)
        return made

    def _searches(self) -> Iterator[Public]:
        inner = RecordStore(self.store.root / tuning.FOLDER)
        if not inner.root.is_symlink():
            try:
                yield Public(inner)
            except NoResults:
                return

    def _shown(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {self._text(key): self._shown(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._shown(inner, name) for inner in value]
        return self._text(value) if isinstance(value, str) and name not in _NO_PATHS else value

    def _text(self, text: str) -> str:
        """Records of one suite say the same things over and over."""
        if text not in self._known:
            self._known[text] = self._without_paths(redacted(text))
        return self._known[text]

    def _without_paths(self, text: str) -> str:
        if text.startswith(("/", "~/", "../")) and "\n" not in text:
            return self._name(text)
        return _PATH.sub(self._within, text)

    def _within(self, found: re.Match[str]) -> str:
        path = found.group()
        return self._name(path) if path.rstrip("/").count("/") > 1 or not path.startswith("/") else path

    def _name(self, path: str) -> str:
        """The last part; with a number, where another path has the same."""
        last = path.rstrip("/").rpartition("/")[2]
        if path not in self._names:
            taken, shown, number = set(self._names.values()), f"{HIDDEN}{last}", 1
            while shown in taken:
                number += 1
                shown = f"{HIDDEN}{last}~{number}"
            self._names[path] = shown
        return self._names[path]

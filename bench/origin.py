"""Where a results folder comes from: what of its suite is needed to go on with cells that have been trained."""

from __future__ import annotations

from pathlib import Path

from bench.job import Job, Stage
from bench.registry import Registry
from records.record import Manifest
from records.store import RecordStore


class Origin:
    """A results folder, and the plugin files that its suite names. Paths are seen from the suite's file, as long as
    that lies where it lay."""

    def __init__(self, store: RecordStore) -> None:
        """Raises ResultsError where the folder holds no results."""
        self.store = store
        self.manifest: Manifest = store.manifest()
        origin = str(self.manifest.suite.get("origin", ""))
        file = store.root.absolute() / origin
        self.base = file.parent if origin and file.is_file() else Path.cwd()
        given = self.manifest.suite.get("plugins") or []
        self.plugins = tuple(self.base / str(path) for path in given) if isinstance(given, list) else ()

    def registry(self) -> Registry:
        """Raises PluginError where a plugin file is gone or broken."""
        return Registry(self.plugins, self.base)

    def job(self, cell_id: str, stage: Stage = "train") -> Job:
        """What a worker would be given."""
        cell = self.manifest.cells[cell_id]
        return Job(cell, stage, self.store.root.absolute(), self.base, self.plugins, attempt=1)

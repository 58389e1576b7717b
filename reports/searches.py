"""The search for hyperparameters that a results folder has inside it, or is."""

from __future__ import annotations

from records import tuning
from records.store import RecordStore, ResultsError
from records.tuning import Search
from reports.results import Results


def read_searches(results: Results) -> list[Search]:
    """Of the backbones, tasks and labels of the results; nothing where there is no search, or its folder cannot be
    read."""
    store = RecordStore(results.root)
    if "spaces" not in results.suite:
        store = RecordStore(results.root / tuning.FOLDER)
    try:
        found = tuning.read(store.manifest(), {record.id: record for record in store.records()})
    except (ResultsError, ValueError):
        return []
    known = {name: set(getattr(results, f"{name}s")) for name in ("backbone", "task", "label")}
    return [search for search in found if all(getattr(search, name) in names for name, names in known.items())]

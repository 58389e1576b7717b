"""`bench status`: what of a results folder is done, once, or again and again until all of it is. Any machine that sees
the folder can look, while cells run here, there, or on a cluster."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from rich.console import Console

from bench import cluster, evidence
from bench.folders import store_of
from records.record import Manifest, Record, precisions
from records.store import RecordStore
from records.text import printable

SECONDS_BETWEEN_LOOKS = 10.0


def add_command(commands: Any) -> None:
    """To the parser of the command line."""
    status = commands.add_parser("status", help="what of a results folder is done, failed, open")
    status.add_argument("results", nargs="?", default="embedded", help="a results folder, or a suite's name")
    watch = f"look again every so many seconds (default: {SECONDS_BETWEEN_LOOKS:.0f}) until all cells are done"
    status.add_argument("--watch", nargs="?", type=_seconds, const=SECONDS_BETWEEN_LOOKS, metavar="SECONDS", help=watch)
    status.set_defaults(command=_status)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"takes a number of seconds, such as 30, not {text!r}")
    return seconds


class Folder:
    """A results folder that is looked at again and again: a record is read anew only where it was written anew."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._known: dict[str, Record] = {}

    def look(self) -> tuple[Manifest, dict[str, Record]]:
        """The manifest, and the records that there are, by id and in its order. Raises ResultsError."""
        manifest = self.store.manifest()
        found = {}
        for cell_id, cell in manifest.cells.items():
            if (stamp := self.store.stamp(cell_id)) is None or stamp != self._stamps.get(cell_id):
                record = self.store.standing(cell_id, cell, manifest.cards)
                self._stamps[cell_id] = stamp
                if record is None:
                    self._known.pop(cell_id, None)
                else:
                    self._known[cell_id] = record
            if cell_id in self._known:
                found[cell_id] = self._known[cell_id].model_copy(update={"cell": cell})
        return manifest, found


def left(manifest: Manifest, records: dict[str, Record]) -> int:
    """How many cells have no result yet; one that failed has, and one that waits for its cost profile has not."""
    profiles = manifest.suite.get("profile", True)

    def is_open(record: Record | None) -> bool:
        if record is None or record.status == "broken":
            return True
        # A profile that failed has a reason; a run that was begun anew tries it again.
        return record.status == "trained" and profiles and record.reason is None

    return sum(is_open(records.get(cell_id)) for cell_id in manifest.cells)


def _status(arguments: argparse.Namespace) -> int:
    store = store_of(arguments.results)
    folder = Folder(store)
    # In a file or a pipe, lines must not break at the width of a terminal that is not there.
    console = Console(width=None if sys.stdout.isatty() else 200)
    if arguments.watch is None:
        _show(console, store, *folder.look())
        return 0
    shown: object = None
    while True:
        manifest, records = folder.look()
        count = left(manifest, records)
        on_cluster = cluster.status_lines(store)
        state = count, [(record.id, record.status) for record in records.values()], on_cluster
        if console.is_terminal or state != shown:
            if console.is_terminal:
                console.clear()
            _show(console, store, manifest, records, on_cluster)
            shown = state
        if not count:
            console.print("all cells are done", highlight=False)
            return 0
        console.print(f"{time.strftime('%H:%M:%S')}: {count} of {len(manifest.cells)} cells are open", highlight=False)
        try:
            time.sleep(arguments.watch)
        except KeyboardInterrupt:  # the run goes on
            return 0


def _show(
    console: Console,
    store: RecordStore,
    manifest: Manifest,
    records: dict[str, Record],
    on_cluster: list[str] | None = None,
) -> None:
    from bench.display import status_table

    console.print(status_table(manifest.cells, records, manifest.suite.get("profile", True)))
    for record in records.values():
        if record.reason:
            line = f"{record.id}  {record.status}  {record.cell}: {record.reason}"
            console.print(printable(" ".join(line.split("\n"))), markup=False, soft_wrap=True)
    for line in manifest.left_out:
        console.print(printable(f"left out with its cells: {line}"), markup=False, highlight=False, soft_wrap=True)
    for line in cluster.status_lines(store) if on_cluster is None else on_cluster:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    if kept := evidence.kept_line(store, list(records.values())):
        console.print(kept, markup=False, highlight=False)
    if said := of_precisions(list(records.values())):
        console.print(said, markup=False, highlight=False)
    for line in manifest.mixed:
        console.print(printable(f"merged though it differs: {line}"), markup=False, highlight=False, soft_wrap=True)


def of_precisions(records: list[Record]) -> str:
    """Where cells were not all computed alike, as on two kinds of a cluster's nodes: how many in which precision."""
    counts = precisions(records)
    counted = ", ".join(f"{n} in {name}" for name, n in counts.items())
    return f"cells were computed in different precision: {counted}" if len(counts) > 1 else ""

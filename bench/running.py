"""Runs a suite that was read: where its cells run, what shows them, and the scheduler. Called by the command line and
by `bench.run`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

from bench import cluster, places, plan_lines
from bench.durations import seconds_of
from bench.folders import RESULTS, expanded, usable_folder
from bench.resolved_suite import ResolvedSuite
from bench.scheduler import Scheduler, interruptible
from bench.tuning.tuned import with_tuned
from records.record import Record
from records.store import RecordStore

if TYPE_CHECKING:
    from bench.suite import Suite
    from bench.tracking import TrackedDisplay


class Done(NamedTuple):
    """The records that stand after a run, and how many cells it has left open, having been interrupted."""

    records: list[Record]
    left: int


def searched(suite: Suite | ResolvedSuite, arguments: argparse.Namespace) -> Suite | ResolvedSuite:
    """The suite, with what its search has found where it asks for one. Raises ResultsError."""
    if suite.file.tuning is None:
        return suite
    return with_tuned(ResolvedSuite.of(suite), expanded(arguments.results or RESULTS / suite.name))


def folder_of(suite: Suite | ResolvedSuite, arguments: argparse.Namespace) -> RecordStore:
    """That of its results. Raises UsageError where it cannot be written."""
    return RecordStore(usable_folder(arguments.results or RESULTS / suite.name, write=True))


def carry_out(
    suite: Suite | ResolvedSuite, arguments: argparse.Namespace, store: RecordStore, display: TrackedDisplay
) -> Done:
    """Runs the cells that have no result yet. `arguments` are those of `bench run`. Raises UsageError and ResultsError,
    and KeyboardInterrupt at a second interrupt."""
    limit = seconds_of(arguments.time_limit or suite.file.time_limit)
    file = places.with_options(suite.file, arguments)
    launcher = cluster.launcher_of(arguments, suite, store, limit, display.note)
    display.track(arguments.tracker, suite.name, store.root)
    slots = cluster.places(suite) if launcher.remote else places.slots(file, suite, store, arguments.slots)
    for line in plan_lines.of_suite(suite, store.root, len(slots)):
        display.note(line)
    scheduler = Scheduler(suite, store, launcher, slots, limit, file.processes, file.shard)
    with interruptible(scheduler):
        records = scheduler.run(display)
    return Done(records, scheduler.left)

"""The command that searches hyperparameters for a suite."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import cluster, places
from bench.durations import seconds_of
from bench.folders import RESULTS, UsageError, path_of, usable_folder
from records.record import left_out
from records.text import printable
from records.tuning import FOLDER

if TYPE_CHECKING:
    from bench.resolved_suite import ResolvedSuite
    from bench.tuning.trials import SuiteSearch


def add_commands(commands: Any, positive: Callable[[str], int], length_of_time: Callable[[str], str]) -> None:
    """To the parser of the command line."""
    tune = commands.add_parser("tune", help="search the hyperparameters of a suite's methods, as its key `tuning` says")
    tune.add_argument(
        "suite", nargs="?", default="embedded", help="a built-in suite's name, or the path of a YAML file"
    )
    where = "folder of the suite's results, in which the search has its own (default: results/<suite>)"
    tune.add_argument("--results", type=path_of, help=where)
    places.add_options(tune, positive)
    tune.add_argument("--time-limit", type=length_of_time, help="how long a trial may train (default: the suite's)")
    full = "when the search has ended, train the trials that it stopped to their end too: was one of them better?"
    tune.add_argument("--full", action="store_true", help=full)
    cluster.add_options(tune)
    tune.set_defaults(command=_tune)


def _tune(arguments: argparse.Namespace) -> int:
    from bench.resolved_suite import ResolvedSuite
    from bench.suite import SuiteError
    from bench.tuning.trials import SuiteSearch
    from bench.tuning.words import said

    if arguments.dry_run:
        raise UsageError("--dry-run: which trials go on is not known before; bench run has it")
    here = Path.cwd()
    try:
        suite = cluster.read_suite(arguments)
    except SuiteError as error:
        raise UsageError(str(error)) from None
    os.chdir(here)
    assert suite is not None
    resolved = ResolvedSuite.of(suite)
    results = usable_folder(arguments.results or RESULTS / resolved.name, write=True)
    for line in (lost := left_out(resolved.left_out)):
        print(printable(f"left out with its cells: {line}"))
    search = SuiteSearch.of(resolved, results, arguments.full)
    search.carry_out(partial(_run, arguments, search))
    for line in said(search.standing()):
        print(printable(line))
    print(f"search: {results / FOLDER}")
    there = ["--results", str(results)] if arguments.results else []
    print(f"next: {shlex.join(['bench', 'run', arguments.suite, *there])}")
    return 1 if lost else 0


def _run(arguments: argparse.Namespace, search: SuiteSearch, suite: ResolvedSuite) -> None:
    from bench.display import RunDisplay
    from bench.scheduler import Scheduler, interruptible

    limit = seconds_of(arguments.time_limit or suite.file.time_limit)
    file = places.with_options(suite.file, arguments)
    with RunDisplay() as display:
        launcher = cluster.launcher_of(arguments, suite, search.store, limit, display.note)
        slots = cluster.places(suite) if launcher.remote else places.slots(file, suite, search.store, arguments.slots)
        scheduler = Scheduler(suite, search.store, launcher, slots, limit, file.processes, file.shard)
        with interruptible(scheduler):
            scheduler.run(display)
    if scheduler.left:
        raise KeyboardInterrupt

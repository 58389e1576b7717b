"""What the command line has for clusters: options of `bench run`, the queue in `bench status`, and `bench cancel`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.cluster_options import SlurmOptions
from bench.folders import UsageError, store_of

if TYPE_CHECKING:
    from bench.launchers.base import Launcher, Slot
    from bench.launchers.queue import Seen
    from bench.suite import Suite
    from records.store import RecordStore

# Of the options of a suite's key `slurm` those that are flags as well.
FLAGS = {
    "partition": "the partition of the cluster",
    "account": "the account that is charged",
    "gpus": "GPUs of a job",
    "cpus": "processor cores of a job (default: 1)",
    "time": "how long a job may take, as '4 h' (default: the time limit and 15 min)",
    "memory": "main memory of a job, as '16 GB'",
    "concurrency": "how many jobs of one array run at a time",
}
NUMBERS = {"gpus", "cpus", "concurrency"}


def add_options(run: argparse.ArgumentParser) -> None:
    """To `bench run`."""
    run.add_argument("--launcher", choices=("local", "slurm"), default="local", help="where cells run (default: local)")
    slurm = run.add_argument_group("with --launcher slurm (before what the suite has under `slurm`)")
    for name, said in FLAGS.items():
        slurm.add_argument(f"--{name}", metavar=name[0].upper(), help=said)
    slurm.add_argument("--dry-run", action="store_true", help="print what would be submitted, and submit nothing")


def add_commands(commands: Any) -> None:
    """To the parser of the command line."""
    cancel = commands.add_parser("cancel", help="take a results folder's jobs from the cluster")
    cancel.add_argument("results", help="a results folder, or a suite's name")
    cancel.set_defaults(command=_cancel)


def options_of(arguments: argparse.Namespace, suite: Suite) -> SlurmOptions:
    """Those of the suite, in place of which flags come. Raises UsageError."""
    from pydantic import ValidationError

    flags = {name: value for name in FLAGS if (value := getattr(arguments, name)) is not None}
    for name in NUMBERS & flags.keys():
        if not (flags[name].isascii() and flags[name].isdigit()):
            raise UsageError(f"--{name}: takes a whole number, not {flags[name]!r}")
        flags[name] = int(flags[name])
    try:
        return SlurmOptions.model_validate(suite.file.slurm.model_dump() | flags)
    except ValidationError as error:
        [first, *_] = error.errors()
        raise UsageError(f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None


def launcher_of(
    arguments: argparse.Namespace, suite: Suite, limit: float | None, tell: Callable[[str], None]
) -> Launcher:
    """The one that was asked for. Raises UsageError."""
    if arguments.launcher == "slurm":
        from bench.launchers.slurm import SlurmLauncher

        if arguments.slots is not None:
            raise UsageError("--slots is for this machine alone; on a cluster it is --concurrency")
        return SlurmLauncher(options_of(arguments, suite), limit, suite.modules(), tell)
    from bench.launchers.local import LocalLauncher

    if given := [name for name in FLAGS if getattr(arguments, name) is not None]:
        raise UsageError(f"--{given[0]} goes with --launcher slurm")
    return LocalLauncher(preload=suite.modules())


def places(suite: Suite) -> list[Slot]:
    """One for each cell: how many run at a time is the cluster's affair."""
    from bench.launchers.base import Slot

    return [Slot(index, 1) for index in range(len(suite.cells))]


def dry_run(arguments: argparse.Namespace, suite: Suite, store: RecordStore, limit: float | None) -> int:
    """Prints what would be submitted."""
    from bench.launchers.base import LaunchError
    from bench.launchers.slurm import script

    if arguments.launcher != "slurm":
        raise UsageError("--dry-run goes with --launcher slurm")
    options = options_of(arguments, suite)
    cards = suite.cards()
    records = {cell_id: store.standing(cell_id, cell, cards) for cell_id, cell in suite.cells.items()}
    done = Counter("train" if r is None or r.status in ("failed", "broken") else r.status for r in records.values())
    train, trained = done["train"], done["trained"]
    print(f"{suite.name}: {len(records)} cells; to be trained {train}, to be profiled {trained + train} (n/a ones not)")
    try:
        if train:
            print(f"\n# the training of {train} cells\n{script(options, store.root.absolute(), 'train', train, limit)}")
        if suite.file.profile and train + trained:
            said = "cost profiles, as many in an array as are trained by then"
            print(f"\n# {said}\n{script(options, store.root.absolute(), 'profile', trained or 1, limit)}")
    except LaunchError as error:
        raise UsageError(str(error)) from None
    return 0


def status_lines(store: RecordStore) -> list[str]:
    """How a results folder's jobs stand on the cluster; nothing where it has none."""
    from bench.launchers.queue import NoAnswer

    try:
        jobs = _jobs(store)
    except NoAnswer as error:
        return [f"on the cluster: not known from here ({error})"]
    if not jobs:
        return []
    counts = Counter(_words(seen) for *_, seen in jobs)
    lines = [f"on the cluster: {', '.join(f'{count} {words}' for words, count in counts.most_common())}"]
    return lines + [f"{cell}  job {seen.job}  {stage}: {doing}" for cell, stage, doing, seen in jobs if doing]


def _words(seen: Seen) -> str:
    return seen.state.lower() + (f" ({seen.why})" if seen.why else "")


def _jobs(store: RecordStore) -> list[tuple[str, str, str, Seen]]:
    """Cell, stage, what it is doing where it runs, and the job, of all that have not ended. Raises NoAnswer."""
    from bench.launchers import queue
    from bench.launchers.journal import Journal
    from bench.launchers.node import word_of

    submissions = Journal(store.root).submissions()
    if not submissions:
        return []
    found: list[tuple[str, str, str, Seen]] = []
    for (key, index), seen in queue.queue().items():
        submission = submissions.get(key)
        if submission is None or seen.ended or index >= len(submission.cells):
            continue
        word = word_of(store.root, key, index) if seen.state == "RUNNING" else None
        doing = "" if word is None else f"step {word.done} of {word.total}" if word.total else word.doing
        found.append((submission.cells[index].cell, submission.stage, f"{doing} on {word.node}" if word else "", seen))
    return found


def _cancel(arguments: argparse.Namespace) -> int:
    from bench.launchers import queue

    store = store_of(arguments.results)
    store.manifest()
    try:
        jobs = [seen.job for *_, seen in _jobs(store)]
        queue.cancel(*jobs)
    except queue.NoAnswer as error:
        raise UsageError(f"{store.root}: {error}") from None
    print(f"{store.root}: {len(jobs)} jobs cancelled; finished cells are kept")
    return 0

"""What the command line has for clusters: options of `bench run`, the queue in `bench status`, and `bench cancel`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cluster_options import SlurmOptions
from bench.durations import seconds_of
from bench.folders import RESULTS, UsageError, store_of, usable_folder
from records.record import left_out
from records.store import RecordStore

if TYPE_CHECKING:
    from bench.launchers.base import Launcher, Slot
    from bench.launchers.queue import Seen
    from bench.resolved_suite import ResolvedSuite
    from bench.suite import Suite

# Of the options of a suite's key `slurm` those that are flags as well.
FLAGS = {
    "partition": "the partition of the cluster",
    "account": "the account that is charged",
    "gpus": "GPUs of a job",
    "cpus": "processor cores of a job (default: 1)",
    "time": "how long a job may take, as '4 h' (default: the time limit and 15 min)",
    "memory": "main memory of a job, as '16 GB'",
    "concurrency": "how many jobs of one array run at a time",
    "python": "the Python of the jobs (default: this one)",
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


def options_of(arguments: argparse.Namespace, under_slurm: Any) -> SlurmOptions:
    """Those that a suite has under its key `slurm`, in place of which flags come. Raises UsageError."""
    from pydantic import ValidationError

    flags = {name: value for name in FLAGS if (value := getattr(arguments, name)) is not None}
    for name in NUMBERS & flags.keys():
        if not (flags[name].isascii() and flags[name].isdigit()):
            raise UsageError(f"--{name}: takes a whole number, not {flags[name]!r}")
        flags[name] = int(flags[name])
    try:
        return SlurmOptions.model_validate((under_slurm if isinstance(under_slurm, dict) else {}) | flags)
    except ValidationError as error:
        [first, *_] = error.errors()
        raise UsageError(f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None


def read_suite(arguments: argparse.Namespace) -> Suite | ResolvedSuite | None:
    """The suite. Reading it takes torch; where that is not here, a job of the cluster reads it, and nobody where jobs
    are only to be shown. Raises SuiteError and UsageError."""
    from bench.suite import Suite, find

    if _has_torch():
        return Suite.load(arguments.suite)
    if arguments.launcher != "slurm":
        raise UsageError(
            "running cells needs torch and more, which reports do without: `make` in the clone installs it into .venv"
        )
    if arguments.dry_run:
        return None
    from bench.launchers.base import LaunchError
    from bench.launchers.reading import read_on_cluster

    path = find(arguments.suite).absolute()
    results = usable_folder(arguments.results or RESULTS / path.stem, write=True).absolute()
    try:
        return read_on_cluster(str(path), results, options_of(arguments, _keys_of(path).get("slurm")), print)
    except LaunchError as error:
        raise UsageError(str(error)) from None


def _has_torch() -> bool:
    try:
        import torch  # noqa: F401
    except (ImportError, OSError):  # it is not here, or a library that it needs is not
        return False
    return True


def _keys_of(path: Path) -> dict[str, Any]:
    """Those of a suite that cannot be read here."""
    from bench import yaml_lines

    try:
        data, _ = yaml_lines.load(path)
    except yaml_lines.YamlError as error:
        raise UsageError(str(error)) from None
    return data if isinstance(data, dict) else {}


def launcher_of(
    arguments: argparse.Namespace,
    suite: Suite | ResolvedSuite,
    store: RecordStore,
    limit: float | None,
    tell: Callable[[str], None],
) -> Launcher:
    """The one that was asked for. Raises UsageError."""
    if arguments.launcher == "slurm":
        from bench.launchers.slurm import SlurmLauncher

        for name in ("slots", "share", "gpu_memory"):
            if getattr(arguments, name) is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for this machine alone; on a cluster each cell is a job of its own,"
                    " and --concurrency says how many run at a time"
                )
        options = options_of(arguments, suite.file.slurm.model_dump())
        processes = arguments.processes or suite.file.processes
        if options.gpus and options.gpus < processes:
            raise UsageError(f"a cell of {processes} processes takes as many GPUs: --gpus {processes}")
        return SlurmLauncher(options, limit, suite.modules(), tell)
    from bench.launchers.local import LocalLauncher

    if given := [name for name in FLAGS if getattr(arguments, name) is not None]:
        raise UsageError(f"--{given[0]} goes with --launcher slurm")
    _refuse_beside_jobs(store, tell)
    return LocalLauncher(preload=suite.modules())


def _refuse_beside_jobs(store: RecordStore, tell: Callable[[str], None]) -> None:
    """Cells that a cluster is at work on would be computed twice."""
    from bench.launchers.base import LaunchError
    from bench.launchers.queue import NoAnswer

    try:
        jobs = _jobs(store)
    except (LaunchError, NoAnswer) as error:
        tell(f"whether a cluster is still at work on these cells is not known from here: {error}")
        return
    if jobs:
        raise UsageError(
            f"{store.root}: {len(jobs)} jobs of it are on the cluster; go on with --launcher slurm, or end them by"
            " `bench cancel` before cells run here"
        )


def places(suite: Suite | ResolvedSuite) -> list[Slot]:
    """One for each cell: how many run at a time is the cluster's affair."""
    from bench.launchers.base import Slot

    return [Slot(index, 1) for index in range(len(suite.cells))]


def dry_run(arguments: argparse.Namespace, suite: Suite | ResolvedSuite | None) -> int:
    """Prints what would be submitted."""
    if arguments.launcher != "slurm":
        raise UsageError("--dry-run goes with --launcher slurm")
    if suite is None:
        return _dry_run_unread(arguments)
    limit = seconds_of(arguments.time_limit or suite.file.time_limit)
    store = RecordStore(arguments.results or RESULTS / suite.name)
    cards = suite.cards()
    records = [store.standing(cell_id, cell, cards) for cell_id, cell in suite.cells.items()]
    train = sum(record is None or record.status in ("failed", "broken") for record in records)
    trained = sum(record is not None and record.status == "trained" for record in records)
    profile = train + trained if suite.file.profile else 0
    print(f"{suite.name}: {len(records)} cells, of which {train} are to be trained, and up to {profile} profiled")
    for line in left_out(suite.left_out):
        print(f"left out with its cells: {line}")
    options = options_of(arguments, suite.file.slurm.model_dump())
    _show(options, arguments, suite.name, limit, train, profile)
    return 0


def _dry_run_unread(arguments: argparse.Namespace) -> int:
    from bench.suite import find

    path = find(arguments.suite)
    keys = _keys_of(path)
    try:
        limit = seconds_of(arguments.time_limit or str(keys.get("time_limit", "12 h")))
    except ValueError as error:
        raise UsageError(f"{path}: time_limit: {error}") from None
    print("There is no torch here: a job reads the suite first. Then each array is as that of one cell is here.")
    _show(options_of(arguments, keys.get("slurm")), arguments, path.stem, limit, train=1, profile=0)
    return 0


def _show(
    options: SlurmOptions, arguments: argparse.Namespace, name: str, limit: float | None, train: int, profile: int
) -> None:
    from bench.launchers.base import LaunchError
    from bench.launchers.submission import script

    results = Path(arguments.results or RESULTS / name).absolute()
    try:
        if train:
            print(f"\n# training\n{script(options, results, 'train', train, limit)}")
        if profile:
            said = "cost profiles: an array of as many as have been trained by then"
            print(f"\n# {said}\n{script(options, results, 'profile', 1, limit)}")
    except LaunchError as error:
        raise UsageError(str(error)) from None


def status_lines(store: RecordStore) -> list[str]:
    """How a results folder's jobs stand on the cluster; nothing where it has none."""
    from bench.launchers.base import LaunchError
    from bench.launchers.queue import NoAnswer

    try:
        jobs = _jobs(store)
    except (LaunchError, NoAnswer) as error:
        return [f"on the cluster: not known from here ({error})"]
    if not jobs:
        return []
    counts = Counter(_words(seen) for *_, seen in jobs)
    lines = [f"on the cluster: {', '.join(f'{count} {words}' for words, count in counts.most_common())}"]
    return lines + [f"{cell}  job {seen.job}  {stage}: {doing}" for cell, stage, doing, seen in jobs if doing]


def _words(seen: Seen) -> str:
    return seen.state.lower() + (f" ({seen.why})" if seen.why else "")


def _jobs(store: RecordStore) -> list[tuple[str, str, str, Seen]]:
    """Cell, stage, what it is doing where it runs, and the job, of all that have not ended. Raises
    NoAnswer, and LaunchError where the journal cannot be read."""
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
    from bench.launchers.base import LaunchError

    store = store_of(arguments.results)
    store.manifest()
    try:
        jobs = [seen.job for *_, seen in _jobs(store)]
        queue.cancel(*jobs)
    except (LaunchError, queue.NoAnswer) as error:
        raise UsageError(f"{store.root}: {error}") from None
    print(f"{store.root}: {len(jobs)} jobs cancelled; finished cells are kept")
    return 0

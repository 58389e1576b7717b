"""The commands on what cells have kept: score it again, verify it, prune it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bench.folders import UsageError, store_of
from records.text import printable

if TYPE_CHECKING:
    from records.record import Record
    from records.store import RecordStore


def add_commands(commands: Any) -> None:
    """To the parser of the command line."""
    score = commands.add_parser("score", help="compute metrics anew from kept predictions, without training")
    score.add_argument("results", nargs="?", default="embedded", help="a results folder, or a suite's name")
    score.set_defaults(command=_score)

    verify = commands.add_parser("verify", help="load what cells have learnt, and see that they answer as recorded")
    verify.add_argument("results", nargs="?", default="embedded", help="a results folder, or a suite's name")
    verify.add_argument("--cell", action="append", default=[], help="this cell alone, by its id (may be repeated)")
    verify.set_defaults(command=_verify)

    rewind = commands.add_parser("rewind", help="score merged models on the way back to the backbone, without training")
    rewind.add_argument("results", nargs="?", default="embedded", help="a results folder, or a suite's name")
    rewind.add_argument("--again", action="store_true", help="also cells that have been rewound before")
    rewind.set_defaults(command=_rewind)

    prune = commands.add_parser("prune", help="remove what cells have kept beside their records")
    prune.add_argument("results", help="a results folder, or a suite's name")
    for name, what in (("predictions", "answers to test examples"), ("states", "what methods have learnt"),
                       ("texts", "the test examples themselves"),
                       ("checkpoints", "what trainings that were cut off or stopped would go on from")):  # fmt: skip
        prune.add_argument(f"--{name}", action="store_true", help=what)
    prune.set_defaults(command=_prune)


def _score(arguments: argparse.Namespace) -> int:
    from bench.locking import only_one
    from bench.registry import PluginError
    from bench.rescoring import rescore

    store = store_of(arguments.results)
    store.manifest()
    failed = 0
    with only_one(store.root):
        try:
            for line in rescore(store):
                print(printable(line))
                failed += ": not scored: " in line
        except PluginError as error:
            raise UsageError(f"{store.root}: {error}") from None
    return 1 if failed else 0


def _verify(arguments: argparse.Namespace) -> int:
    from bench.verifying import verify

    store = store_of(arguments.results)
    known = store.manifest().cells
    if strange := [cell for cell in arguments.cell if cell not in known]:
        raise UsageError(f"{store.root}: has no cell {strange[0]!r}")
    tried = held = 0
    for found in verify(store, tuple(arguments.cell)):
        tried, held = tried + 1, held + found.holds
        apart = "" if found.apart is None else f", their probabilities at most {found.apart:.1g} apart"
        tied = f", {found.compared.tied} tied with the recorded" if found.compared.tied else ""
        said = found.reason or f"{found.compared.same} of {found.examples} answers as recorded{tied}{apart}"
        print(printable(f"{found.record.id}  {'holds' if found.holds else 'FAILS'}  {found.record.cell}: {said}"))
    print(f"{held} of {tried} states give the recorded answers again")
    return 0 if held == tried else 1


def _rewind(arguments: argparse.Namespace) -> int:
    from bench.locking import only_one
    from bench.rewinding import rewind

    store = store_of(arguments.results)
    store.manifest()
    done = 0
    with only_one(store.root):
        for found in rewind(store, arguments.again):
            done += not found.reason
            scores = [(point.alpha, next(iter(point.validation.values()), None)) for point in found.points]
            said = ", ".join(f"{alpha:g}: {'-' if value is None else f'{value:.3f}'}" for alpha, value in scores)
            print(printable(f"{found.record.id}  {found.record.cell}: {found.reason or said}"), flush=True)
    print(f"{done} cells rewound; next: bench report {store.root}")
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from bench.locking import only_one

    asked = {"predictions.parquet": arguments.predictions, "state.safetensors": arguments.states,
             "examples": arguments.texts, "checkpoints": arguments.checkpoints}  # fmt: skip
    names: Any = [name for name, wanted in asked.items() if wanted]
    if not names:
        raise UsageError("say what to remove: --states, --predictions, --texts --checkpoints (one or more of them)")
    store = store_of(arguments.results)
    store.manifest()
    with only_one(store.root):
        gone = list(store.prune(names))
    print(f"{store.root}: {len(gone)} files removed; records and scores are as they were")
    return 0


def kept_line(store: RecordStore, records: list[Record]) -> str:
    """What the cells of a folder have kept, and what it takes; empty where they have kept nothing."""
    counts: dict[str, list[int]] = {}
    for record in records:
        for name, size in store.sizes(record).items():
            counts.setdefault(name.partition(".")[0], []).append(size)
    texts = [path.lstat().st_size for path in store.root.glob("examples/*.parquet")]
    words = {"predictions": "predictions of {} cells", "state": "states of {} cells", "published": "{} published files"}
    parts = [f"{words[name].format(len(sizes))} ({_megabytes(sizes)})" for name, sizes in sorted(counts.items())]
    parts += [f"texts ({_megabytes(texts)})"] if texts else []
    return f"kept: {', '.join(parts)}" if parts else ""


def _megabytes(sizes: list[int]) -> str:
    return f"{sum(sizes) / 1e6:.1f} MB"

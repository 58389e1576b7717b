"""`bench` as it is, whose workers say when they were where: python -m tests.performance.stamped run SUITE ...

A stamp is a line of the file of its cell, in the folder that STAMPS names. Seconds are of the machine's clock, which
all its processes share, and of the processor's time in the process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from bench.job import Job
from bench.launchers import local
from bench.launchers.base import Slot
from bench.lifeline import Lifeline

FOLDER = "STAMPS"
MODULE = "tests.performance.stamped"  # whatever it was run as


@dataclass(frozen=True)
class Stamp:
    """That `what` was over at `time`, when the process had used `cpu`; `more` has whatever was counted."""

    what: str
    time: float
    cpu: float
    more: dict[str, float]


def stamp(cell: str, what: str, **more: float) -> None:
    """Says it of a cell."""
    line = {"what": what, "time": time.monotonic(), "cpu": time.process_time(), "more": more}
    with (Path(os.environ[FOLDER]) / f"{cell}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def stamps(folder: Path) -> list[dict[str, Stamp]]:
    """Of every cell, by what they say."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        read = [Stamp(**json.loads(line)) for line in path.read_text().splitlines()]
        found.append({each.what: each for each in read})
    return found


class StampedLauncher(local.LocalLauncher):
    """Says when it is handed a job, and has this module do the work."""

    def __init__(self, preload: Iterable[str] = ()) -> None:
        # The worker's own module, too: what it imports is imported by the server, as ever.
        super().__init__(["bench.worker", *preload], work=MODULE)

    def start(self, job: Job, slot: Slot) -> None:
        """Raises LaunchError where no process can be started."""
        stamp(job.cell.id, "accepted")
        super().start(job, slot)


def run(job: Job, line: Lifeline, threads: int) -> None:
    """As `bench.worker.run`, in a process of its own: what it calls stamps."""
    from bench import attempts, evaluation, step, worker

    cell = job.cell.id
    stamp(cell, "forked")
    spent: dict[str, float] = defaultdict(float)

    def after(owner: Any, name: str, what: str) -> None:
        """Stamps the first time that it has been called."""
        inner = getattr(owner, name)
        seen: list[str] = []

        @wraps(inner)
        def outer(*arguments: Any, **options: Any) -> Any:
            found = inner(*arguments, **options)
            if not seen:
                seen.append(what)
                stamp(cell, what, **spent)
            return found

        setattr(owner, name, outer)

    def counted(batches: Iterable[dict[str, Any]], when: str) -> Iterator[dict[str, Any]]:
        for batch in batches:
            count(batch, when)
            yield batch

    def count(batch: dict[str, Any], when: str) -> None:
        spent[f"{when} tokens"] += batch["input_ids"].numel()
        spent[f"{when} real tokens"] += int(batch["attention_mask"].sum())

    each = evaluation.FittingSplit.each

    def timed_each(split: evaluation.FittingSplit, work: Callable[[Any], Any]) -> Any:
        began = time.monotonic()
        found = each(split, lambda loader: work(counted(loader, "evaluation")))
        spent["evaluation"] += time.monotonic() - began
        return found

    train = step.PhaseTrainer.step

    def counted_step(trainer: step.PhaseTrainer, batch: dict[str, Any]) -> Any:
        count(batch, "training")
        return train(trainer, batch)

    evaluation.FittingSplit.each = timed_each  # type: ignore[method-assign]
    step.PhaseTrainer.step = counted_step  # type: ignore[method-assign]
    after(worker.CellRun, "load", "backbone")
    after(worker.CellRun, "adapted", "adapted")
    after(worker.CellRun, "prepared", "data")
    after(step.PhaseTrainer, "__init__", "optimiser")
    after(step.PhaseTrainer, "step", "first step")
    after(attempts, "train", "trained")
    worker.run(job, line, threads)
    stamp(cell, "done", **spent)


def command(*arguments: object) -> list[str]:
    """That runs `bench` with these arguments."""
    return [sys.executable, "-m", MODULE, *map(str, arguments)]


def main() -> None:
    """The command line, on this machine."""
    from bench import cli

    local.LocalLauncher = StampedLauncher  # type: ignore[misc]
    cli.main()


if __name__ == "__main__":
    main()

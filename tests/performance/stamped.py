"""`bench` as it is, whose workers say when they were where: python -m tests.performance.stamped run SUITE ...

A stamp is a line of the file of its cell, in the folder that STAMPS names. Seconds are of the machine's clock, which
all its processes share, and of the processor's time in the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import yaml

from bench.job import Job
from bench.launchers import local
from bench.launchers.base import Slot
from bench.lifeline import Lifeline
from tests.performance.figures import ROOT

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
        # The worker's own module, too, as it is imported by the server that is begun early; and this one.
        super().__init__(["bench.worker", MODULE, *preload], work=MODULE)

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


def run_suite(folder: Path, suite: Mapping[str, Any], cache: Path, slots: int | None = None) -> list[dict[str, Stamp]]:
    """Has `bench run` run a suite in a folder of its own, which gets its `results`, and reads the stamps."""
    (folder / "stamps").mkdir(parents=True)
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(dict(suite), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", MODULE, "run", str(path), "--results", str(folder / "results")]
    environ = {"PYTHONPATH": str(ROOT), "BENCH_CACHE": str(cache), FOLDER: str(folder / "stamps")}
    run_process([*command, *(["--slots", str(slots)] if slots else [])], environ)
    return stamps(folder / "stamps")


def run_process(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """What a process prints, whose environment is ours with some more. Raises RuntimeError where it fails."""
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def main() -> None:
    """The command line, on this machine."""
    from bench import cli

    local.LocalLauncher = StampedLauncher  # type: ignore[misc]
    cli.main()


if __name__ == "__main__":
    main()

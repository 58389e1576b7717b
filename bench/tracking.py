"""Hands what cells leave behind to trackers of experiments, by a process of its own beside the run: a tracker that
fails, hangs or asks for a password harms no cell."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from rich.console import Console

from bench.display import RunDisplay
from bench.folders import UsageError
from bench.job import Stage
from records.record import Record
from records.text import printable

# Those of which accelerate knows that run anywhere, with the packages of which each needs one.
TRACKERS = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "trackio": ("trackio",),
}
# What is left to be handed over at the end of a run, and when it is stopped.
SECONDS_TO_END, SECONDS_TO_STOP = 60.0, 3.0
# Where what is tracked on this disk lies in a results folder, with each tracker's log.
FOLDER = "tracked"


class Tracker:
    """The scheduler's end of a process that hands cells to one tracker. Nothing here raises once it is made."""

    def __init__(self, name: str, suite: str, results: Path, tell: Callable[[str], None]) -> None:
        """Raises UsageError where the tracker's package is not here."""
        if not any(find_spec(package) for package in TRACKERS[name]):
            raise UsageError(f"--tracker {name}: its package is not here; pip install {name}")
        self.name = name
        self._tell = tell
        self.log = results / FOLDER / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "bench.trackers", name, suite, str(results.absolute())],
                # Ctrl-C is for the scheduler, which closes the pipe when the last cell has ended.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pipe: IO[bytes] | None = self._process.stdin
        assert self._pipe is not None
        os.set_blocking(self._pipe.fileno(), False)

    def hand(self, record: Record) -> None:
        """Says that a record was written."""
        if self._pipe is None:
            return
        try:
            os.write(self._pipe.fileno(), f"{record.id}\n".encode())
        except OSError as error:
            self._give_up("does not keep up" if isinstance(error, BlockingIOError) else "has ended")

    def close(self, patience: float) -> None:
        """Waits until all is handed over, so many seconds at most."""
        if self._pipe is None:
            return
        self._pipe.close()
        try:
            status = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._give_up(f"was not done {patience:.0f} s after the last cell")
        else:
            if status:
                self._give_up("could not be told all")

    def _give_up(self, why: str) -> None:
        self._pipe = None
        self._process.kill()
        self._process.wait()
        said = ""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").strip().splitlines()
            said = f": {lines[-1][:300]}" if lines else ""
        self._tell(printable(f"the tracker {self.name} {why}{said} ({self.log}); the cells are complete without it"))


class TrackedDisplay(RunDisplay):
    """A display that hands to trackers what it shows."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self.trackers: list[Tracker] = []

    def track(self, names: Iterable[str], suite: str, results: Path) -> None:
        """From now on, with these. Raises UsageError."""
        for name in dict.fromkeys(names):
            self.trackers.append(Tracker(name, suite, results, self.note))

    def __exit__(self, *exception: object) -> None:
        for tracker in self.trackers:
            tracker.close(SECONDS_TO_STOP if any(exception) else SECONDS_TO_END)
        super().__exit__(*exception)

    def ended(self, record: Record, stage: Stage, seconds: float) -> None:
        """Shows and hands on a job that has ended."""
        super().ended(record, stage, seconds)
        for tracker in self.trackers:
            tracker.hand(record)

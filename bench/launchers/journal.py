"""What was handed to a cluster, written down before it is: so that neither a lost answer nor a scheduler that was
killed in between doubles a cell, or drops it.

`slurm/journal.jsonl` in the results folder is only ever appended to. A submission has three kinds of lines: its intent,
with the cells of the array in order, before `sbatch` is called; that it was accepted, with Slurm's id; or that it was
given up, since it was never answered and the queue does not have it. Its key is the name of its jobs. A job that
starts looks for its key, and ends at once if that was given up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from bench.job import Stage
from bench.launchers.base import LaunchError
from records import files
from records.record import CellId

FOLDER = "slurm"
LONGEST = 2**28


class Handed(BaseModel):
    """A cell of an array."""

    cell: CellId
    attempt: int = 1


class Line(BaseModel):
    """One line of the journal."""

    what: Literal["intent", "accepted", "given up"]
    key: str
    when: str
    stage: Stage | None = None
    cells: list[Handed] = []
    job: str | None = None


@dataclass
class Submission:
    """An array of jobs: one stage of each of its cells. `job` is Slurm's id, None while that is not known."""

    key: str
    stage: Stage
    cells: list[Handed]
    job: str | None = None
    given_up: bool = False


class Journal:
    """That of one results folder."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.path = results / FOLDER / "journal.jsonl"

    def append(self, line: Line) -> None:
        """On the disk when this returns. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"  # by a writer that was killed
            data = (b"\n" if torn else b"") + line.model_dump_json(exclude_defaults=True).encode() + b"\n"
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def submissions(self) -> dict[str, Submission]:
        """By key, in their order. What a killed writer left of a line is none. Raises LaunchError."""
        found: dict[str, Submission] = {}
        for line in self._lines():
            if line.what == "intent" and line.stage is not None:
                found[line.key] = Submission(line.key, line.stage, line.cells)
            elif line.key in found and line.what == "accepted":
                found[line.key].job = line.job
            elif line.key in found:
                found[line.key].given_up = True
        return found

    def _lines(self) -> Iterator[Line]:
        try:
            data = files.read_within(self.results.resolve(), FOLDER, "journal.jsonl", longest=LONGEST)
        except FileNotFoundError:
            return
        except files.Unreadable as error:
            raise LaunchError(f"{self.path}: {error}; what was submitted is not known") from None
        for text in data.splitlines():
            try:
                yield Line.model_validate_json(text)
            except ValidationError:
                continue

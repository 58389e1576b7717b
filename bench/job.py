"""What the scheduler hands to a launcher, and a launcher to a worker. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bench.suite_file import Keep
from records.cell import Cell
from records.record import Record

Stage = Literal["train", "profile"]


@dataclass(frozen=True)
class Job:
    """One stage of one cell. `base` is the folder from which the suite's relative paths are seen; `attempt`
    counts from 1; training is saved every `checkpoint` seconds, if at all. Paths are absolute: a plugin may change the
    current folder. Its work is divided among so many `processes`, which changes no result beyond what is rounded, and
    what dropout draws; with `shard` so are the backbone's weights. A `brief` profile times one round alone."""

    cell: Cell
    stage: Stage
    results: Path
    base: Path
    plugins: tuple[Path, ...]
    attempt: int
    keep: Keep = field(default_factory=Keep)
    checkpoint: float | None = None
    processes: int = 1
    brief: bool = False
    shard: bool = False

    def failed(self, reason: str, seconds: float, environment: dict[str, Any]) -> Record:
        """Of a worker that has left none. It ended just now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Record(
            id=self.cell.id,
            cell=self.cell,
            status="failed",
            reason=reason,
            attempts=self.attempt,
            started=now,
            finished=now,
            wall_seconds=seconds,
            environment=environment,
        )

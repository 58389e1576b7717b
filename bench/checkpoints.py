"""Trainings that take long are saved from time to time, and gone on with after they were cut off.

A checkpoint has everything that the rest of a training depends on, so that it ends as if it had never been cut off:
what the method trains and keeps, the optimiser, the schedule, the places in the data, the random numbers, and what was
seen so far. It lies beside the record that is yet to come, under the id of the whole cell, so that trials of a search
that are cut short go on from one another. It is read without running any code that it might hold.
"""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING, Any

import accelerate
import numpy as np
import torch
import transformers

import bench
from records import files

if TYPE_CHECKING:
    from accelerate import Accelerator

    from records.cell import Cell
    from records.store import RecordStore

# Raised whenever what a checkpoint holds is another.
FORMAT = 1
# Writing takes at most this share of the time.
MOST_WRITING = 0.05


class UnusableCheckpoint(Exception):
    """What was saved cannot be gone on with; the message says why."""


class Checkpoints:
    """Where a cell's training is saved, and how often: `every` so many seconds, or only where it ends before its
    whole has ended."""

    def __init__(self, store: RecordStore, cell: Cell, accelerator: Accelerator, every: float | None) -> None:
        self.store = store
        self.cell = cell.whole
        self.device = accelerator.device
        self.every = every
        self.writer = {
            "format": FORMAT,
            "cell": self.cell.id,
            "bench": bench.__version__,
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "accelerate": accelerate.__version__,
            "device": accelerator.device.type,
            "precision": accelerator.mixed_precision,
        }
        self.earlier_seconds = 0.0
        self._begun = time.monotonic()
        self._next = self._begun + (every or 0.0)

    @property
    def due(self) -> bool:
        """Whether the last one is old enough."""
        return self.every is not None and time.monotonic() >= self._next

    def read(self) -> dict[str, Any] | None:
        """What was saved last, None where nothing was. Raises UnusableCheckpoint."""
        try:
            with files.open_within(self.store.root, *self.store.checkpoint_parts(self.cell.id)) as file:
                saved = torch.load(file, map_location=self.device, weights_only=True)
            writer = saved["writer"]
        except FileNotFoundError:
            return None
        except files.Unreadable as error:
            raise UnusableCheckpoint(f"it {error}") from None
        except Exception as error:  # whatever the reader makes of a file that is none
            raise UnusableCheckpoint(f"it cannot be read ({type(error).__name__})") from None
        for name, now in self.writer.items():
            if writer.get(name) != now:
                raise UnusableCheckpoint(f"it was written with {name} {writer.get(name)}, and here is {now}")
        self.earlier_seconds = saved["seconds"]
        return dict(saved["training"])

    def write(self, training: dict[str, Any], stops: bool = False) -> None:
        """Takes the place of the one before. A disk that refuses costs the checkpoint, and not the training. Where it
        `stops`, the time so far is told by its own record."""
        start = time.monotonic()
        saved = {
            "writer": self.writer,
            "seconds": 0.0 if stops else self.earlier_seconds + start - self._begun,
            "training": training,
        }
        try:
            with files.replacing(self.store.checkpoint(self.cell.id)) as file:
                torch.save(saved, file)
        except (OSError, RuntimeError) as error:
            print(f"no checkpoint could be written: {error}", file=sys.stderr)
        now = time.monotonic()
        self._next = now + max(self.every or 0.0, (now - start) / MOST_WRITING)

    def remove(self) -> None:
        """Once nobody will go on from it."""
        self.earlier_seconds, self._begun = 0.0, time.monotonic()
        self.store.remove_checkpoint(self.cell.id)


def random_state() -> dict[str, Any]:
    """Of every generator that is seeded with a cell."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda"]])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])

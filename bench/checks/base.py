"""A check, and what comes of it."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.contained import TookTooLong, contained
from records.text import described, one_line

Status = Literal["passed", "failed", "skipped"]


class Fault(AssertionError):
    """What does not hold, in one line, and in a second how to mend it."""

    def __init__(self, wrong: str, mend: str) -> None:
        super().__init__(f"{wrong}; {mend}")
        self.wrong, self.mend = wrong, mend


class NotAsked(Exception):
    """The check does not apply; the message is the reason."""


@dataclass(frozen=True)
class Check:
    """One thing that is promised. Called, it raises Fault where that does not hold, and NotAsked where it does not
    apply; whatever else is raised comes from the plugin. `run` may return a note. `holds` says what is promised,
    `where` on which architecture, or of which field. Where one that comes `first` does not hold, the others can say
    nothing."""

    name: str
    holds: str
    run: Callable[[], object]
    where: str = ""
    first: bool = False

    def __call__(self) -> None:
        """So that a test can be parametrised with it. One that does not apply passes."""
        try:
            self.run()
        except NotAsked:
            return

    def __str__(self) -> str:
        return f"{self.name}-{self.where}" if self.where else self.name

    def outcome(self, source: Path | None = None, limit: float | None = None) -> Outcome:
        """What comes of it, whatever the plugin raises; `source` is its file, whose line is then told. After `limit`
        seconds it fails."""
        try:
            with contained(limit):
                note = self.run()
        except NotAsked as reason:
            return Outcome(self, "skipped", one_line(reason))
        except Fault as fault:
            return Outcome(self, "failed", one_line(fault.wrong), one_line(fault.mend))
        except TookTooLong as error:
            return Outcome(self, "failed", described(error, source), "mend what hangs, or give it longer: --time-limit")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an exit, or what test frameworks raise to skip
            return Outcome(self, "failed", described(error, source), "mend what raises it")
        return Outcome(self, "passed", note if isinstance(note, str) else "")


@dataclass(frozen=True)
class Outcome:
    """Of a check: what is wrong and how to mend it, why it does not apply, or a note."""

    check: Check
    status: Status
    said: str = ""
    mend: str = ""


def source_of(cls: type) -> Path | None:
    """The file in which a class is written, where that can be told."""
    try:
        return Path(inspect.getfile(cls))
    except (TypeError, OSError):
        return None


def misfits(cls: type, base: type) -> Iterable[tuple[str, str]]:
    """The methods of a class that cannot be called as those of its base are, each with how it is called."""
    for name, theirs in inspect.getmembers(base, inspect.isfunction):
        ours = inspect.getattr_static(cls, name)
        if name.startswith("_") or not inspect.isfunction(ours) or ours is theirs:
            continue
        every = inspect.signature(theirs).parameters.values()
        called = [each.name for each in every if each.kind is each.POSITIONAL_OR_KEYWORD]
        try:
            inspect.signature(ours).bind(*called)
        except TypeError:
            yield name, f"{name}({', '.join(called[1:])})"


class Generators:
    """Where the generators of random numbers stand, Python's, NumPy's and torch's: to seed them, and to see who did."""

    @staticmethod
    def seed(seed: int) -> None:
        """All of them."""
        import numpy as np
        import torch

        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    @staticmethod
    def states() -> dict[str, object]:
        """To be compared with ==."""
        import numpy as np
        import torch

        numpy: Any = np.random.get_state(legacy=True)
        return {
            "random.seed": random.getstate(),
            "numpy.random.seed": (numpy[1].tobytes(), numpy[2]),
            "torch.manual_seed": torch.random.get_rng_state().numpy().tobytes(),
        }
